"""Results of a recognizer as frozen values; they contain no scores."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.gallery.results import Answer
from edge_sdk.vision.faces import Face


@dataclass(frozen=True)
class Recognition(Answer):
    """Result of one recognition.

    Attributes:
        decision: The gallery's decision; also `RETRY` if no face could be acquired.
        subject: Name of the subject if accepted, otherwise None.
        reason: Reason for not accepting and what the person can do; empty if accepted.
        face: Face of the attempt, in pixels of its last frame; None if no face was detected.
        counted: False for a face that could not be acquired, which is a failure to acquire (ISO/IEC 19795-1) and
            not an attempt.
        code: Stable identifier of the reason for a face that could not be acquired, such as `too_far` or
            `camera_turned` (see `Refusal.reason`); empty for an attempt.
    """

    subject: str | None
    reason: str = ""
    face: Face | None = None
    counted: bool = True
    code: str = ""


@dataclass(frozen=True)
class RefusedFrame:
    """Frame from which no template was made.

    Attributes:
        index: Position of the frame, from 0.
        reason: Reason, and what the person can do.
    """

    index: int
    reason: str


@dataclass(frozen=True)
class Enrolment:
    """Result of a successful enrolment.

    Attributes:
        subject: Name of the subject.
        templates: Number of stored templates.
        refused: Frames from which no template was made.
    """

    subject: str
    templates: int
    refused: tuple[RefusedFrame, ...] = ()
