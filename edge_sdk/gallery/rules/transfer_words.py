"""The comparison of a gallery's own scores with its model's card, in words."""

from __future__ import annotations

from edge_sdk.gallery.rules.raised_threshold import CAP, RaisedThreshold
from edge_sdk.gallery.rules.transfer import MIN_SUBJECTS, TransferCheck, TransferState

ADVICE = (
    "measure the model with images of this camera (edge-convert evaluate --write-card), or raise the thresholds with"
    " edge-sdk gallery policy --adapt-threshold"
)


def raised_in_words(raised: RaisedThreshold) -> str:
    """Describe a raised threshold, and how many subjects still match themselves at it."""
    words = f"the threshold is raised: {raised.card_threshold:.4f} -> {raised.threshold:.4f}"
    if raised.threshold >= CAP:
        return f"{words}, which no new capture reaches: nobody is accepted"
    if not raised.compared:
        return (
            f"{words}; no subject has two different templates, so it is not known if the enrolled people are still"
            " accepted"
        )
    words += (
        f"; {raised.matching} of {raised.compared} subjects with several templates still match another template of"
        " their own"
    )
    return f"{words}: most enrolled people are not accepted" if raised.too_high else words


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
    if check.matches != round(check.matches):
        counted += " (a pair counts by the share of its comparisons that match)"
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
