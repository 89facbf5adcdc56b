"""Tests of the difference between one group and the others, with control of the number of tests.

FNMR: each subject contributes one value, so the unit is the subject. The statistic is Welch's t; its distribution comes
from permutations of the groups of the subjects (Janssen, Statistics & Probability Letters 36, 1997), which is exact if
subjects are exchangeable and remains valid for unequal variances. If one subject has images in several groups, values are
correlated, and the t distribution is used with the variance of the subjects' influences.

FMR: the ratio of two rates is tested given their sum (Przyborowski and Wilenski, Biometrika 31, 1940), with effective numbers
of comparisons from the dyadic variance. The rates are means over pairs of subjects: with 2 to 80 images per subject this finds
differences in far smaller groups than the FMR over all comparisons does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.dyadic import (
    PairDesign,
    dyadic_variance,
    effective_comparisons,
    pair_keys,
)
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS
from edge_sdk.types import Float64Array

PERMUTATIONS = 9999
MIN_PERMUTATIONS = 1999
MAX_PERMUTED = 200_000_000
CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class SubjectValues:
    """One value per subject and group, such as the share of false non-matches.

    Attributes:
        sums: Shape (S, G): sum of the outcomes of the comparisons within a group.
        trials: Shape (S, G): number of these comparisons.
    """

    sums: Float64Array
    trials: Float64Array

    def groups(self) -> tuple[Float64Array, Float64Array]:
        """Return mean and variance of the mean over the subjects of each group, shape (G,); NaN without subjects."""
        count = (self.trials > 0).sum(axis=0)
        values = self.sums / np.maximum(self.trials, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count > 0, values.sum(axis=0) / count, np.nan)
            squares = np.where(self.trials > 0, (values - mean) ** 2, 0.0).sum(axis=0)
            return mean, np.where(count > 1, squares / (count * (count - 1.0)), np.nan)

    @property
    def disjoint(self) -> bool:
        """True if no subject has comparisons within two groups."""
        return bool(((self.trials > 0).sum(axis=1) <= 1).all())

    def against_others(self, group: int) -> tuple[float, float, float, int]:
        """Compare the mean of a group with the mean over the subjects of all other groups.

        Returns:
            (mean of the others, difference, its variance, least number of subjects of both sides).
        """
        own = self.trials[:, group]
        rest = self.trials.sum(axis=1) - own
        rest_sums = self.sums.sum(axis=1) - self.sums[:, group]
        influence = np.zeros(len(own))
        means, counts = [], []
        for sums, trials, sign in ((self.sums[:, group], own, 1.0), (rest_sums, rest, -1.0)):
            used = trials > 0
            count = int(used.sum())
            values = sums[used] / trials[used]
            mean = float(values.mean()) if count else 0.0
            if count > 1:
                influence[used] += sign * (values - mean) / np.sqrt(count * (count - 1.0))
            means.append(mean)
            counts.append(count)
        return means[1], means[0] - means[1], float((influence * influence).sum()), min(counts)


def value_tests(values: SubjectValues, *, seed: int) -> list[float | None]:
    """Test for each group whether its mean differs from the mean of the other groups' subjects, two-sided.

    Args:
        values: Values of the subjects.
        seed: Seed of the permutations.

    Returns:
        One p-value per group; None if the group or the others have fewer than 10 subjects.
    """
    groups = values.trials.shape[1]
    sides = [values.against_others(group) for group in range(groups)]
    able = [side[3] >= MIN_SUBJECTS for side in sides]
    observed = np.array([_statistic(side[1], side[2]) for side in sides])
    if not any(able):
        return [None] * groups
    if values.disjoint:
        tails = _permuted_tails(values, observed, seed)
    else:
        from scipy.stats import t

        tails = [float(2 * t.sf(abs(observed[g]), max(sides[g][3] - 1, 1))) for g in range(groups)]
    return [tail if ok else None for tail, ok in zip(tails, able, strict=True)]


def _statistic(difference: float, variance: float) -> float:
    return difference / np.sqrt(variance) if variance > 0 else 0.0


def _permuted_tails(values: SubjectValues, observed: Float64Array, seed: int) -> list[float]:
    used = values.trials.sum(axis=1) > 0
    trials = values.trials[used]
    outcomes = values.sums[used].sum(axis=1) / trials.sum(axis=1)
    sizes = (trials > 0).sum(axis=0)
    present = np.flatnonzero(sizes)
    count = outcomes.size
    total = int(np.clip(MAX_PERMUTED // count, MIN_PERMUTATIONS, PERMUTATIONS))
    starts = np.concatenate([[0], np.cumsum(sizes[present])[:-1]])
    above, below = np.ones(present.size), np.ones(present.size)
    generator, drawn = np.random.default_rng(seed), 0
    step = max(1, CHUNK // count)
    while drawn < total:
        rows = min(step, total - drawn)
        shuffled = generator.permuted(np.broadcast_to(outcomes, (rows, count)), axis=1)
        sums = np.add.reduceat(shuffled, starts, axis=1)
        squares = np.add.reduceat(shuffled * shuffled, starts, axis=1)
        statistics = _welch(sums, squares, sizes[present].astype(np.float64))
        above += (statistics >= observed[present] - 1e-9).sum(axis=0)
        below += (statistics <= observed[present] + 1e-9).sum(axis=0)
        drawn += rows
    tails = np.ones(sizes.size)
    tails[present] = np.minimum(1.0, 2 * np.minimum(above, below) / (total + 1))
    return [float(tail) for tail in tails]


def _welch(sums: Float64Array, squares: Float64Array, sizes: Float64Array) -> Float64Array:
    """Compute Welch's t of each group against the others; sums and squares have shape (B, G)."""
    rest = sizes.sum() - sizes
    other_sums = sums.sum(axis=1, keepdims=True) - sums
    other_squares = squares.sum(axis=1, keepdims=True) - squares
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.zeros_like(sums)
        for part, square, size in ((sums, squares, sizes), (other_sums, other_squares, rest)):
            spread = np.maximum(square - part * part / size, 0.0) / (size * (size - 1.0))
            variance += np.where(size > 1, spread, 0.0)
        statistic = (sums / sizes - other_sums / rest) / np.sqrt(variance)
    return np.where(variance > 1e-15, statistic, 0.0)


