"""Error rates of a score set: FMR, FNMR, thresholds, DET, EER, d-prime.

Terms are those of ISO/IEC 19795-1. A comparison is accepted if its score is >= the threshold. FMR is the
share of accepted non-mated comparisons, FNMR the share of rejected mated comparisons, TAR = 1 - FNMR.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.scores import BINS, BINS_PER_UNIT, ScoreSet, histogram_of
from converters.evaluate.metrics.verification_evidence import EqualErrorRate
from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import subjects_needed
from edge_sdk.types import Float64Array, FloatArray

LEAST_RATE = 1e-15
DEFAULT_FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a DET curve, thresholds ascending; each point is exact.

    Attributes:
        thresholds: Shape (P,), float64.
        fmr: Shape (P,), float64, non-increasing, 0..1.
        fnmr: Shape (P,), float64, non-decreasing, 0..1.
    """

    thresholds: Float64Array
    fmr: Float64Array
    fnmr: Float64Array


def check_rate(rate: float, name: str = "FMR") -> float:
    """Return the rate if 1e-15 <= rate < 1, otherwise raise InputError; below 1e-15 counts of subjects overflow."""
    if not LEAST_RATE <= rate < 1.0:
        raise InputError(
            f"expected {name} of at least {LEAST_RATE:g} and under 1, found {rate}", hint="for example 1e-3"
        )
    return float(rate)


def trials_needed(rate: float) -> int:
    """Compute the number of error-free comparisons that support a claim of `rate`: 3 / rate, rounded up.

    This is the rule of three (ISO/IEC 19795-1; Jovanovic and Levy 1997) at 95 % confidence for independent
    comparisons. Cross-comparisons are not independent, so the result is a lower bound.
    """
    return ceil(3.0 / check_rate(rate) - 1e-9)


def upper_bound_without_errors(trials: int) -> float:
    """Compute the 95 % upper bound of an error rate after `trials` independent comparisons without an error.

    Returns:
        3 / trials, at most 1 (rule of three); 1 without any trial.
    """
    return 1.0 if trials < 3 else 3.0 / trials


def allowed_errors(rate: float, trials: Float64Array) -> Float64Array:
    """Compute the largest whole number a with a / trials <= rate, in float64 arithmetic.

    Args:
        rate: Above 0 and under 1.
        trials: Any shape, whole numbers >= 1.

    Returns:
        The same shape, float64, whole numbers.
    """
    whole = np.floor(rate * np.asarray(trials, dtype=np.float64))
    whole = np.where((whole + 1.0) / trials <= rate, whole + 1.0, whole)
    return np.where(whole / trials > rate, whole - 1.0, whole)


def false_match_rate(scores: ScoreSet, thresholds: Float64Array) -> Float64Array:
    """Compute the FMR at each threshold; shape (T,) in and out, float64, 0..1.

    Raises:
        InputError: The set has no non-mated comparison.
    """
    if scores.non_mated_trials == 0:
        raise InputError("expected non-mated comparisons, found none", hint="add a second subject")
    return scores.false_matches(thresholds) / scores.non_mated_trials


def false_non_match_rate(scores: ScoreSet, thresholds: Float64Array) -> Float64Array:
    """Compute the FNMR at each threshold; shape (T,) in and out, float64, 0..1.

    Raises:
        InputError: The set has no mated comparison.
    """
    if scores.mated_trials == 0:
        raise InputError("expected mated comparisons, found none", hint="add a second image of a subject")
    return scores.false_non_matches(thresholds) / scores.mated_trials


def missing_half(scores: ScoreSet, claim: str) -> Unsupported | None:
    """Return a refusal that names the missing kind of comparisons, or None if both kinds are present."""
    if scores.non_mated_trials == 0:
        return Unsupported(claim, 1, 0, "no non-mated comparisons: all images are of one subject")
    if scores.mated_trials == 0:
        return Unsupported(claim, 1, 0, "no mated comparisons: each subject has one image")
    return None


def too_few_subjects(fmr: float, needed: int, subjects: int) -> str:
    """Describe how many subjects an FMR needs at least, such as ``FMR 0.0001 needs at least 246 subjects, found 160``."""
    return f"FMR {fmr:g} needs at least {needed:,} subjects, found {subjects:,}"


