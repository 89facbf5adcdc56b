"""Estimation of head pose from five landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.types import Float64Array

# Heights above the plane of the pupils, in units of the distance between the eyes: the tip of the nose is about
# 35 mm in front of it, the corners of the mouth about 6 mm, with 63 mm between the eyes (Farkas 1994, Anthropometry
# of the Head and Face).
_NOSE, _MOUTH = 0.55, 0.1
_EYES = ARCFACE_112[1][0] - ARCFACE_112[0][0]


@dataclass(frozen=True)
class Pose:
    """Orientation of a head in degrees; zero looks into the camera.

    Args:
        yaw_deg: Positive if the nose points to the right of the image.
        pitch_deg: Positive if it points up. Zero is the template's pitch, and faces and detectors differ in the
            height of the nose: YuNet gives about -12 for people who look straight ahead. This is the least certain
            of the three angles.
        roll_deg: Positive if the head is turned clockwise in the image.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float


def mean_face() -> Float64Array:
    """Add depth to the ArcFace template: shape (5, 3), centred, in eye distances, y down, z towards the camera."""
    flat = np.asarray(ARCFACE_112) / _EYES
    # The asymmetry of the template comes from the faces that it was made from, not from a pose.
    middle = flat[[0, 1, 3, 4], 0].mean()
    flat[2, 0] = middle
    for left, right in ((0, 1), (3, 4)):
        half = (flat[right, 0] - flat[left, 0]) / 2
        flat[left], flat[right] = (
            (middle - half, flat[[left, right], 1].mean()),
            (middle + half, flat[[left, right], 1].mean()),
        )
    points = np.column_stack([flat, [0.0, 0.0, _NOSE, _MOUTH, _MOUTH]])
    centred: Float64Array = points - points.mean(axis=0)
    return centred


_FACE = mean_face()
_SOLVE: list[list[float]] = np.linalg.pinv(_FACE).tolist()


def pose_of(landmarks: Float64Array) -> Pose:
    """Estimate head pose under scaled orthographic projection of a mean face (after DeMenthon and Davis 1995).

    The least-squares affine camera is one matrix product; the pose is the rotation nearest to it. The error is a few
    degrees for frontal faces. Beyond 60 degrees of yaw the landmarks, and so the pose, are not reliable.

    Args:
        landmarks: Shape (5, 2), (x, y) in pixels, finite.
    """
    # Plain numbers, because for five points a call of numpy takes longer than the arithmetic. The landmarks need no
    # centring, because the columns of _SOLVE sum to zero.
    points = landmarks.tolist()
    ax, ay, az = (sum(s * x for s, (x, _) in zip(row, points, strict=True)) for row in _SOLVE)
    bx, by, bz = (sum(s * y for s, (_, y) in zip(row, points, strict=True)) for row in _SOLVE)
    # Two rows of a scaled rotation; the third is perpendicular to both.
    x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    area = math.sqrt(x * x + y * y + z * z)
    if not area > 0:
        # All landmarks are on one line, as in a profile view.
        return Pose(90.0, 0.0, 0.0)
    # Order of rotations: yaw, pitch, roll; the third row does not depend on roll.
    yaw = math.degrees(math.atan2(-x, z))
    pitch = math.degrees(math.asin(min(1.0, max(-1.0, y / area))))
    # The nearest rotation to two rows A is (A A^T)^(-1/2) A, whose square root has a closed form for 2x2 matrices.
    aa, bb, ab = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, ax * bx + ay * by + az * bz
    roll = math.degrees(math.atan2(ab * by - (bb + area) * ay, (aa + area) * by - ab * ay))
    return Pose(yaw, pitch, roll)
