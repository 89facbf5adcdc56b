"""Subjects whose stored templates show more than one person, judged by the rule for captures of one enrolment. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_sdk.errors import ModelCardError
from edge_sdk.gallery.format.content import Content, ids_of
from edge_sdk.gallery.looks import looks_by_subject
from edge_sdk.gallery.rules.enrolment import odd_capture
from edge_sdk.gallery.rules.thresholds import Thresholds
from edge_sdk.types import Float64Array

MIXED_ADVICE = (
    "if the templates show two people, both are accepted under this name: remove the subject (edge-sdk gallery remove), and"
    " enrol each person alone"
)
# Stored templates are quantized, which changes a score by less.
_TOLERANCE = 0.01


def mixed_subjects(content: Content) -> tuple[str, ...]:
    """Return the names of subjects whose templates would be refused as captures of one enrolment.

    Templates of the enrolment are compared with one another, and those of each look. Without a decision policy, nothing is
    compared.

    Args:
        content: The gallery's content.
    """
    thresholds = Thresholds.of(content)
    if thresholds is None:
        return ()
    try:
        threshold = thresholds.consistent_threshold() - _TOLERANCE
    except ModelCardError:
        return ()
    owners = content.templates["subject"]
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(len(content.subjects) + 1))
    looks = looks_by_subject(content)
    names = []
    for index, (name, subject) in enumerate(zip(content.names, ids_of(content.subjects), strict=True)):
        rows = order[ends[index] : ends[index + 1]]
        stored: Float64Array = content.matrix[rows].astype(np.float64) * content.scales[rows, np.newaxis]
        parts = _parts(stored, [look.templates for look in looks.get(subject, [])])
        if any(len(part) > 1 and odd_capture(part, threshold) is not None for part in parts):
            names.append(name)
    return tuple(names)


def mixed_in_words(names: tuple[str, ...]) -> str:
    """Describe the subjects that `mixed_subjects` returns."""
    shown = ", ".join(repr(name) for name in names[:5]) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )
    return f"captures of one enrolment that are not like one another: {shown}"


def _parts(rows: Float64Array, looks: list[int]) -> Iterator[Float64Array]:
    """Yield the templates of the enrolment, then those of each look."""
    start = 0
    for count in (len(rows) - sum(looks), *looks):
        yield rows[start : start + count]
        start += count
