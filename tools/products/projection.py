"""Pinhole camera for boxes and planes: project corners in space to pixels on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

_CAMERA_DISTANCE = 3.2  # in lengths of the package's longer side, as in a hand-held close-up


@dataclass(frozen=True)
class Pose:
    """Pose of a package relative to the camera.

    Attributes:
        yaw: Rotation about the vertical axis, radians.
        pitch: Rotation about the horizontal axis, radians; positive if the camera looks down.
        roll: Rotation in the picture plane, radians.
        extent: Longer side of the package as a share of the canvas.
        centre: (x, y) of its centre as a share of the canvas.
        light: Azimuth of the light, radians; 0 is the direction of the camera, positive is right.
    """

    yaw: float
    pitch: float
    roll: float
    extent: float
    centre: tuple[float, float]
    light: float


def rotation(pose: Pose) -> np.ndarray:
    """Return the (3, 3) rotation of `pose`: yaw, then pitch, then roll; x right, y down, z away."""
    cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
    cp, sp = np.cos(pose.pitch), np.sin(pose.pitch)
    cr, sr = np.cos(pose.roll), np.sin(pose.roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    spin = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return spin @ nod @ turn


def project(points: np.ndarray, pose: Pose, canvas_px: int) -> np.ndarray:
    """Project points, shape (N, 3), in lengths of the package's longer side, to canvas pixels, shape (N, 2)."""
    turned = points @ rotation(pose).T
    spread = turned[:, :2] * (_CAMERA_DISTANCE / (_CAMERA_DISTANCE + turned[:, 2:3]))
    return (spread * pose.extent + np.asarray(pose.centre)) * canvas_px


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the first 8 coefficients of the homography from `source` (4, 2) to `target` (4, 2); the ninth is 1."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values))


def paste_quad(canvas: Image.Image, texture: np.ndarray, corners: np.ndarray) -> None:
    """Paste `texture` on `canvas`, in place, with its corners at `corners`.

    Args:
        canvas: RGBA.
        texture: Shape (H, W, 3) or (H, W, 4), uint8.
        corners: Shape (4, 2): top left, top right, bottom right, bottom left, in canvas pixels.
    """
    height, width = texture.shape[:2]
    if texture.shape[2] == 3:
        texture = np.dstack([texture, np.full((height, width), 255, np.uint8)])
    # A transparent border of one pixel, in the colour of the edge, gives soft edges without a dark fringe.
    padded = np.pad(texture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    padded[[0, -1], :, 3] = 0
    padded[:, [0, -1], 3] = 0
    frame = np.array([[1, 1], [width + 1, 1], [width + 1, height + 1], [1, height + 1]], np.float64)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    low, high = np.maximum(low, 0), np.minimum(high, canvas.size)
    if (high - low < 2).any():
        return
    coefficients = homography(corners - low, frame)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    warped = Image.fromarray(padded).transform(
        size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BILINEAR
    )
    canvas.alpha_composite(warped, (int(low[0]), int(low[1])))
