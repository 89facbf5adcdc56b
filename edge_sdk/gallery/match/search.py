"""The subjects most alike to a probe: quick to find, exact in the answer; pure.

A kernel's approximate scores choose the rows that can matter, by a proven bound on their error;
those rows are scored exactly: the probe is whole numbers of 16 bits, stored numbers are integers
(int8) or multiples of 2^-24 (float16 of a unit vector), so every partial sum of a float64 dot
product is exact, in any order, on any machine. Two equal templates tie exactly.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.format.content import REVOKED, Content
from edge_sdk.gallery.match.kernels import Kernel, Probe, kernel_for
from edge_sdk.types import Float64Array, FloatArray

_BLOCK_NUMBERS = 1 << 18
_ROUNDING = 1 + 1e-12  # so that no rounding of the gap leaves a row out; nothing where the gap is 0
_NO_ROWS = np.empty(0, np.intp)


class Leader(NamedTuple):
    """A subject and its score, which is its best template's."""

    subject: int
    score: float


@dataclass(frozen=True, eq=False)
class TakesPart:
    """Who may be accepted: not revoked, valid_from <= now < valid_until.

    Attributes:
        subjects: Shape (S,), bool.
        excluded_rows: Rows of the matrix whose subject takes no part.
        until_s: Unix time at which the next subject comes or goes; infinity for never.
        since_s: Unix time from which this holds.
    """

    subjects: NDArray[np.bool_]
    excluded_rows: NDArray[np.intp]
    since_s: float
    until_s: float

    @classmethod
    def at(cls, content: Content, now_s: float) -> TakesPart:
        """Decided before any comparison."""
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
        """Whether it is still so at a time."""
        return self.since_s <= now_s < self.until_s


class Search:
    """A gallery's rows, prepared for one probe after another.

    Args:
        matrix: Shape (M, D), int8 or float16; kept, not copied.
        scales: Shape (M,), float32: one over the length of each row.
        owners: Shape (M,), each row's subject.
        kernel: How to score approximately; the quickest there is by default.
    """

    def __init__(
        self,
        matrix: NDArray[Any],
        scales: FloatArray,
        owners: NDArray[np.uint32],
        *,
        kernel: Kernel | None = None,
    ) -> None:
        self._matrix = matrix
        self._scales = np.ascontiguousarray(scales)
        self._owners = np.ascontiguousarray(owners)
        self._kernel = kernel or kernel_for(matrix, self._scales)

    def leaders(
        self,
        probe: Probe,
        *,
        floor: float = -math.inf,
        gap: float = 0.0,
        excluded_rows: NDArray[np.intp] = _NO_ROWS,
    ) -> list[Leader]:
        """The best subject and all that come close.

        Args:
            probe: From `Probe.of`.
            floor: Where the best score is under this, nobody is returned.
            gap: How far under the best score another subject still counts, 0..2.
            excluded_rows: Rows that take no part.

        Returns:
            Every subject whose score is at most `gap` under the best, best first, ties by subject; with
            exact scores.
        """
        if len(self._owners) == 0:
            return []
        values, divisor, error = self._kernel.scores(probe)
        if excluded_rows.size:
            values[excluded_rows] = -np.inf
        best = int(values.argmax())
        value = float(values[best])
        top = value / divisor
        if top + error < floor or value == -math.inf:
            return []
        values[best] = -math.inf
        near = value - (gap + 2 * error) * divisor * _ROUNDING
        if values[values.argmax()] >= near:
            return self._refined(np.append(np.flatnonzero(values >= near), best), probe, floor, gap)
        score = top
        if error:
            # Cast first: numpy's dot of two types takes half as long again.
            dot = self._matrix[best].astype(np.float64).dot(probe.integers)
            score = float(dot) * float(self._scales[best]) / probe.length
        return [Leader(int(self._owners[best]), score)] if score >= floor else []

    def rows_of(self, subjects: Collection[int]) -> NDArray[np.intp]:
        """The rows of some subjects."""
        return np.flatnonzero(np.isin(self._owners, list(subjects))) if subjects else _NO_ROWS

    def scores(self, probe: Probe, subjects: NDArray[np.bool_]) -> list[Leader]:
        """Exact scores of some subjects, all of them, best first."""
        rows = np.flatnonzero(subjects[self._owners])
        return self._refined(rows, probe, -math.inf, math.inf) if rows.size else []

    def _refined(self, rows: NDArray[np.intp], probe: Probe, floor: float, gap: float) -> list[Leader]:
        best: dict[int, float] = {}
        for row, score in zip(rows.tolist(), self._exact(rows, probe).tolist(), strict=True):
            owner = int(self._owners[row])
            best[owner] = max(score, best.get(owner, -math.inf))
        found = sorted((Leader(*item) for item in best.items()), key=lambda a: (-a.score, a.subject))
        if found[0].score < floor:
            return []
        return [leader for leader in found if leader.score >= found[0].score - gap]

    def _exact(self, rows: NDArray[np.intp], probe: Probe) -> Float64Array:
        step = max(1, _BLOCK_NUMBERS // self._matrix.shape[1])
        dots = np.empty(len(rows))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            dots[start : start + step] = np.dot(self._matrix[part].astype(np.float64), probe.integers)
        dots *= self._scales[rows]
        dots /= probe.length
        return dots
