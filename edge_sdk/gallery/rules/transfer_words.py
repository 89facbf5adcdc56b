"""The comparison of a gallery's own scores with its model's card, in words."""

from __future__ import annotations

from edge_sdk.gallery.rules.transfer import MIN_SUBJECTS, TransferCheck, TransferState

ADVICE = (
    "measure the model with images of this camera (edge-convert evaluate --write-card), or raise the thresholds with"
    " edge-sdk gallery policy --adapt-threshold"
)


def in_words(check: TransferCheck) -> str:
    """Describe a comparison: what was counted, what the card states, and what follows."""
    if check.state is TransferState.NOT_STORED:
        return "not compared with the card: no non-mated scores of the card are stored"
    if check.state is TransferState.TOO_FEW:
        words = (
            f"too few subjects to compare with the card: {check.subjects}, at least {MIN_SUBJECTS} are needed"
        )
        return f"{words}; until then the card's thresholds are used" if check.adapts else words
    counted = (
        f"{check.matches:.3g} of {check.pairs} pairs of different subjects match at cosine {check.threshold:.4f},"
        f" the card states {check.expected:.3g}"
    )
    if check.alarm:
        counted += ": the card's thresholds do not hold for these people or this camera"
        if not check.adapts:
            counted += ", and strangers are accepted more often than the card states"
    if check.set_aside:
        pairs = "1 pair is" if check.set_aside == 1 else f"{check.set_aside} pairs are"
        counted += (
            f"; {pairs} left out when thresholds are raised, because they are far more alike than all others: check if"
            " a person is enrolled under two names"
        )
    return counted