def threshold_at_fmr(scores: ScoreSet, fmr: float, *, subjects: int | None = None) -> float | Unsupported:
    """Find the smallest float32 threshold whose measured FMR is <= fmr.

    The true FMR at this threshold is above `fmr` about as often as below; `claims.claim_at` finds a threshold that keeps
    `fmr` with 95 % confidence.

    The threshold lies one float32 step above the highest score that must be rejected. If that score was
    not kept (see `ScoreSet.tail`), the threshold is the next bin edge above the score, at most 2^-15 higher.

    Args:
        scores: A score set.
        fmr: Above 0 and under 1.
        subjects: Number of subjects; a refusal then states the subjects that are missing, not the comparisons.

    Returns:
        The threshold, or `Unsupported` with fewer than 3 / fmr non-mated comparisons.

    Raises:
        InputError: `fmr` is outside its range.
    """
    needed = trials_needed(fmr)
    if scores.non_mated_trials < needed:
        claim, people = f"threshold at FMR {fmr:g}", subjects_needed(fmr)
        if subjects is not None and subjects < people:
            return Unsupported(claim, people, subjects, too_few_subjects(fmr, people, subjects))
        return Unsupported(
            claim,
            needed,
            scores.non_mated_trials,
            f"FMR {fmr:g} is measured from {needed:,} non-mated comparisons or more, found {scores.non_mated_trials:,}",
        )
    allowed = int(allowed_errors(fmr, np.asarray(float(scores.non_mated_trials))))
    if allowed < scores.tail.size:
        rejected = scores.tail[scores.tail.size - 1 - allowed]
        return float(np.nextafter(rejected, np.float32(np.inf)))
    from_top = np.append(np.cumsum(scores.histogram[::-1])[::-1], 0)
    edge = int(np.flatnonzero(from_top <= allowed)[0])
    return edge / BINS_PER_UNIT - 1.0


def det_curve(scores: ScoreSet, *, points: int = 400) -> Curve | Unsupported:
    """Compute a limited number of exact points of the DET curve.

    Half of the thresholds are at equal steps of log FMR, half at equal steps of FNMR.

    Args:
        scores: A score set.
        points: 4..100000; the curve has fewer points if thresholds coincide.

    Returns:
        The curve, or `Unsupported` if all comparisons are of one kind.

    Raises:
        InputError: `points` is outside its range.
    """
    if not 4 <= points <= 100_000:
        raise InputError(f"expected 4..100000 points, found {points}", hint="400 are enough for a plot")
    gap = missing_half(scores, "DET curve")
    if gap is not None:
        return gap
    half = points // 2
    ranks = np.unique(np.geomspace(1, scores.non_mated_trials, half).astype(np.int64))
    exact = scores.tail.size if scores.complete else scores.tail.size - 1
    kept = ranks[ranks <= exact]
    by_fmr = scores.tail[scores.tail.size - kept].astype(np.float64)
    edges = scores.edges_at_ranks(ranks[ranks > exact])
    places = np.linspace(0, scores.mated_trials - 1, points - half).astype(np.int64)
    by_fnmr = scores.mated[places].astype(np.float64)
    if not scores.complete and scores.tail.size:  # below the kept scores, only bin edges are exact
        low = by_fnmr <= scores.tail[0]
        by_fnmr[low] = np.floor((by_fnmr[low] + 1.0) * BINS_PER_UNIT) / BINS_PER_UNIT - 1.0
    thresholds = np.unique(np.concatenate([by_fmr, edges, by_fnmr]))
    return Curve(thresholds, false_match_rate(scores, thresholds), false_non_match_rate(scores, thresholds))


def equal_error_rate(scores: ScoreSet) -> EqualErrorRate | Unsupported:
    """Compute the rate at which FMR and FNMR are equal.

    Rule: straight lines join the points (FMR, FNMR) of all observed scores as thresholds; the EER is
    the intersection with FMR = FNMR. The threshold is interpolated in the same proportion. If the
    crossing is below the kept non-mated scores, bin edges (2^-15 apart) replace the scores.

    Returns:
        The rate, or `Unsupported` if all comparisons are of one kind.
    """
    gap = missing_half(scores, "EER")
    if gap is not None:
        return gap
    low, high = _crossing(scores)
    pair = np.array([low, high])
    fmr, fnmr = false_match_rate(scores, pair), false_non_match_rate(scores, pair)
    before, after = float(fmr[0] - fnmr[0]), float(fmr[1] - fnmr[1])
    share = before / (before - after)
    return EqualErrorRate(
        rate=float(fmr[0] + share * (fmr[1] - fmr[0])), threshold=low + share * (high - low)
    )


