"""Variance of a false match rate if comparisons that share a subject are correlated.

A non-mated comparison belongs to a pair of subjects, a dyad. Two comparisons are correlated if their dyads share a
subject. The variance is the dyadic cluster-robust one of Aronow, Samii and Assenova, Political Analysis 23 (2015):
the sum of the products of residuals over all pairs of dyads that share a subject. It is computed from sums per
subject and per dyad with a false match, so its cost is that of the false matches, not of the comparisons.

A subject with a large share of the comparisons pulls the rate toward its own, which makes its residual too small. Each
residual is therefore divided by one minus that share, as in a jackknife that leaves out one subject (HC3 of MacKinnon
and White, Journal of Econometrics 29, 1985).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.curves import check_rate
from converters.evaluate.metrics.quantiles import normal_quantile, student_quantile
from edge_sdk.types import Float64Array


@dataclass(frozen=True, eq=False)
class GroupProducts:
    """Numbers of comparisons of subjects s and t as the sum over columns k of left[s, k] * right[t, k].

    Attributes:
        left, right: Shape (S, K), float64: images per subject in the two groups of each column. The sum is symmetric
            in s and t.
    """

    left: Float64Array
    right: Float64Array

    def comparisons(self, keys: IntArray) -> Float64Array:
        """Return the number of comparisons of each pair of subjects (key first * S + second); shape (K,) in and out."""
        subjects = len(self.left)
        products = self.left[keys // subjects] * self.right[keys % subjects]
        return np.asarray(products.sum(axis=1), dtype=np.float64)

    def squared(self, weights: Float64Array) -> float:
        """Return the sum over all pairs of subjects of the squared comparisons times both subjects' weights, shape (S,)."""
        left, right = (side.T @ (weights[:, None] * side) for side in (self.left, self.right))
        own = (self.left * self.right).sum(axis=1) * weights
        return (float((left * right).sum()) - float((own * own).sum())) / 2


