"""Detected faces: box, landmarks and score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_sdk.types import Float64Array, UInt8Array

LEFT_EYE, RIGHT_EYE, NOSE, LEFT_MOUTH, RIGHT_MOUTH = range(5)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a frame, in the frame's pixels; its box may extend beyond the frame.

    Args:
        box: Left, top, width, height.
        landmarks: Shape (5, 2), float64, (x, y) of the left eye, right eye, nose and left and right mouth
            corner, left and right as seen in the image.
        score: The detector's own score, 0..1; higher means more likely a face. It is not a probability.
    """

    box: tuple[float, float, float, float]
    landmarks: Float64Array
    score: float

    @property
    def eye_distance_px(self) -> float:
        """Distance between the eyes' centres, the usual measure of a face's size (ISO/IEC 19794-5)."""
        return math.dist(self.landmarks[LEFT_EYE], self.landmarks[RIGHT_EYE])

    @property
    def area_px(self) -> float:
        """Area of the box in square pixels."""
        return self.box[2] * self.box[3]


class FaceDetector(Protocol):
    """Finds the faces in a frame."""

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """Find the faces of an RGB frame of shape (H, W, 3), uint8; the best score first."""


def largest(faces: Sequence[Face]) -> Face | None:
    """Choose the face with the largest box, the usual one in front of a door; None if there is no face."""
    return max(faces, key=lambda face: face.area_px, default=None)


def central(faces: Sequence[Face], height: int, width: int) -> Face | None:
    """Choose the face that is nearest to the frame's centre, measured in face sizes; None if there is no face.

    This is the usual subject of a photograph. The unit favours a large face at the edge over a small face that is
    slightly nearer to the middle.
    """
    middle = np.array([width / 2, height / 2])

    def distance(face: Face) -> float:
        left, top, across, down = face.box
        away = np.array([left + across / 2, top + down / 2]) - middle
        size = math.sqrt(max(face.area_px, 1e-6))
        return math.hypot(*away) / size

    return min(faces, key=distance, default=None)
