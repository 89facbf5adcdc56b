"""Answers of a recognizer, made from those of a gallery, with the words for the person in front of the camera."""

from __future__ import annotations

from edge_sdk.gallery.results import Decision, Identification, Reason, Verification
from edge_sdk.recognizer.enrolment import ATTACK
from edge_sdk.recognizer.results import Recognition
from edge_sdk.recognizer.sampling import NoSample
from edge_sdk.vision.faces import Face

_MESSAGES = {
    Reason.CLOSE: "look straight at the camera, with light on the face",
    Reason.AMBIGUOUS: "look straight at the camera, with light on the face",
    Reason.WAIT: "too many failures: wait",
    Reason.DISABLED: "too many failures: an administrator must reset them",
    Reason.COUNTER: "the attempt counter is missing or invalid: an administrator must reset it",
}


def guidance(no_sample: NoSample) -> Recognition:
    """Return the answer for a frame from which no sample was taken; it is not counted."""
    refusal = no_sample.refusal
    return Recognition(Decision.RETRY, None, refusal.hint, no_sample.face, counted=False, code=refusal.reason)


def answer_of(answer: Identification | Verification, face: Face) -> Recognition:
    """Return the answer of a counted attempt."""
    if answer.reason is not None:
        message = _MESSAGES[answer.reason]
    else:
        message = "" if answer.accepted else "not recognized"
    return Recognition(answer.decision, answer.subject if answer.accepted else None, message, face)


def attack(rejection: Identification | Verification, face: Face) -> Recognition:
    """Return the answer of an attempt that was refused as a presentation attack, or locked out."""
    return Recognition(
        rejection.decision, None, ATTACK if rejection.reason is None else _MESSAGES[rejection.reason], face
    )