@dataclass(frozen=True, eq=False)
class PairDesign:
    """Numbers of non-mated comparisons per pair of subjects.

    Attributes:
        trials: Number of non-mated comparisons, N >= 1.
        per_subject: Shape (S,), float64: non-mated comparisons of each subject; their sum is 2 N.
        dyads: Number of pairs of subjects that were compared.
        counts: If all pairs of images were compared, the images per subject, shape (S,), float64. If comparisons were
            listed, the ascending keys first * S + second (first < second) and their numbers of comparisons. If groups
            of images were compared, the products that give the number of comparisons.
    """

    trials: float
    per_subject: Float64Array
    dyads: int
    counts: Float64Array | tuple[IntArray, Float64Array] | GroupProducts

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
        keys, counts = np.unique(pair_keys(first, second, subjects), return_counts=True)
        per_subject = np.bincount(first, minlength=subjects) + np.bincount(second, minlength=subjects)
        own = counts.astype(np.float64)
        return cls(
            trials=float(own.sum()),
            per_subject=per_subject.astype(np.float64),
            dyads=int(keys.size),
            counts=(keys, own),
        )

    @classmethod
    def within_groups(cls, images: NDArray[np.integer]) -> PairDesign:
        """Describe the comparison of every image with every image of another subject in the same group.

        Args:
            images: Shape (S, G): images per subject and group, >= 0.
        """
        n = np.asarray(images, dtype=np.float64)
        return cls._of_products(GroupProducts(n, n))

    @classmethod
    def across_groups(cls, first: NDArray[np.integer], second: NDArray[np.integer]) -> PairDesign:
        """Describe the comparison of every image of one group with every image of other subjects in a second group.

        Args:
            first, second: Shape (S,): images per subject in each group, >= 0; no image is in both.
        """
        n, m = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
        return cls._of_products(GroupProducts(np.stack([n, m], axis=1), np.stack([m, n], axis=1)))

    @classmethod
    def _of_products(cls, products: GroupProducts) -> PairDesign:
        left, right = products.left, products.right
        own = (left * right).sum(axis=1)
        per_subject = left @ right.sum(axis=0) - own
        patterns, subjects = np.unique(np.hstack([left > 0, right > 0]), axis=0, return_counts=True)
        groups = left.shape[1]
        meet = (patterns[:, :groups].astype(np.int64) @ patterns[:, groups:].T.astype(np.int64)) > 0
        pairs = int(subjects @ meet @ subjects) - int(subjects[meet.diagonal()].sum())
        return cls(float(per_subject.sum()) / 2, per_subject, pairs // 2, products)

    def subject_pairs(self) -> PairDesign:
        """Describe one comparison for each pair of subjects that was compared, and for each group that both are in."""
        if isinstance(self.counts, GroupProducts):
            left, right = ((side > 0).astype(np.float64) for side in (self.counts.left, self.counts.right))
            return self._of_products(GroupProducts(left, right))
        if isinstance(self.counts, tuple):
            subjects, (keys, _) = self.per_subject.size, self.counts
            return self.of_pairs(keys // subjects, keys % subjects, subjects)
        return self.of_images((self.counts > 0).astype(np.int64))

    def comparisons(self, keys: IntArray) -> Float64Array:
        """Return the number of comparisons of each pair of subjects; shape (K,) in and out."""
        if isinstance(self.counts, GroupProducts):
            return self.counts.comparisons(keys)
        if isinstance(self.counts, tuple):
            return self.counts[1][np.searchsorted(self.counts[0], keys)]
        subjects = self.counts.size
        return np.asarray(self.counts[keys // subjects] * self.counts[keys % subjects], dtype=np.float64)

    def squared(self, weights: Float64Array) -> float:
        """Return the sum over all pairs of subjects of the squared comparisons times both subjects' weights, shape (S,)."""
        if isinstance(self.counts, tuple):
            keys, own = self.counts
            subjects = self.per_subject.size
            return float((own * own * weights[keys // subjects] * weights[keys % subjects]).sum())
        if isinstance(self.counts, GroupProducts):
            return self.counts.squared(weights)
        weighted = self.counts**2 * weights
        return (float(weighted.sum()) ** 2 - float((weighted * weighted).sum())) / 2


@dataclass(frozen=True)
class DyadicVariance:
    """Variance of a false match rate.

    Attributes:
        value: The variance; infinity if one subject takes part in all comparisons.
        degrees: Degrees of freedom of the estimate (Satterthwaite 1946), 1..S - 1: few if few subjects take part in most
            false matches.
    """

    value: float
    degrees: float


def dyadic_variance(
    design: PairDesign,
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    weights: Float64Array | None = None,
) -> DyadicVariance:
    """Compute the variance of the share of comparisons that match.

    Args:
        design: The comparisons that were made.
        first, second: Shape (A,): the two subjects of each false match, 0..S-1, never equal.
        weights: Shape (A,): weight of each false match (default: 1).

    Returns:
        The variance; at least that of comparisons correlated only within a pair of subjects.
    """
    subjects = design.per_subject.size
    shares = design.per_subject / design.trials
    if shares.max(initial=0.0) >= 1.0:
        return DyadicVariance(inf, 1.0)
    leverage = 1.0 / (1.0 - shares)
    keys, place = np.unique(pair_keys(first, second, subjects), return_inverse=True)
    own = np.bincount(place.reshape(-1), weights=weights, minlength=keys.size).astype(np.float64)
    rate = float(own.sum()) / design.trials
    matches = np.bincount(keys // subjects, own, subjects) + np.bincount(keys % subjects, own, subjects)
    squares = ((matches - rate * design.per_subject) * leverage) ** 2
    products = own * own - 2.0 * rate * own * design.comparisons(keys)
    within = float(products.sum()) + rate * rate * design.squared(np.ones(subjects))
    weighted = float((products * leverage[keys // subjects] * leverage[keys % subjects]).sum())
    weighted += rate * rate * design.squared(leverage)
    value = max(float(squares.sum()) - within, weighted) / design.trials**2
    return DyadicVariance(value, _degrees(squares))


def pair_variance(design: PairDesign, first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Compute the part of the variance that remains if only comparisons of the same two subjects are correlated.

    Args:
        design: The comparisons that were made.
        first, second: Shape (A,): the two subjects of each false match, 0..S-1, never equal.
    """
    subjects = design.per_subject.size
    keys, counts = np.unique(pair_keys(first, second, subjects), return_counts=True)
    rate, own = first.size / design.trials, counts.astype(np.float64)
    products = float((own * own - 2.0 * rate * own * design.comparisons(keys)).sum())
    return (products + rate * rate * design.squared(np.ones(subjects))) / design.trials**2


def effective_comparisons(
    design: PairDesign, first: NDArray[np.integer], second: NDArray[np.integer], *, confidence: float = 0.95
) -> float:
    """Compute the number of independent comparisons that give the false match rate the same variance.

    Args:
        design: The comparisons that were made.
        first, second: Shape (A,): the two subjects of each false match; A >= 1.
        confidence: Confidence of the limits in which the number is used. The number is reduced by the squared ratio of
            the normal to the t quantile, because the variance is itself uncertain (Korn and Graubard 1998).

    Returns:
        At least 1 and at most the number of comparisons.

    Raises:
        InputError: `confidence` is outside its range.
    """
    upper = (1.0 + check_rate(confidence, "a confidence")) / 2
    rate = first.size / design.trials
    variance = dyadic_variance(design, first, second)
    if variance.value <= 0.0:
        return design.trials
    uncertain = (normal_quantile(upper) / student_quantile(upper, variance.degrees)) ** 2
    return float(min(design.trials, max(1.0, rate * (1.0 - rate) / variance.value * uncertain)))


def log_ratio_variance(
    numerator: tuple[NDArray[np.integer], NDArray[np.integer]],
    denominator: tuple[NDArray[np.integer], NDArray[np.integer]],
    subjects: int,
) -> DyadicVariance:
    """Compute the variance of the logarithm of a ratio of two false match rates of the same comparisons.

    The ratio is linearized, and the dyadic variance of the linear form is computed, so false matches that both rates
    share cancel.

    Args:
        numerator, denominator: Subjects (first, second) of the false matches of each rate, 0..S-1; at least one each.
        subjects: S.
    """
    keys = np.concatenate([pair_keys(*numerator, subjects), pair_keys(*denominator, subjects)])
    above, below = numerator[0].size, denominator[0].size
    weights = np.concatenate([np.full(above, 1.0 / above), np.full(below, -1.0 / below)])
    dyads, place = np.unique(keys, return_inverse=True)
    forms = np.bincount(place.reshape(-1), weights=weights)
    per_subject = np.bincount(dyads // subjects, weights=forms, minlength=subjects)
    per_subject += np.bincount(dyads % subjects, weights=forms, minlength=subjects)
    within = float((forms * forms).sum())
    squares = np.asarray(per_subject * per_subject, dtype=np.float64)
    return DyadicVariance(max(float(squares.sum()) - within, within), _degrees(squares))


def _degrees(squares: Float64Array) -> float:
    """Compute the degrees of freedom of a sum of squared residuals, one per subject, within 1..S-1."""
    total, fourth, most = float(squares.sum()), float((squares * squares).sum()), max(squares.size - 1.0, 1.0)
    return min(max(3.0 * total * total / fourth, 1.0), most) if fourth > 0.0 else most


def pair_keys(first: NDArray[np.integer], second: NDArray[np.integer], subjects: int) -> IntArray:
    """Return the key of the pair of subjects of each comparison: lower number * S + higher number."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second).astype(np.int64)
    return np.asarray(low * subjects + high, dtype=np.int64)
