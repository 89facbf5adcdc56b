"""Mean over subjects of a share of errors, with its variance and limits.

Each subject weighs alike, however many attempts it made: the mean estimates the rate of a further subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.evidence import Interval
from converters.evaluate.metrics.limits import share_limits
from edge_sdk.types import Float64Array

#: Method of `SubjectShare.interval`, for evidence.
BY_SUBJECT = "Korn and Graubard limits, subjects weigh alike"
BY_SUBJECT_WITH_THRESHOLD = f"{BY_SUBJECT}, with the variance of the threshold"


@dataclass(frozen=True)
class SubjectShare:
    """Share of errors of a set of subjects.

    Attributes:
        mean: Mean of the subjects' shares, 0..1.
        pooled: Errors of all attempts divided by their number, 0..1.
        variance: Variance of `mean` if subjects are independent; 0 with one subject.
        degrees: Degrees of freedom of `variance`, >= 1.
        subjects: Number of subjects, >= 1.
        trials: See `independent_trials`.
    """

    mean: float
    pooled: float
    variance: float
    degrees: float
    subjects: int
    trials: float

    def limits(self, *, added_variance: float = 0.0, confidence: float = 0.95) -> tuple[float, float]:
        """Compute the limits of the mean; see `share_limits`.

        Args:
            added_variance: Variance from another source, such as an estimated threshold, >= 0.
            confidence: Above 0 and under 1.

        Returns:
            (low, high), 0..1.

        Raises:
            InputError: `confidence` is outside its range.
        """
        variance = self.variance + added_variance
        return share_limits(
            self.mean, variance, trials=self.trials, clusters=self.subjects, confidence=confidence
        )

    def interval(self, method: str, *, added_variance: float = 0.0, confidence: float = 0.95) -> Interval:
        """Return `limits` as an interval with the name of its method."""
        limits = self.limits(added_variance=added_variance, confidence=confidence)
        return Interval(*limits, confidence, 0, method)


def subject_share(subjects: NDArray[np.integer], errors: NDArray[np.bool_]) -> SubjectShare:
    """Compute the mean share of errors of the subjects that made an attempt.

    Args:
        subjects: Shape (M,): number of the subject of each attempt, >= 0; M >= 1.
        errors: Shape (M,): True for an error.
    """
    active, attempts, own = error_shares(subjects, errors)
    count, mean = active.size, float(own.mean())
    return SubjectShare(
        mean=mean,
        pooled=float(np.mean(errors)),
        variance=float(own.var(ddof=1)) / count if count > 1 else 0.0,
        degrees=degrees_of_freedom(own - mean),
        subjects=int(count),
        trials=independent_trials(attempts),
    )


def error_shares(
    subjects: NDArray[np.integer], errors: NDArray[np.bool_]
) -> tuple[IntArray, IntArray, Float64Array]:
    """Compute the share of errors of each subject that made an attempt.

    Args:
        subjects, errors: See `subject_share`.

    Returns:
        Number of each subject, ascending, its attempts and its share of errors, shape (S,) each.
    """
    attempts = np.bincount(subjects)
    active = np.flatnonzero(attempts)
    return active, attempts[active], np.bincount(subjects, weights=errors)[active] / attempts[active]


def independent_trials(attempts: NDArray[np.integer]) -> float:
    """Compute the number of independent attempts that would give a mean over subjects the least possible variance.

    It is S^2 / sum(1 / n), less than the number of attempts if the numbers n of the S subjects are unequal.

    Args:
        attempts: Shape (S,): attempts of each subject, >= 1.
    """
    return float(attempts.size * attempts.size / (1.0 / attempts).sum())


def degrees_of_freedom(residuals: Float64Array) -> float:
    """Compute the degrees of freedom of the variance of C clusters: 2 C / (kurtosis - 1), within 1..C-1.

    If a few clusters have most of the errors, the variance is known as badly as if there were few clusters
    (Satterthwaite 1946, with the fourth moment of the residuals).

    Args:
        residuals: Shape (C,): one residual per cluster, with mean 0.
    """
    count = residuals.size
    second, fourth = float((residuals**2).mean()), float((residuals**4).mean())
    most = max(1.0, count - 1.0)
    excess = fourth - second * second
    return most if excess <= 0.0 else min(most, max(1.0, 2.0 * count * second * second / excess))
