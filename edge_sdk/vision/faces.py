"""What a face in a frame is: a box, five landmarks, a score."""

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
    """One face in a frame, in the frame's pixels; a box may reach over the frame's edge.

    Args:
        box: Left, top, width, height.
        landmarks: Shape (5, 2), float64, (x, y) of the left eye, right eye, nose and left and right mouth
            corner, left and right as seen in the image.
        score: 0..1, the detector's own; higher is more likely a face. It is no probability.
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
        """Area of the box."""
        return self.box[2] * self.box[3]


class FaceDetector(Protocol):
    """Finds the faces in a frame."""

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """The faces of an RGB frame of shape (H, W, 3), uint8; the best score first."""


def largest(faces: Sequence[Face]) -> Face | None:
    """The face with the largest box, which is whom a door has before it; None where there is none."""
    return max(faces, key=lambda face: face.area_px, default=None)


def central(faces: Sequence[Face], height: int, width: int) -> Face | None:
    """The face whose centre is nearest to the frame's, in sizes of the face; None where there is none.

    What a photograph is of: a small face in the middle comes before a large one at the edge only where it is
    nearer by its own measure.
    """
    middle = np.array([width / 2, height / 2])

    def distance(face: Face) -> float:
        left, top, across, down = face.box
        away = np.array([left + across / 2, top + down / 2]) - middle
        size = math.sqrt(max(face.area_px, 1e-6))
        return math.hypot(*away) / size

    return min(faces, key=distance, default=None)
