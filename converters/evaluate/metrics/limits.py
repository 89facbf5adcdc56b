"""Confidence limits of rates and shares from an effective number of trials.

Comparisons that share a subject are correlated, so N comparisons have the variance of fewer independent ones: their
effective number (Kish 1965). The limits here are the exact ones for that number.
"""

from __future__ import annotations

from math import isfinite, log

from converters.evaluate.metrics.curves import check_rate
from converters.evaluate.metrics.evidence import Interval
from converters.evaluate.metrics.quantiles import beta_quantile, chi_squared_quantile, student_quantile

#: One-sided confidence of a claimed error rate.
CLAIM_CONFIDENCE = 0.95


def upper_rate_limit(errors: float, trials: float, *, confidence: float = CLAIM_CONFIDENCE) -> float:
    """Compute the one-sided upper limit of a small error rate: chi2(confidence; 2 errors + 2) / (2 trials).

    Source: Garwood, Biometrika 28 (1936). Without errors at 95 % this is 3.0 / trials, the rule of three.

    Args:
        errors: Number of errors, >= 0; a fraction if errors are correlated.
        trials: Number of independent trials, > 0.
        confidence: Above 0 and under 1.

    Returns:
        The limit, at most 1.

    Raises:
        InputError: `confidence` is outside its range.
    """
    return min(1.0, chi_squared_quantile(check_rate(confidence, "a confidence"), 2 * errors + 2) / 2 / trials)


def rate_limits(errors: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the two-sided limits of a small error rate (Garwood 1936).

    Args:
        errors: Number of errors, >= 0; a fraction if errors are correlated.
        trials: Number of independent trials, > 0.
        confidence: Above 0 and under 1.

    Returns:
        (low, high), 0..1.

    Raises:
        InputError: `confidence` is outside its range.
    """
    tail = (1.0 - check_rate(confidence, "a confidence")) / 2
    low = chi_squared_quantile(tail, 2 * errors) / 2 / trials if errors > 0 else 0.0
    return min(1.0, low), upper_rate_limit(errors, trials, confidence=1.0 - tail)


def rate_interval(
    errors: int, trials: float, *, effective: float, confidence: float, method: str
) -> Interval:
    """Return the `rate_limits` of correlated trials as an interval.

    Args:
        errors: Number of errors.
        trials: Number of trials, > 0.
        effective: Number of independent trials with the same variance, > 0.
        confidence: Above 0 and under 1.
        method: Name of the method, one line.

    Raises:
        InputError: `confidence` is outside its range.
    """
    limits = rate_limits(errors * effective / trials, effective, confidence=confidence)
    return Interval(*limits, confidence, 0, method)


def share_limits(
    share: float, variance: float, *, trials: float, clusters: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the limits of a small share of errors in clustered trials (Korn and Graubard, Survey Methodology 24, 1998).

    The limits are those of Clopper and Pearson (1934) for the effective number of trials, which the variance gives; it
    is reduced because a variance from few clusters is itself uncertain. Without errors the variance is not known, and
    the upper limit is that of `clusters` independent trials, about 3 / clusters at 95 % (rule of three). With few
    errors the upper limit is at least as high.

    Args:
        share: 0..1.
        variance: Variance of the share, >= 0.
        trials: Number of trials, >= 1.
        clusters: Number of independent clusters, >= 1.
        confidence: Above 0 and under 1.

    Returns:
        (low, high), 0..1.

    Raises:
        InputError: `confidence` is outside its range.
    """
    least_high = 1.0 - (1.0 - check_rate(confidence, "a confidence")) ** (1.0 / clusters)
    if share <= 0.0:
        return 0.0, least_high
    effective = float(clusters)
    if share < 1.0 and variance > 0.0 and clusters > 1:
        factor = student_factor(trials - 1.0, clusters - 1.0, confidence=confidence)
        effective = min(float(trials), share * (1.0 - share) / variance * factor)
    low, high = exact_share_limits(share, effective, confidence=confidence)
    return low, max(least_high, high)


def student_factor(known: float, estimated: float, *, confidence: float = 0.95) -> float:
    """Compute the factor by which a variance with few degrees of freedom reduces an effective number of trials.

    It is the squared ratio of the quantiles of Student's t (Korn and Graubard 1998).

    Args:
        known: Degrees of freedom of independent trials; less than 1 counts as 1.
        estimated: Degrees of freedom of the variance, > 0.
        confidence: Above 0 and under 1.

    Raises:
        InputError: `confidence` is outside its range.
    """
    upper = 1.0 - (1.0 - check_rate(confidence, "a confidence")) / 2
    return (student_quantile(upper, max(known, 1.0)) / student_quantile(upper, estimated)) ** 2


def threshold_variance(change: float, *, ratio: float, rate: float, effective: float) -> float:
    """Compute the variance of a miss rate at a false match rate that follows from the noise of the threshold.

    By the delta method it is the squared slope of the miss rate over the logarithm of the false match rate, times the relative
    variance of the false match rate, at most 4.

    Args:
        change: Miss rate at the stricter one of two thresholds minus that at the other.
        ratio: False match rate at the looser threshold divided by that at the stricter one, 1 or more.
        rate: The false match rate, above 0 and under 1.
        effective: Number of independent comparisons or searches, >= 1.
    """
    slope = change / log(ratio) if ratio > 1.0 else 0.0
    return slope * slope * min((1.0 - rate) / (rate * effective), 4.0)


def exact_share_limits(share: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the limits of a share of independent trials (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        share: 0..1.
        trials: Number of trials, > 0; a fraction if it is an effective number.
        confidence: Above 0 and under 1.

    Returns:
        (low, high), 0..1.

    Raises:
        InputError: `confidence` is outside its range.
    """
    tail = (1.0 - check_rate(confidence, "a confidence")) / 2
    errors = share * trials
    low = beta_quantile(tail, errors, trials - errors + 1.0) if errors > 0 else 0.0
    high = beta_quantile(1.0 - tail, errors + 1.0, trials - errors) if errors < trials else 1.0
    return (low if isfinite(low) else 0.0), (high if isfinite(high) else 1.0)
