"""What a recognizer answers: frozen values, a refused capture among them; never a score."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.gallery.results import Decision
from edge_sdk.vision.faces import Face


@dataclass(frozen=True)
class Recognition:
    """The one answer to "who is before the camera?".

    Attributes:
        decision: The gallery's; `RETRY` also where no face could be taken.
        subject: Who, where accepted; else None.
        reason: Why not accepted, in a few words a person can act on; empty where accepted.
        face: The face the answer is about, in the pixels of its last frame; None where there is none.
        counted: Whether it counts as a try: a face that could not be taken does not (it is a failure to
            acquire, ISO/IEC 19795-1).
    """

    decision: Decision
    subject: str | None
    reason: str = ""
    face: Face | None = None
    counted: bool = True

    @property
    def accepted(self) -> bool:
        """Whether the decision is `Decision.ACCEPTED`."""
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True)
class RefusedFrame:
    """A frame that gave no template.

    Attributes:
        index: Which, from 0.
        reason: Why, in a few words a person can act on.
    """

    index: int
    reason: str


@dataclass(frozen=True)
class Enrolment:
    """A subject that is enrolled now.

    Attributes:
        subject: The name.
        templates: From how many frames.
        refused: The frames that gave none.
    """

    subject: str
    templates: int
    refused: tuple[RefusedFrame, ...] = ()
