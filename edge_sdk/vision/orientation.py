"""Orientation of camera pictures: turn frames by quarter turns, and notice frames that are not upright.

A detector may find a face in a turned picture and return landmarks as if the face were upright. The embedding of such a
face is close to those of other people, so that strangers match. The detector's score reveals the turn: it is highest
with the face upright. docs/measurements/faces.md states how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face, FaceDetector
from edge_sdk.vision.images import MIN_SIDE_PX
from edge_sdk.vision.resize import resize_fast

#: Clockwise turns in degrees. A picture whose camera is mounted upside down becomes upright by 180.
ROTATIONS = (0, 90, 180, 270)
#: Side of the region around a face, in sides of its box.
_REGION = 2.0
#: Side of one picture of the mosaic, in pixels; four pictures have the size of YuNet's input.
_TILE = 160
#: Largest side of the region that is examined, in pixels; a larger region is reduced.
_MOST_PX = 640
#: Lead of the upright score in the mosaic above which no further detection is made.
_CLEAR_LEAD = 0.02


@dataclass(frozen=True)
class Orientation:
    """Scores of a detector for one face in four orientations of its picture.

    Args:
        scores: Best score with the picture turned clockwise by 0, 90, 180 and 270 degrees; 0 if no face was detected.
    """

    scores: tuple[float, float, float, float]

    @property
    def rotate(self) -> int | None:
        """Clockwise turn in degrees that makes the picture upright, 0 if it is upright; None if no turn shows a face."""
        best = max(self.scores)
        # The first of equal scores: a detector that ignores orientation gives no reason to refuse.
        return ROTATIONS[self.scores.index(best)] if best > 0 else None


def check_rotation(degrees: int) -> int:
    """Check that a value is one of `ROTATIONS`, and return it.

    Raises:
        InputError: The value is another one.
    """
    if isinstance(degrees, bool) or degrees not in ROTATIONS:
        raise InputError(f"expected a rotation of 0, 90, 180 or 270 degrees clockwise, found {degrees!r}")
    return int(degrees)


def turn(frame: UInt8Array, degrees: int) -> UInt8Array:
    """Turn a frame clockwise.

    Turned by 90 degrees, the left edge of the frame becomes the top edge.

    Args:
        frame: Shape (H, W, 3), uint8; may be a view.
        degrees: One of `ROTATIONS`.

    Returns:
        Contiguous; shape (W, H, 3) for 90 and 270 degrees. The frame itself if it is contiguous and `degrees` is 0.
    """
    return np.ascontiguousarray(np.rot90(frame, -(degrees // 90)) if degrees else frame)


def orientation_of(detector: FaceDetector, frame: UInt8Array, face: Face | None) -> Orientation:
    """Detect a face with its picture turned by 0, 90, 180 and 270 degrees.

    The four pictures are first detected at once, reduced and side by side, which costs one detection. If upright is not
    clearly the best, each is detected by itself.

    Args:
        detector: Any face detector.
        frame: Shape (H, W, 3), uint8, RGB.
        face: Face of the frame; None examines the whole frame, for a detector that found no face in it.
    """
    region = _region(frame, face)
    upright, *others = scores = _scores_of_mosaic(detector, region)
    if upright - max(others) >= _CLEAR_LEAD or (face is None and max(scores) == 0):
        return Orientation(_four(scores))
    return Orientation(_four([_best_score(detector, turn(region, degrees)) for degrees in ROTATIONS]))


def _four(scores: Sequence[float]) -> tuple[float, float, float, float]:
    at_0, at_90, at_180, at_270 = scores
    return at_0, at_90, at_180, at_270


def _best_score(detector: FaceDetector, picture: UInt8Array) -> float:
    return max((float(face.score) for face in detector.detect(picture)), default=0.0)


def _scores_of_mosaic(detector: FaceDetector, region: UInt8Array) -> list[float]:
    """Detect four turns of a square region in one picture of 2x2 tiles; return the best score of each tile."""
    small = resize_fast(region, _TILE, _TILE)
    mosaic = np.empty((2 * _TILE, 2 * _TILE, 3), np.uint8)
    for number in range(4):
        row, column = (place * _TILE for place in divmod(number, 2))
        mosaic[row : row + _TILE, column : column + _TILE] = np.rot90(small, -number)
    scores = [0.0] * 4
    for face in detector.detect(mosaic):
        left, top, width, height = face.box
        row, column = int((top + height / 2) // _TILE), int((left + width / 2) // _TILE)
        if row in (0, 1) and column in (0, 1):
            scores[2 * row + column] = max(scores[2 * row + column], float(face.score))
    return scores


def _region(frame: UInt8Array, face: Face | None) -> UInt8Array:
    """Cut the square around a face, or the whole frame, and reduce it; parts outside the frame are black."""
    rows, columns = frame.shape[:2]
    if face is None:
        x, y, side = 0, 0, max(rows, columns)
    else:
        left, top, width, height = face.box
        # More than the whole frame around the face shows nothing else.
        side = max(1, round(min(_REGION * max(width, height), 2.0 * max(rows, columns))))
        x, y = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
    part = frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    # Reduce before the square is allocated, because a side may have millions of pixels.
    size = max(MIN_SIDE_PX, min(side, _MOST_PX))
    region = np.zeros((size, size, 3), np.uint8)
    if part.size:
        above, before = max(-y, 0) * size // side, max(-x, 0) * size // side
        height_px = min(size - above, max(1, part.shape[0] * size // side))
        width_px = min(size - before, max(1, part.shape[1] * size // side))
        region[above : above + height_px, before : before + width_px] = resize_fast(part, height_px, width_px)
    return region
