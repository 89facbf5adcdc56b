"""Exact search for the subjects with the highest scores. Pure.

The approximate scores of a kernel and the bound of their error select the rows that can be among the
best. The selected rows are scored exactly: the probe has 16-bit integers, stored numbers are integers
(int8) or multiples of 2^-24 (float16 of a unit vector), so every partial sum of a float64 dot
product is exact, in any order, on any machine. Equal templates have equal scores.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.match.kernels import Kernel, Probe, kernel_for
from edge_sdk.types import Float64Array, FloatArray

_BLOCK_NUMBERS = 1 << 18
_ROUNDING = 1 + 1e-12  # keeps rows that a rounding of the gap would exclude; no effect if the gap is 0
_NO_ROWS = np.empty(0, np.intp)


class Leader(NamedTuple):
    """Index of a subject and the score of its best template."""

    subject: int
    score: float


class Search:
    """Search over the rows of a gallery, prepared for many probes.

    Args:
        matrix: Shape (M, D), int8 or float16; not copied.
        scales: Reciprocal lengths of the rows, shape (M,), float32.
        owners: Index of each row's subject, shape (M,).
        kernel: Kernel for approximate scores (default: the fastest available one).
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
        """Find the best subject and those close to it.

        Args:
            probe: Result of `Probe.of`.
            floor: Score that the best subject must reach.
            gap: Largest distance to the best score, 0..2.
            excluded_rows: Rows to ignore.

        Returns:
            Subjects with a score of at least the best score minus `gap`, with exact scores, in descending order of score,
            then ascending order of index. Empty if the best score is below `floor`.
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
            # Convert first: numpy's dot of two different types takes 1.5 times as long.
            dot = self._matrix[best].astype(np.float64).dot(probe.integers)
            score = float(dot) * float(self._scales[best]) / probe.length
        return [Leader(int(self._owners[best]), score)] if score >= floor else []

    def rows_of(self, subjects: Collection[int]) -> NDArray[np.intp]:
        """Return the indices of the rows of some subjects."""
        return np.flatnonzero(np.isin(self._owners, list(subjects))) if subjects else _NO_ROWS

    def scores(self, probe: Probe, subjects: NDArray[np.bool_]) -> list[Leader]:
        """Return the exact scores of the subjects selected by `subjects`, shape (S,), in descending order of score."""
        rows = np.flatnonzero(subjects[self._owners])
        return self._refined(rows, probe, -math.inf, math.inf) if rows.size else []

    def _refined(self, rows: NDArray[np.intp], probe: Probe, floor: float, gap: float) -> list[Leader]:
        best: dict[int, float] = {}
        for row, score in zip(rows.tolist(), self._exact(rows, probe).tolist(), strict=True):
            owner = int(self._owners[row])
            best[owner] = max(score, best.get(owner, -math.inf))
        leaders = sorted((Leader(*item) for item in best.items()), key=lambda a: (-a.score, a.subject))
        if leaders[0].score < floor:
            return []
        return [leader for leader in leaders if leader.score >= leaders[0].score - gap]

    def _exact(self, rows: NDArray[np.intp], probe: Probe) -> Float64Array:
        step = max(1, _BLOCK_NUMBERS // self._matrix.shape[1])
        dots = np.empty(len(rows))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            dots[start : start + step] = np.dot(self._matrix[part].astype(np.float64), probe.integers)
        dots *= self._scales[rows]
        dots /= probe.length
        return dots
