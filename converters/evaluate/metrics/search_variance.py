"""Variance of an FPIR if searches of one stranger, and false matches with one enrolled subject, are correlated.

The variance is the two-way cluster-robust one of Cameron, Gelbach and Miller (Journal of Business & Economic Statistics 29,
2011): by stranger, plus by enrolled subject, minus by pair of both. It holds for other strangers and for
another cohort of the same number of subjects. All terms are sums by group, so the cost is that of the searches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.limits import student_factor
from converters.evaluate.metrics.subject_shares import degrees_of_freedom


@dataclass(frozen=True)
class SearchVariance:
    """Variance of the share of searches with a false match.

    Attributes:
        rate: Share of the searches, 0..1.
        searches: Number of searches.
        strangers: Number of strangers that would count alike if all made equally many searches, 1..S: N^2 / sum(n^2).
        variance: Variance of `rate`, >= 0.
        degrees: Degrees of freedom of `variance`, >= 1 (Satterthwaite 1946).
    """

    rate: float
    searches: int
    strangers: float
    variance: float
    degrees: float

    def effective_searches(self, *, confidence: float = 0.95) -> float:
        """Compute the number of independent searches that give the rate the same uncertainty, 1..`searches`.

        Without a false match the variance contains no information, and the number of strangers counts.
        """
        if not 0.0 < self.rate < 1.0 or self.variance <= 0.0:
            return self.strangers
        factor = student_factor(self.searches - 1.0, self.degrees, confidence=confidence)
        return min(float(self.searches), max(1.0, self.rate * (1.0 - self.rate) / self.variance * factor))


def search_variance(
    strangers: NDArray[np.integer],
    candidates: NDArray[np.integer],
    matched: NDArray[np.bool_],
    *,
    enrolled: int,
) -> SearchVariance:
    """Compute the variance of the share of non-mated searches that return a subject.

    Every enrolled subject takes part in every search, so each of E subjects has 1 / E of the expected false matches.
    The residual of a stranger with a share h of the searches is divided by 1 - h (jackknife, Bell and McCaffrey 2002).

    Args:
        strangers: Shape (N,): number of the stranger of each search, 0..S-1 without gaps; S >= 2.
        candidates: Shape (N,): number of the enrolled subject with the highest score, 0..E-1.
        matched: Shape (N,): True if the search returned that subject.
        enrolled: E >= 2.
    """
    own = np.bincount(strangers).astype(np.float64)
    searches, rate = matched.size, float(matched.mean())
    who, whom = strangers[matched].astype(np.int64), candidates[matched].astype(np.int64)
    by_stranger = np.bincount(who, minlength=own.size)
    by_enrolled = np.bincount(whom, minlength=enrolled)
    both = np.unique(who * enrolled + whom, return_counts=True)[1].astype(np.float64)
    residuals, shares = by_stranger - rate * own, own / searches
    per_subject = rate / enrolled
    first = float(((residuals / (1.0 - shares)) ** 2).sum()) / searches**2
    second = float(((by_enrolled - searches * per_subject) ** 2).sum())
    second *= enrolled / (enrolled - 1.0) / searches**2
    common = float((both * both).sum() - 2.0 * per_subject * (own * by_stranger).sum())
    common = (common + per_subject * rate * float((own * own).sum())) / searches**2
    variance, effective = max(first + second - common, first, second), 1.0 / float((shares * shares).sum())
    degrees = min(degrees_of_freedom(residuals), max(1.0, effective - 1.0))
    spread = first * first / degrees + (variance - first) ** 2 / (enrolled - 1.0)
    return SearchVariance(
        rate, searches, effective, variance, variance**2 / spread if spread > 0 else degrees
    )
