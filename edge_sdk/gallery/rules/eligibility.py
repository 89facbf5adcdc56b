"""Eligibility of subjects: revoked, not yet valid and expired subjects are never accepted. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.format.content import REVOKED, Content


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Subjects that may be accepted in a period: not revoked, valid_from <= now < valid_until.

    Attributes:
        subjects: Shape (S,), bool, whether each subject may be accepted.
        excluded_rows: Indices of the template rows of subjects that may not be accepted.
        since_s: Start of the period, Unix seconds: the last time at which the validity of a subject started or ended.
        until_s: End of the period, Unix seconds: the next such time; infinity if there is none.
    """

    subjects: NDArray[np.bool_]
    excluded_rows: NDArray[np.intp]
    since_s: float
    until_s: float

    @classmethod
    def at(cls, content: Content, now_s: float) -> Eligibility:
        """Compute the eligibility at a time, Unix seconds."""
        begins, ends = content.subjects["valid_from"], content.subjects["valid_until"]
        now = np.uint64(max(0, int(now_s)))
        valid: NDArray[np.bool_] = (begins <= now) & ((ends == 0) | (now < ends))
        valid &= (content.subjects["flags"] & np.uint32(REVOKED)) == 0
        excluded = np.flatnonzero(~valid[content.templates["subject"]])
        boundaries = np.concatenate([begins, ends[ends > 0]])
        before, after = boundaries[boundaries <= now], boundaries[boundaries > now]
        return cls(
            valid,
            excluded,
            float(before.max()) if before.size else -math.inf,
            float(after.min()) if after.size else math.inf,
        )

    def holds(self, now_s: float) -> bool:
        """Return whether a time, Unix seconds, is in the period."""
        return self.since_s <= now_s < self.until_s
