"""Refusal of pictures that are not upright."""

from __future__ import annotations

from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face, FaceDetector
from edge_sdk.vision.orientation import orientation_of
from edge_sdk.vision.quality import Refusal

#: Reasons of the refusals of this module; see `Refusal.reason`.
CAMERA_TURNED, NOT_UPRIGHT = "camera_turned", "not_upright"
_TURNED_BY = {90: "90 degrees counterclockwise", 180: "180 degrees", 270: "90 degrees clockwise"}


def check_upright(
    detector: FaceDetector, frame: UInt8Array, face: Face | None, *, rotate: int = 0
) -> Refusal | None:
    """Check one frame by itself, as at an enrolment.

    Args:
        detector: Detector of the faces.
        frame: Shape (H, W, 3), uint8, RGB.
        face: Face of the frame; None examines the whole frame.
        rotate: Clockwise turn in degrees that is already applied to the frame; the hint adds to it.

    Returns:
        A refusal if the frame is turned; None if it is upright, or if no turn of it shows a face.
    """
    needed = orientation_of(detector, frame, face).rotate
    if needed:
        return turned(needed, applied=rotate)
    return not_upright() if needed is None and face is not None else None


def turned(rotate: int, *, applied: int) -> Refusal:
    """Refuse a frame that is upright after a further turn.

    Args:
        rotate: Further clockwise turn in degrees: 90, 180 or 270.
        applied: Clockwise turn in degrees that is already applied to the frame.
    """
    setting = (applied + rotate) % 360
    return Refusal(
        CAMERA_TURNED,
        f"expected an upright picture, found one that is upright after a turn by {rotate} degrees clockwise",
        f"the camera picture is turned by {_TURNED_BY[rotate]}: set rotate={setting} or --rotate {setting}",
    )


def not_upright() -> Refusal:
    """Refuse a frame whose face is turned, although the frame is not."""
    return Refusal(
        NOT_UPRIGHT,
        "expected an upright face, found one that is turned in the picture",
        "hold the head upright",
    )
