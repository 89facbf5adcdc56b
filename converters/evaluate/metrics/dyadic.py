"""Variance of a false match rate if comparisons that share a subject are correlated.

A non-mated comparison belongs to a pair of subjects, a dyad. Two comparisons are correlated if their dyads share a
subject. The variance is the dyadic cluster-robust one of Aronow, Samii and Assenova, Political Analysis 23 (2015):
the sum of the products of residuals over all pairs of dyads that share a subject. It is computed from sums per subject and per
dyad with a false match, so its cost is that of the false matches, not of the comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray
from edge_sdk.types import Float64Array


@dataclass(frozen=True, eq=False)
class PairDesign:
    """Numbers of non-mated comparisons per pair of subjects.

    Attributes:
        trials: Number of non-mated comparisons, N >= 1.
        per_subject: Shape (S,), float64: non-mated comparisons of each subject; their sum is 2 N.
        squared: Sum over all pairs of subjects of the squared number of comparisons.
        dyads: Number of pairs of subjects that were compared.
        counts: If all pairs of images were compared, the images per subject, shape (S,), float64. If comparisons were
            listed, the ascending keys first * S + second (first < second) and their numbers of comparisons.
    """

    trials: float
    per_subject: Float64Array
    squared: float
    dyads: int
    counts: Float64Array | tuple[IntArray, Float64Array]

    @classmethod
    def of_images(cls, images: NDArray[np.integer]) -> PairDesign:
        """Describe the comparison of every image with every image of another subject.

        Args:
            images: Shape (S,): images per subject, >= 0.
        """
        n = np.asarray(images, dtype=np.float64)
        total, squares = float(n.sum()), n * n
        return cls(
            trials=(total * total - float(squares.sum())) / 2,
            per_subject=n * (total - n),
            squared=(float(squares.sum()) ** 2 - float((squares * squares).sum())) / 2,
            dyads=int((n > 0).sum()) * (int((n > 0).sum()) - 1) // 2,
            counts=n,
        )

    @classmethod
    def of_pairs(cls, first: NDArray[np.integer], second: NDArray[np.integer], subjects: int) -> PairDesign:
        """Describe listed comparisons.

        Args:
            first, second: Shape (P,): the two subjects of each non-mated comparison, 0..S-1, never equal.
            subjects: S.
        """
        keys, counts = np.unique(_keys(first, second, subjects), return_counts=True)
        per_subject = np.bincount(first, minlength=subjects) + np.bincount(second, minlength=subjects)
        own = counts.astype(np.float64)
        return cls(
            trials=float(own.sum()),
            per_subject=per_subject.astype(np.float64),
            squared=float((own * own).sum()),
            dyads=int(keys.size),
            counts=(keys, own),
        )

    def comparisons(self, keys: IntArray) -> Float64Array:
        """Return the number of comparisons of each pair of subjects; shape (K,) in and out."""
        if isinstance(self.counts, tuple):
            return self.counts[1][np.searchsorted(self.counts[0], keys)]
        subjects = self.counts.size
        return np.asarray(self.counts[keys // subjects] * self.counts[keys % subjects], dtype=np.float64)


def dyadic_variance(design: PairDesign, first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Compute the variance of the share of comparisons that match.

    Args:
        design: The comparisons that were made.
        first, second: Shape (A,): the two subjects of each false match, 0..S-1, never equal.

    Returns:
        The variance, >= 0; at least that of comparisons correlated only within a pair of subjects.
    """
    subjects = design.per_subject.size
    keys, counts = np.unique(_keys(first, second, subjects), return_counts=True)
    rate = first.size / design.trials
    matches = np.bincount(first, minlength=subjects) + np.bincount(second, minlength=subjects)
    residuals = matches - rate * design.per_subject
    own = counts.astype(np.float64)
    within = (
        float((own * own - 2.0 * rate * own * design.comparisons(keys)).sum()) + rate * rate * design.squared
    )
    return max(float((residuals * residuals).sum()) - within, within) / design.trials**2


def effective_comparisons(
    design: PairDesign, first: NDArray[np.integer], second: NDArray[np.integer]
) -> float:
    """Compute the number of independent comparisons that give the false match rate the same variance.

    Args:
        design: The comparisons that were made.
        first, second: Shape (A,): the two subjects of each false match; A >= 1.

    Returns:
        At least 1 and at most the number of comparisons.
    """
    rate = first.size / design.trials
    variance = dyadic_variance(design, first, second)
    if variance <= 0.0:
        return design.trials
    return float(min(design.trials, max(1.0, rate * (1.0 - rate) / variance)))


def _keys(first: NDArray[np.integer], second: NDArray[np.integer], subjects: int) -> IntArray:
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second).astype(np.int64)
    return np.asarray(low * subjects + high, dtype=np.int64)
