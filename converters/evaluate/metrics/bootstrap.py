"""Confidence intervals by resampling subjects.

Scheme: a replicate draws all S subjects with replacement; subject s occurs m(s) times, and each copy is a
separate subject. A mated comparison of s then counts m(s) times, divided by the number of mated comparisons of s, so that
subjects weigh alike; a non-mated comparison of s and t counts m(s) * m(t) times; two copies of one subject are never
compared with each other.
This is the subsets bootstrap of Bolle, Ratha and Pankanti (CVIU 93, 2004) and of Poh, Martin and
Bengio (IEEE TPAMI 29, 2007), extended to both subjects of a non-mated pair as in the vertex bootstrap
(Fogliato, Patil and Perona, IJCV 2024, arXiv:2306.01198). Intervals are percentile intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.curves import allowed_errors, check_rate
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.scores import ScoreSet, first_at_least
from converters.evaluate.metrics.subject_scores import (
    MIN_SUBJECTS,
    Comparisons,
    SubjectScores,
    mated_subjects,
)
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

DEFAULT_REPLICATES = 1000
MAX_REPLICATES = 100_000
CHUNK = 1024


def draw_multiplicities(subjects: int, *, replicates: int, seed: int) -> IntArray:
    """Draw how often each subject occurs in each replicate.

    Args:
        subjects: S >= 1.
        replicates: R in 1..100000.
        seed: Seed of PCG64; the same seed gives the same draw.

    Returns:
        Shape (S, R), int64; each column sums to S.

    Raises:
        InputError: A count is outside its range.
    """
    if subjects < 1 or not 1 <= replicates <= MAX_REPLICATES or subjects * replicates > 2**29:
        raise InputError(
            f"expected at least one subject and 1..{MAX_REPLICATES} replicates, "
            f"found {subjects} and {replicates}",
            hint="1000 replicates are enough for a 95 % interval",
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = np.empty((subjects, replicates), dtype=np.int64)
    for column in range(replicates):
        chosen = generator.integers(0, subjects, size=subjects)
        drawn[:, column] = np.bincount(chosen, minlength=subjects)
    return drawn


def replicate_tars(
    comparisons: Comparisons,
    scores: ScoreSet,
    *,
    fmrs: Sequence[float],
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> Float64Array:
    """Compute TAR at given FMRs in every replicate, with a new threshold in each one.

    Args:
        comparisons: The comparisons.
        scores: `comparisons.scores()`.
        fmrs: F values, each above 0 and under 1.
        replicates: R.
        seed: Seed of the draw.

    Returns:
        Shape (F, R), mean over subjects; NaN in a replicate with comparisons of one kind only.

    Raises:
        InputError: A count or rate is outside its range, or all comparisons are of one kind.
    """
    if scores.mated_trials == 0 or scores.non_mated_trials == 0:
        raise InputError(
            f"expected mated and non-mated comparisons, found {scores.mated_trials} mated and"
            f" {scores.non_mated_trials} non-mated",
            hint="add comparisons of the missing kind",
        )
    highest = max((check_rate(fmr) for fmr in fmrs), default=0.5)
    depth = highest * scores.non_mated_trials
    kept = int(max(depth * (4.0 if depth < 1e6 else 1.5), depth + 1000)) + 1
    weights: _Draw | None = None
    while True:
        floor = -2.0 if kept >= scores.non_mated_trials else scores.score_at_rank(kept)
        tagged = comparisons.with_subjects(floor)
        if weights is None:
            weights = _Draw.of(draw_multiplicities(tagged.subjects, replicates=replicates, seed=seed))
        tars = _tars(tagged, weights, fmrs)
        if tars is not None:
            return tars
        kept *= 4


def percentile_interval(
    values: Float64Array,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    method: str = "subject bootstrap",
) -> Interval | Unsupported:
    """Compute the percentile interval of the replicates that are not NaN.

    Args:
        values: Shape (R,).
        confidence: Above 0 and under 1.
        seed: Seed of the draw, for the description.
        method: Method, for the description.

    Returns:
        The interval; `Unsupported` if fewer than half of the replicates are defined.

    Raises:
        InputError: `confidence` is outside its range.
    """
    level = check_rate(confidence, "a confidence")
    usable = values[np.isfinite(values)]
    if usable.size < max(2, values.size / 2):
        return Unsupported(
            "confidence interval",
            (values.size + 1) // 2,
            int(usable.size),
            "too few subjects: most resamples have only mated or only non-mated comparisons",
        )
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, int(usable.size), f"{method}, percentile, seed {seed}")


def subjects_refusal(comparisons: Comparisons) -> Unsupported | None:
    """Return a refusal if fewer than 10 subjects have mated comparisons, otherwise None."""
    subjects = mated_subjects(comparisons)
    if subjects >= MIN_SUBJECTS:
        return None
    return Unsupported.too_few(
        "confidence interval",
        MIN_SUBJECTS,
        subjects,
        figure="an interval",
        units="subjects with mated comparisons",
    )


@dataclass(frozen=True, eq=False)
class _Draw:
    """Multiplicities with one row per subject and with one row per replicate; sums over a chunk are exact."""

    by_subject: NDArray[np.floating]
    by_replicate: NDArray[np.floating]

    @classmethod
    def of(cls, drawn: IntArray) -> _Draw:
        exact_in_float32 = CHUNK * int(drawn.max()) ** 2 < 2**24
        by_subject: NDArray[np.floating] = drawn.astype(np.float32 if exact_in_float32 else np.float64)
        return cls(by_subject, np.ascontiguousarray(by_subject.T))

    def per_comparison(self, owners: IntArray) -> _Draw:
        """Divide the multiplicity of each subject by its number of comparisons, so that subjects weigh alike.

        Args:
            owners: Subject of each comparison.
        """
        counts = np.bincount(owners, minlength=len(self.by_subject))
        scaled = self.by_subject.astype(np.float64) / np.maximum(counts, 1)[:, None]
        return _Draw(scaled, np.ascontiguousarray(scaled.T))


class _Ranking:
    """Weighted counts along a descending list of scores, in all replicates at once."""

    def __init__(self, scores: FloatArray, owners: tuple[NDArray[np.integer], ...], draw: _Draw) -> None:
        self._scores, self._owners, self._draw = scores, owners, draw
        self._ascending = scores[::-1]
        self._ones = np.ones(CHUNK, dtype=draw.by_subject.dtype)
        replicates = draw.by_subject.shape[1]
        chunks = -(-scores.size // CHUNK)
        self._above = np.zeros((chunks + 1, replicates))
        for chunk in range(chunks):
            self._above[chunk + 1] = self._above[chunk] + self._sum(chunk * CHUNK, (chunk + 1) * CHUNK)

    def total(self) -> Float64Array:
        """Return the weight of the whole list, shape (R,)."""
        total: Float64Array = self._above[-1]
        return total

    def above(self, thresholds: Float64Array) -> Float64Array:
        """Return the weight of the scores >= the threshold of each replicate; shape (R,) in and out."""
        places = self._ascending.size - first_at_least(self._ascending, thresholds)
        chunks = places // CHUNK
        if (places == places[0]).all():
            start = int(chunks[0]) * CHUNK
            return np.asarray(self._above[chunks[0]] + self._sum(start, int(places[0])), dtype=np.float64)
        counted = self._above[chunks, np.arange(places.size)]
        for replicate, (chunk, place) in enumerate(zip(chunks.tolist(), places.tolist(), strict=True)):
            counted[replicate] += self._weights(replicate, chunk * CHUNK, place).sum(dtype=np.float64)
        return counted

    def threshold(self, budget: Float64Array) -> Float64Array:
        """Find the smallest threshold per replicate with at most `budget` weight at or above it.

        Returns:
            Shape (R,); -inf if the weight of the whole list is within the budget.
        """
        over = self._above[1:] > budget[None, :]
        crossed = over.any(axis=0)
        chunks = over.argmax(axis=0) if len(over) else np.zeros(budget.size, dtype=np.int64)
        thresholds = np.full(budget.size, -np.inf)
        for replicate in np.flatnonzero(crossed).tolist():
            chunk = int(chunks[replicate])
            weights = self._weights(replicate, chunk * CHUNK, (chunk + 1) * CHUNK)
            running = self._above[chunk, replicate] + np.cumsum(weights, dtype=np.float64)
            rejected = self._scores[chunk * CHUNK + int((running > budget[replicate]).argmax())]
            thresholds[replicate] = np.nextafter(rejected, np.float32(np.inf))
        return thresholds

    def _sum(self, start: int, stop: int) -> Float64Array:
        part = slice(start, min(stop, self._scores.size))
        weights: NDArray[np.floating] = self._draw.by_subject[self._owners[0][part]]
        for owner in self._owners[1:]:
            weights *= self._draw.by_subject[owner[part]]
        return np.asarray(self._ones[: len(weights)] @ weights, dtype=np.float64)

    def _weights(self, replicate: int, start: int, stop: int) -> NDArray[np.floating]:
        row = self._draw.by_replicate[replicate]
        weights: NDArray[np.floating] = row[self._owners[0][start:stop]]
        for owner in self._owners[1:]:
            weights = weights * row[owner[start:stop]]
        return weights


def _tars(tagged: SubjectScores, draw: _Draw, fmrs: Sequence[float]) -> Float64Array | None:
    """Compute TAR in all replicates; None if a threshold lies below the kept non-mated scores."""
    mated = _Ranking(tagged.mated, (tagged.mated_subject,), draw.per_comparison(tagged.mated_subject))
    other = _Ranking(tagged.non_mated, (tagged.first, tagged.second), draw)
    mated_total, other_total = mated.total(), other.total()
    if tagged.images is not None:
        images = tagged.images.astype(np.float64)
        whole = images @ draw.by_subject
        squares = (images * images) @ (draw.by_subject.astype(np.float64) ** 2)
        other_total = (whole * whole - squares) / 2
    usable = (mated_total > 0) & (other_total > 0)
    safe_mated, safe_other = np.where(usable, mated_total, 1.0), np.where(usable, other_total, 1.0)
    tars = np.full((len(fmrs), usable.size), np.nan)
    for row, fmr in enumerate(fmrs):
        own = other.threshold(allowed_errors(fmr, safe_other))
        if not tagged.complete and not np.isfinite(own[usable]).all():
            return None
        tars[row] = np.where(usable, mated.above(own) / safe_mated, np.nan)
    return tars