@dataclass(frozen=True, eq=False)
class MatchCount:
    """False matches among comparisons.

    Attributes:
        design: The comparisons.
        first, second: Shape (A,): subjects of each false match.
    """

    design: PairDesign
    first: IntArray
    second: IntArray

    @property
    def matches(self) -> int:
        """Number of false matches, A."""
        return int(self.first.size)

    @property
    def rate(self) -> float:
        """A / N; 0 without comparisons."""
        return self.matches / self.design.trials if self.design.trials else 0.0

    @property
    def subjects(self) -> int:
        """Number of subjects with comparisons."""
        return int((self.design.per_subject > 0).sum())

    def effective(self) -> float:
        """Return the effective number of comparisons; without false matches the number of pairs of subjects."""
        if not self.matches:
            return float(min(self.design.dyads, self.design.trials))
        return effective_comparisons(self.design, self.first, self.second)


@dataclass(frozen=True)
class PairRate:
    """Mean over pairs of subjects of the share of comparisons that match: each pair weighs alike.

    Attributes:
        rate: The mean, 0..1.
        effective: Number of independent comparisons that give the mean the same variance; None without false matches.
        pairs: Number of pairs of subjects.
        subjects: Number of subjects.
    """

    rate: float
    effective: float | None
    pairs: float
    subjects: int


def pair_rate(count: MatchCount, *, level: float = 0.05) -> PairRate:
    """Compute the mean over pairs of subjects; subjects with many images do not dominate it as they do the FMR.

    Args:
        count: False matches among comparisons; one comparison or more.
        level: Level of one test, after the adjustment for the number of tests. At a small level, a variance with few degrees
            of freedom reduces the effective number more.
    """
    from scipy.stats import norm, t

    pairs = count.design.subject_pairs()
    if not count.matches:
        return PairRate(0.0, None, pairs.trials, count.subjects)
    subjects = pairs.per_subject.size
    keys = pair_keys(count.first, count.second, subjects)
    weights = pairs.comparisons(keys) / count.design.comparisons(keys)
    rate = float(weights.sum()) / pairs.trials
    variance = dyadic_variance(pairs, count.first, count.second, weights)
    few = float(norm.isf(level / 2) / t.isf(level / 2, variance.degrees)) ** 2
    most = count.design.trials
    effective = rate * (1.0 - rate) / variance.value * few if variance.value > 0.0 else most
    return PairRate(rate, float(min(most, max(1.0, effective))), pairs.trials, count.subjects)


def rate_test(group: PairRate, others: PairRate) -> float | None:
    """Test whether the false match rates of two sets of comparisons differ, two-sided.

    Args:
        group, others: The rates as means over pairs of subjects.

    Returns:
        The p-value; None if either side has fewer than 10 subjects.
    """
    from scipy.stats import beta

    if min(group.subjects, others.subjects) < MIN_SUBJECTS:
        return None
    if group.effective is None and others.effective is None:
        return 1.0
    # A side without false matches shows no correlation, so it takes the share of the other side.
    trials, other_trials = (
        side.effective or side.pairs * min(1.0, (other.effective or 1.0) / other.pairs)
        for side, other in ((group, others), (others, group))
    )
    errors, other_errors = group.rate * trials, others.rate * other_trials
    share = trials / (trials + other_trials)
    up = float(beta.cdf(share, errors, other_errors + 1.0)) if errors > 0 else 1.0
    low = float(beta.sf(share, errors + 1.0, other_errors)) if other_errors > 0 else 1.0
    return min(1.0, 2 * min(up, low))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the probability of any false rejection is at most the level (Holm 1979)."""
    order = np.argsort(np.asarray(p_values), kind="stable")
    adjusted, last = [1.0] * len(order), 0.0
    for rank, place in enumerate(order):
        last = max(last, min(1.0, float(p_values[place]) * (len(order) - rank)))
        adjusted[place] = last
    return adjusted
