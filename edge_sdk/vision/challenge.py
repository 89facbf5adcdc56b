"""Challenge and response: ask for a movement that a picture cannot make."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edge_sdk.errors import InputError
from edge_sdk.vision.faces import Face
from edge_sdk.vision.pose import pose_of


class Progress(Enum):
    """How far a challenge has come; only ``PASSED`` is a pass."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


class Challenge(Protocol):
    """One challenge to one person, used once."""

    @property
    def prompt(self) -> str:
        """What to ask of the person."""

    def observe(self, face: Face | None, time_s: float) -> Progress:
        """Look at one frame's face; None where there is none or more than one."""


@dataclass(frozen=True)
class TurnLimits:
    """What counts as a turn.

    Args:
        frontal_deg: The challenge begins with the head less turned than this.
        turned_deg: And is met with it more turned than this, to the side that was asked for.
        frames: So many frames in a row each.
        timeout_s: From the first frame on.
        max_gap_s: Longer without the face, and it may be another's.
        max_jump: Farther between two frames, in distances between the eyes, and it may be another's.
    """

    frontal_deg: float = 15.0
    turned_deg: float = 25.0
    frames: int = 2
    timeout_s: float = 8.0
    max_gap_s: float = 0.5
    max_jump: float = 1.0


class TurnHead:
    """Asks to turn the head to one side, drawn by chance, and back.

    A flat picture that is turned keeps its nose between its eyes, so its pose stays frontal (see ``pose_of``). A
    video of the person that turns to the right side at the right time passes: this is a hurdle, no proof.

    Args:
        limits: What counts as a turn.
        side: ``left`` or ``right`` as the person before the camera sees it; drawn where None.

    Raises:
        InputError: Another side, or limits that cannot be met.
    """

    def __init__(self, *, limits: TurnLimits = TurnLimits(), side: str | None = None) -> None:
        if side not in (None, "left", "right"):
            raise InputError(f"expected left or right, found {side!r}")
        if not 0 < limits.frontal_deg < limits.turned_deg < 90 or limits.frames < 1 or limits.timeout_s <= 0:
            raise InputError(f"expected limits that can be met, found {limits}")
        self.side = side or secrets.choice(("left", "right"))
        self._limits = limits
        self._stage = 0
        self._in_a_row = 0
        self._began_s: float | None = None
        self._last: Face | None = None
        self._last_s = 0.0
        self._result = Progress.WAITING

    @property
    def prompt(self) -> str:
        """What to ask of the person."""
        return f"look at the camera, turn your head to your {self.side}, then look back"

    def observe(self, face: Face | None, time_s: float) -> Progress:
        """Look at one frame's face.

        Args:
            face: None where there is none or more than one.
            time_s: Of the frame, on a clock that never runs back.

        Returns:
            Once passed or failed, always that.
        """
        if self._result is not Progress.WAITING:
            return self._result
        if self._began_s is None:
            self._began_s = self._last_s = time_s
        late = not 0 <= time_s - self._began_s <= self._limits.timeout_s
        if late or time_s < self._last_s or not self._same_person(face, time_s):
            self._result = Progress.FAILED
        elif face is not None:
            self._step(face)
            self._last, self._last_s = face, time_s
        return self._result

    def _same_person(self, face: Face | None, time_s: float) -> bool:
        """Whether nobody can have taken the person's place since the last frame."""
        if self._last is None:
            return True
        if time_s - self._last_s > self._limits.max_gap_s:
            return False
        if face is None:
            return True
        middle, before = face.landmarks.mean(axis=0), self._last.landmarks.mean(axis=0)
        moved = math.hypot(*(middle - before))
        size, size_before = _size(face), _size(self._last)
        return moved <= self._limits.max_jump * size_before and 0.5 <= size / size_before <= 2

    def _step(self, face: Face) -> None:
        yaw = pose_of(face.landmarks).yaw_deg
        # The person's left is the right of the image.
        toward = yaw if self.side == "left" else -yaw
        met = toward >= self._limits.turned_deg if self._stage == 1 else abs(yaw) <= self._limits.frontal_deg
        self._in_a_row = self._in_a_row + 1 if met else 0
        if self._stage == 1 and toward <= -self._limits.turned_deg:
            self._result = Progress.FAILED  # the wrong side: a recording turns as it was recorded
        if self._in_a_row >= self._limits.frames:
            self._stage, self._in_a_row = self._stage + 1, 0
            if self._stage == 3:
                self._result = Progress.PASSED


def _size(face: Face) -> float:
    """How large a face is whichever way it is turned: its landmarks' height and width are not enough alone."""
    spread = face.landmarks - face.landmarks.mean(axis=0)
    return max(math.sqrt(float((spread**2).sum())), 1e-6)