def d_prime(scores: ScoreSet) -> float | Unsupported:
    """Compute the distance of the two means in units of the root mean variance (Daugman 2000).

    Returns:
        (mean mated - mean non-mated) / sqrt((var mated + var non-mated) / 2), or `Unsupported`
        if all comparisons are of one kind or the scores do not vary.
    """
    gap = missing_half(scores, "d-prime")
    if gap is not None:
        return gap
    wide = scores.mated.astype(np.float64)
    mean, deviation = scores.non_mated_mean, scores.non_mated_sd
    if mean is None or deviation is None:
        return Unsupported("d-prime", 1, 0, "no non-mated comparisons")
    spread = float(np.sqrt((wide.var() + deviation**2) / 2))
    if spread < 1e-12:
        return Unsupported("d-prime", 2, 1, "all scores of each kind are equal")
    return (float(wide.mean()) - mean) / spread


def best_accuracy(scores: ScoreSet) -> tuple[float, float] | Unsupported:
    """Find the highest share of correct decisions over all thresholds, and the lowest threshold that gives it.

    This is the figure usually published for pairs files. The threshold is chosen on the same comparisons,
    so the figure is optimistic and must not become an operating point.

    Returns:
        (accuracy 0..1, threshold), or `Unsupported` if all comparisons are of one kind.

    Raises:
        InputError: Not every non-mated score was kept.
    """
    gap = missing_half(scores, "accuracy")
    if gap is not None:
        return gap
    if not scores.complete:
        raise InputError("expected all non-mated scores, found only the highest", hint="use a pairs file")
    observed = np.unique(np.concatenate([scores.mated, scores.tail])).astype(np.float64)
    thresholds = np.append(observed, np.nextafter(np.float32(observed[-1]), np.float32(np.inf)))
    wrong = scores.false_matches(thresholds) + scores.false_non_matches(thresholds)
    best = int(wrong.argmin())
    trials = scores.mated_trials + scores.non_mated_trials
    return 1.0 - float(wrong[best]) / trials, float(thresholds[best])


def coarse_histogram(scores: ScoreSet, *, bins: int = 128) -> tuple[Float64Array, IntArray, IntArray]:
    """Count the scores in bins of equal width, for a plot.

    Args:
        scores: A score set.
        bins: A power of two, 2..65536.

    Returns:
        (edges (bins + 1,) from -1 to 1, mated counts (bins,), non-mated counts (bins,)); scores
        outside -1..1 are counted in the outermost bins.

    Raises:
        InputError: `bins` is not a power of two in that range.
    """
    if bins < 2 or bins > BINS - 1 or bins & (bins - 1):
        raise InputError(f"expected bins to be a power of two in 2..65536, found {bins}", hint="128")
    width = (BINS - 1) // bins

    def merge(counts: IntArray) -> IntArray:
        merged: IntArray = counts[:-1].reshape(bins, width).sum(axis=1)
        merged[-1] += counts[-1]
        return merged

    return np.linspace(-1.0, 1.0, bins + 1), merge(histogram_of(scores.mated)), merge(scores.histogram)


def _difference(scores: ScoreSet, thresholds: Float64Array) -> Float64Array:
    return false_match_rate(scores, thresholds) - false_non_match_rate(scores, thresholds)


def _crossing(scores: ScoreSet) -> tuple[float, float]:
    """Find two neighbouring thresholds with FMR >= FNMR at the first and FMR < FNMR at the second."""
    floor = float(scores.tail[0]) if scores.tail.size else 2.0
    if not scores.complete and float(_difference(scores, np.array([np.nextafter(floor, 2.0)]))[0]) < 0:
        edges = np.arange(BINS) / BINS_PER_UNIT - 1.0
        edges = edges[edges <= floor]
        edges = np.append(edges, np.nextafter(floor, 2.0))
        last = int(np.flatnonzero(_difference(scores, edges) >= 0)[-1])
        return float(edges[last]), float(edges[last + 1])

    kept = scores.tail if scores.complete else scores.tail[scores.tail > scores.tail[0]]
    around = []
    for values in (scores.mated, kept):
        place = _first_below(scores, values)
        around.append((values[place - 1] if place else None, values[place] if place < values.size else None))
    below = [float(low) for low, _ in around if low is not None]
    above = [float(high) for _, high in around if high is not None]
    low = max(below) if below else floor
    high = min(above) if above else float(np.nextafter(np.float32(low), np.float32(2.0)))
    return low, high


def _first_below(scores: ScoreSet, values: FloatArray) -> int:
    """Find the index of the first value, in ascending order, with FMR < FNMR; the number of values if none has it."""
    low, high = 0, int(values.size)
    while low < high:
        middle = (low + high) // 2
        if float(_difference(scores, values[middle : middle + 1].astype(np.float64))[0]) < 0:
            high = middle
        else:
            low = middle + 1
    return low
