"""Confidence limits of rates and shares from an effective number of trials.

Comparisons that share a subject are correlated, so N comparisons have the variance of fewer independent ones: their
effective number (Kish 1965). The limits here are the exact ones for that number.
"""

from __future__ import annotations

from math import isfinite

from converters.evaluate.metrics.curves import check_rate

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
    from scipy.stats import chi2

    return min(1.0, float(chi2.ppf(check_rate(confidence, "a confidence"), 2 * errors + 2)) / 2 / trials)


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
    from scipy.stats import chi2

    tail = (1.0 - check_rate(confidence, "a confidence")) / 2
    low = float(chi2.ppf(tail, 2 * errors)) / 2 / trials if errors > 0 else 0.0
    return min(1.0, low), upper_rate_limit(errors, trials, confidence=1.0 - tail)


def share_limits(
    share: float, variance: float, *, trials: float, clusters: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the limits of a share of clustered trials (Korn and Graubard, Survey Methodology 24, 1998).

    The limits are those of Clopper and Pearson (1934) for the effective number of trials, which the variance gives; it
    is reduced because a variance from few clusters is itself uncertain. If the share is 0 or 1, the variance says
    nothing, and the number of clusters is the effective number.

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
    from scipy.stats import beta, t

    tail = (1.0 - check_rate(confidence, "a confidence")) / 2
    effective = float(clusters)
    if 0.0 < share < 1.0 and variance > 0.0 and clusters > 1:
        known, own = t.ppf(1.0 - tail, max(trials - 1.0, 1.0)), t.ppf(1.0 - tail, clusters - 1.0)
        effective = min(float(trials), share * (1.0 - share) / variance * float(known / own) ** 2)
    errors = share * effective
    low = float(beta.ppf(tail, errors, effective - errors + 1.0)) if errors > 0 else 0.0
    high = float(beta.ppf(1.0 - tail, errors + 1.0, effective - errors)) if errors < effective else 1.0
    return (low if isfinite(low) else 0.0), (high if isfinite(high) else 1.0)
