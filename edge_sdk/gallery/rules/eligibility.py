"""Eligibility of subjects: revoked, not yet valid and expired subjects are never accepted. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.format.content import REVOKED, Content
from edge_sdk.gallery.results import Subject
from edge_sdk.gallery.rules.known_time import KnownTime


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Subjects that may be accepted in a period: not revoked, valid_from <= now < valid_until.

    Attributes:
        subjects: Shape (S,), bool, whether each subject may be accepted.
        excluded_rows: Indices of the template rows of subjects that may not be accepted.
        since_s: Start of the period, Unix seconds: the last time at which the validity of a subject started or ended.
        until_s: End of the period, Unix seconds: the next such time; infinity if there is none.
        ends_known: False if the clock is behind; then no subject with an end of validity may be accepted.
    """

    subjects: NDArray[np.bool_]
    excluded_rows: NDArray[np.intp]
    since_s: float
    until_s: float
    ends_known: bool = True

    @classmethod
    def at(cls, content: Content, time: KnownTime) -> Eligibility:
        """Compute the eligibility at a time."""
        begins, ends = content.subjects["valid_from"], content.subjects["valid_until"]
        now, ends_known = np.uint64(max(0, int(time.now_s))), not time.behind_s
        valid: NDArray[np.bool_] = (begins <= now) & ((ends == 0) | ((now < ends) & ends_known))
        valid &= (content.subjects["flags"] & np.uint32(REVOKED)) == 0
        excluded = np.flatnonzero(~valid[content.templates["subject"]])
        boundaries = np.concatenate([begins, ends[ends > 0]])
        before, after = boundaries[boundaries <= now], boundaries[boundaries > now]
        return cls(
            valid,
            excluded,
            float(before.max()) if before.size else -math.inf,
            float(after.min()) if after.size else math.inf,
            ends_known,
        )

    def holds(self, time: KnownTime) -> bool:
        """Return whether a time is in the period."""
        return self.since_s <= time.now_s < self.until_s and self.ends_known == (not time.behind_s)


def exclusion(subject: Subject, time: KnownTime) -> str | None:
    """Return why a subject is not accepted at a time, in words; None if it may be accepted."""
    if subject.revoked:
        return "revoked"
    if time.now_s < subject.valid_from_s:
        return "not yet valid"
    if subject.valid_until_s and time.now_s >= subject.valid_until_s:
        return "expired"
    if subject.valid_until_s and time.behind_s:
        return "perhaps expired: the clock is behind"
    return None
