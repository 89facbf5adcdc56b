"""Confidence intervals by resampling subjects.

Scheme: a replicate draws all S subjects with replacement; subject s occurs m(s) times, and each copy is a
separate subject. A mated comparison of s then counts m(s) times, divided by the number of mated comparisons of s, so that
subjects weigh alike; a non-mated comparison of s and t counts m(s) * m(t) times; two copies of one subject are never compared with each other.
This is the subsets bootstrap of Bolle, Ratha and Pankanti (CVIU 93, 2004) and of Poh, Martin and
Bengio (IEEE TPAMI 29, 2007), extended to both subjects of a non-mated pair as in the vertex bootstrap
(Fogliato, Patil and Perona, IJCV 2024, arXiv:2306.01198). Intervals are percentile intervals.

With few errors, percentile intervals are too narrow (ibid.). Without errors they are empty, so the rule
of three gives the upper end instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.curves import allowed_errors, check_rate, upper_bound_without_errors
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.scores import ScoreSet, first_at_least
from converters.evaluate.metrics.subject_scores import Comparisons, SubjectScores, mated_subjects
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

DEFAULT_REPLICATES = 1000
MIN_SUBJECTS = 10
MAX_REPLICATES = 100_000
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Replicates:
    """Rates in each replicate: F operating points by R replicates; NaN if undefined.

    Attributes:
        fmr: Shape (F, R): FMR at the fixed thresholds.
        fnmr: Shape (F, R): FNMR at the fixed thresholds.
        tar: Shape (F, R): TAR at the given FMRs, with a new threshold in each replicate.
    """

    fmr: Float64Array
    fnmr: Float64Array
    tar: Float64Array


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


def replicate_rates(
    comparisons: Comparisons,
    scores: ScoreSet,
    *,
    fmrs: Sequence[float],
    thresholds: Sequence[float],
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> Replicates:
    """Compute FMR and FNMR at fixed thresholds, and TAR at given FMRs, in every replicate.

    Args:
        comparisons: The comparisons.
        scores: `comparisons.scores()`.
        fmrs: F values, each above 0 and under 1.
        thresholds: F values: the threshold of each operating point, computed on all data.
        replicates: R.
        seed: Seed of the draw.

    Raises:
        InputError: A count or rate is outside its range, or all comparisons are of one kind.
    """
    if len(fmrs) != len(thresholds) or scores.mated_trials == 0 or scores.non_mated_trials == 0:
        raise InputError(
            f"expected mated and non-mated comparisons and one threshold per FMR, found {scores.mated_trials} "
            f"mated, {scores.non_mated_trials} non-mated, {len(thresholds)} thresholds and {len(fmrs)} FMRs",
            hint="omit FMRs without a threshold, and add comparisons of the missing kind",
        )
    highest = max((check_rate(fmr) for fmr in fmrs), default=0.5)
    lowest_threshold = min(thresholds, default=1.0)
    depth = highest * scores.non_mated_trials
    kept = int(max(depth * (4.0 if depth < 1e6 else 1.5), depth + 1000)) + 1
    weights: _Draw | None = None
    while True:
        every = kept >= scores.non_mated_trials
        floor = -2.0 if every else min(scores.score_at_rank(kept), lowest_threshold)
        tagged = comparisons.with_subjects(floor)
        if weights is None:
            weights = _Draw.of(draw_multiplicities(tagged.subjects, replicates=replicates, seed=seed))
        rates = _rates(tagged, weights, fmrs, thresholds)
        if rates is not None:
            return rates
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


def error_interval(
    values: Float64Array, *, errors: int, independent_trials: int, confidence: float = 0.95, seed: int = 0
) -> Interval | Unsupported:
    """Compute the interval of an error rate; without errors, the rule of three gives its upper end.

    Args:
        values: Shape (R,), the rate in each replicate.
        errors: Number of errors on all data.
        independent_trials: Trials for the rule of three: subjects with mated comparisons for FNMR,
            comparisons for FMR (assumed independent, as in ISO/IEC 19795-1).
        confidence: Above 0 and under 1.
        seed: Seed of the draw, for the description.
    """
    interval = percentile_interval(values, confidence=confidence, seed=seed)
    if errors or isinstance(interval, Unsupported):
        return interval
    bound = max(interval.high, upper_bound_without_errors(independent_trials))
    method = f"no error seen: rule of three over {independent_trials} trials, 95 %"
    return Interval(0.0, bound, 0.95, interval.replicates, method)


def subjects_refusal(comparisons: Comparisons) -> Unsupported | None:
    """Return a refusal if fewer than 10 subjects have mated comparisons, otherwise None."""
    subjects = mated_subjects(comparisons)
    if subjects >= MIN_SUBJECTS:
        return None
    return Unsupported(
        "confidence interval",
        MIN_SUBJECTS,
        subjects,
        f"an interval by resampling needs {MIN_SUBJECTS} subjects with mated comparisons, found {subjects}",
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


def _rates(
    tagged: SubjectScores, draw: _Draw, fmrs: Sequence[float], thresholds: Sequence[float]
) -> Replicates | None:
    """Compute the rates in all replicates; None if a threshold lies below the kept non-mated scores."""
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
    shape = (len(fmrs), usable.size)
    rates = Replicates(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan))
    for row, (fmr, threshold) in enumerate(zip(fmrs, thresholds, strict=True)):
        if not isfinite(threshold):
            raise InputError(f"expected a finite threshold, found {threshold}", hint="see threshold_at_fmr")
        fixed = np.full(usable.size, threshold)
        rates.fmr[row] = np.where(usable, other.above(fixed) / safe_other, np.nan)
        rates.fnmr[row] = np.where(usable, 1.0 - mated.above(fixed) / safe_mated, np.nan)
        own = other.threshold(allowed_errors(fmr, safe_other))
        if not tagged.complete and not np.isfinite(own[usable]).all():
            return None
        rates.tar[row] = np.where(usable, mated.above(own) / safe_mated, np.nan)
    return rates
