"""Frames with a painted face, and a detector that scores it by its orientation as real detectors do."""

from __future__ import annotations

import numpy as np

from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face

SIDE = 60
_RED, _BLUE = (220, 20, 20), (20, 20, 220)
#: Level of red or blue that only the face has.
_BRIGHT = 200
#: Scores of a face that is upright, turned by 90 degrees clockwise, upside down, and turned by 270 degrees.
SCORES = (0.93, 0.83, 0.8, 0.82)


def painted_frame(
    centre: tuple[int, int] = (120, 160), *, size: tuple[int, int] = (240, 320), shade: int = 90
) -> UInt8Array:
    """Paint an upright face, red above blue, with its centre at (row, column) of a grey frame."""
    frame = np.full((*size, 3), shade, np.uint8)
    row, column = centre
    half = SIDE // 2
    frame[row - half : row, column - half : column + half] = _RED
    frame[row : row + half, column - half : column + half] = _BLUE
    return frame


class PaintedFaceDetector:
    """Finds one painted face in each frame, or one in each quarter of a square frame with four.

    Like YuNet it returns upright landmarks for a turned face, with a lower score.

    Args:
        scores: Score of each orientation, see `SCORES`; a face with score 0 is not found.
    """

    def __init__(self, scores: tuple[float, float, float, float] = SCORES) -> None:
        self._scores = scores
        self.detections = 0

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """Find the painted faces of a frame."""
        self.detections += 1
        rows, columns = frame.shape[:2]
        # A mosaic of four faces is square; a part that shows one face is detected as a whole.
        quarters = [
            (top, left, frame[top : top + rows // 2, left : left + columns // 2])
            for top in (0, rows // 2)
            for left in (0, columns // 2)
        ]
        mosaic = rows == columns and sum(_find(part) is not None for _, _, part in quarters) == 4
        parts = quarters if mosaic and _whole(frame) else [(0, 0, frame)]
        faces = []
        for top, left, part in parts:
            place = _find(part)
            if place is None or not self._scores[place[4]]:
                continue
            y, x, height, width, orientation = place
            points = np.array(ARCFACE_112) * (width / 112, height / 112) + (left + x, top + y)
            faces.append(Face((left + x, top + y, width, height), points, self._scores[orientation]))
        return tuple(faces)


def _whole(frame: UInt8Array) -> bool:
    """Check that no face crosses the middle of the frame."""
    rows, columns = frame.shape[:2]
    painted = (frame[..., 0] > _BRIGHT) | (frame[..., 2] > _BRIGHT)
    return not (painted[rows // 2].any() or painted[:, columns // 2].any())


def _find(frame: UInt8Array) -> tuple[float, float, float, float, int] | None:
    """Return top, left, height, width and orientation of the face in a frame; None without a face."""
    red, blue = np.argwhere(frame[..., 0] > _BRIGHT), np.argwhere(frame[..., 2] > _BRIGHT)
    if not len(red) or not len(blue):
        return None
    both = np.concatenate([red, blue])
    (top, left), (bottom, right) = both.min(axis=0), both.max(axis=0) + 1
    down, across = blue.mean(axis=0) - red.mean(axis=0)
    upright_or_inverted, sideways = (0 if down > 0 else 2), (1 if across < 0 else 3)
    orientation = upright_or_inverted if abs(down) >= abs(across) else sideways
    return float(top), float(left), float(bottom - top), float(right - left), orientation
