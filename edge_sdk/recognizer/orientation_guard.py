"""Refusal of camera pictures that are not upright, at enrolment and at the door."""

from __future__ import annotations

from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face, FaceDetector
from edge_sdk.vision.orientation import orientation_of
from edge_sdk.vision.quality import Refusal
from edge_sdk.vision.upright import check_upright, not_upright, turned

#: Checks in a row with the same result after which the camera, and not a person, is the cause.
CONSISTENT = 3
#: A person who was found upright is checked again after this many good frames.
TRACK_INTERVAL = 16
#: A frame that gives no attempt is checked once per this many frames. A check costs about one detection.
INTERVAL = 50


class OrientationGuard:
    """Checks that pictures are upright.

    Every person must be found upright before the first attempt, and again from time to time. If `CONSISTENT` checks in a row give the same other rotation, the camera
    is turned; only as many upright checks in a row end this state. Frames without an attempt are sampled, so that a turned
    camera is also noticed if its faces are too bad for an attempt, or are not detected.

    Args:
        detector: Finds faces.
        rotate: Rotation that the camera applies already, clockwise in degrees; messages add to it.
    """

    def __init__(self, detector: FaceDetector, *, rotate: int = 0) -> None:
        self._detector = detector
        self.rotate = rotate
        self._faces = _Agreement()
        self._empty = _Agreement()
        self._upright_seen = False
        self._skipped = INTERVAL

    def single(self, frame: UInt8Array, face: Face | None) -> Refusal | None:
        """Check one frame by itself, as at an enrolment.

        Returns:
            A refusal if the picture is turned; None if it is upright, or if no turn of it shows a face.
        """
        return check_upright(self._detector, frame, face, rotate=self.rotate)

    @property
    def suspects(self) -> bool:
        """True if the camera is turned, or the last check of a face was a first sign of it: no attempt without a check."""
        return bool(self._faces.rotate) or self._faces.suspects

    def before_attempt(self, frame: UInt8Array, face: Face) -> Refusal | None:
        """Check the last frame of an attempt; return a refusal unless its face is upright and the camera is not turned."""
        rotate = self._check_face(frame, face)
        if self._faces.rotate:
            return self._turned(self._faces.rotate)
        return None if rotate == 0 else not_upright()

    def without_attempt(self, frame: UInt8Array, face: Face | None) -> Refusal | None:
        """Check a sample of the frames that give no attempt; return a refusal if the camera is turned.

        Frames without a face are checked only until an upright face was seen: later, a pattern in the empty scene that
        resembles a turned face must not cause a message.
        """
        if face is None and self._upright_seen:
            return None
        agreement = self._empty if face is None else self._faces
        self._skipped += 1
        # After a first sign of a turn, every frame is checked until the checks agree.
        if self._skipped >= INTERVAL or agreement.suspects:
            self._skipped = 0
            if face is None:
                agreement.add(orientation_of(self._detector, frame, None).rotate)
            else:
                self._check_face(frame, face)
        return self._turned(agreement.rotate) if agreement.rotate else None

    def _check_face(self, frame: UInt8Array, face: Face) -> int | None:
        rotate = orientation_of(self._detector, frame, face).rotate
        self._faces.add(rotate)
        self._upright_seen |= rotate == 0
        return rotate

    def _turned(self, rotate: int) -> Refusal:
        return turned(rotate, applied=self.rotate)


class _Agreement:
    """Result on which the last checks agreed.

    Attributes:
        rotate: Clockwise turn in degrees on which `CONSISTENT` checks in a row agreed last; 0 at the start.
    """

    def __init__(self) -> None:
        self.rotate = 0
        self._last = 0
        self._run = 0

    @property
    def suspects(self) -> bool:
        """True if the last check differs from the result on which earlier checks agreed."""
        return self._last != self.rotate

    def add(self, rotate: int | None) -> None:
        """Add the result of a check; None, if no turn showed a face, ends a suspicion."""
        if rotate is None:
            self._last, self._run = self.rotate, 0
            return
        self._run = self._run + 1 if rotate == self._last else 1
        self._last = rotate
        if self._run >= CONSISTENT:
            self.rotate = rotate
