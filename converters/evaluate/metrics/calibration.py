"""Quality of log-likelihood ratios (Cllr, minimum Cllr) and the PAV reference.

Cllr is the cost of a set of log-likelihood ratios over all priors, in bits per comparison: 0 is perfect, and 1 is the cost
of ratios that say nothing (Brümmer and du Preez, Computer Speech and Language 20, 2006). Minimum Cllr is the cost after the
best monotone conversion, which the pool adjacent violators algorithm (PAV) gives; the rest of Cllr is the calibration loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.probability import check_prior
from converters.evaluate.metrics.score_counts import ScoreCounts
from edge_sdk.types import Float64Array


@dataclass(frozen=True, eq=False)
class PooledBlocks:
    """Blocks of neighbouring scores with one likelihood ratio each; the ratios ascend.

    Attributes:
        lowest, highest: Shape (B,), float64: first and last score of each block, ascending.
        mated, non_mated: Shape (B,), float64: shares of the mated and of the non-mated comparisons in each block.
    """

    lowest: Float64Array
    highest: Float64Array
    mated: Float64Array
    non_mated: Float64Array

    def probability(self, prior: float) -> Float64Array:
        """Compute the probability of a mated comparison in each block; shape (B,), ascending, 0..1.

        Raises:
            InputError: `prior` is outside its range.
        """
        own = check_prior(prior) * self.mated
        return np.asarray(own / (own + (1.0 - prior) * self.non_mated), dtype=np.float64)

    def cllr(self) -> float:
        """Compute Cllr of the ratios of the blocks, in bits: minimum Cllr of the scores, 0..1."""
        total = self.mated + self.non_mated
        own, other = self.mated > 0, self.non_mated > 0
        cost = self.mated[own] @ np.log2(total[own] / self.mated[own])
        return float(cost + self.non_mated[other] @ np.log2(total[other] / self.non_mated[other])) / 2


def pool(counts: ScoreCounts) -> PooledBlocks:
    """Pool neighbouring scores until the likelihood ratio ascends with the score (PAV; Ayer and others 1955).

    The blocks do not depend on a prior. Equal scores are always in one block.

    Raises:
        InputError: All comparisons are of one kind.
    """
    from scipy.optimize import isotonic_regression

    counts.check_both_kinds()
    used = (counts.mated + counts.non_mated) > 0
    values = counts.values[used]
    mated = counts.mated[used] / counts.mated_trials
    non_mated = counts.non_mated[used] / counts.non_mated_trials
    weights = mated + non_mated
    starts = isotonic_regression(mated / weights, weights=weights).blocks[:-1]
    ends = np.append(starts[1:], values.size) - 1
    return PooledBlocks(
        values[starts], values[ends], np.add.reduceat(mated, starts), np.add.reduceat(non_mated, starts)
    )


def cllr(
    mated: Float64Array, non_mated: Float64Array, *, weights: tuple[Float64Array, Float64Array] | None = None
) -> float:
    """Compute the cost of log-likelihood ratios in bits per comparison; the two kinds weigh alike.

    Args:
        mated, non_mated: Shapes (m,) and (n,): natural log-likelihood ratios of the comparisons of each kind.
        weights: Numbers of comparisons with each ratio, shapes (m,) and (n,) (default: 1).

    Returns:
        The cost, >= 0; above 1 the ratios do more harm than ratios of 1.
    """
    of_mated, of_non_mated = weights or (None, None)
    own = np.average(np.logaddexp(0.0, -np.asarray(mated, dtype=np.float64)), weights=of_mated)
    other = np.average(np.logaddexp(0.0, np.asarray(non_mated, dtype=np.float64)), weights=of_non_mated)
    return float((own + other) / 2 / np.log(2.0))


def min_cllr(counts: ScoreCounts) -> float:
    """Compute the lowest Cllr that a monotone conversion of these scores can have, in bits, 0..1.

    Raises:
        InputError: All comparisons are of one kind.
    """
    return pool(counts).cllr()
