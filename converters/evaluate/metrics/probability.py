"""Conversion of scores to probabilities that two samples are of one subject, and the quality of those probabilities.

Logistic regression with prior weights (Brümmer and de Villiers, The BOSARIS Toolkit, 2013): the mated comparisons
together weigh as much as the prior, the non-mated ones the rest, so the fit does not depend on how many of each the
data have. Its logit without the prior odds is a calibrated log-likelihood ratio. Newton's method with step halving
(Lin, Lin and Weng 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from converters.evaluate.metrics.cosines import BoolArray, IntArray
from converters.evaluate.metrics.evidence import Evidence
from converters.evaluate.metrics.score_counts import ScoreCounts, check_both_kinds, checked_weights
from converters.evaluate.metrics.scores import ScoreSet
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

#: Default prior: mated and non-mated comparisons weigh alike.
DEFAULT_PRIOR = 0.5
#: Range of a prior.
LEAST_PRIOR = 1e-6
MAX_STEPS = 1000
TOLERANCE = 1e-10
METHOD = "prior-weighted logistic regression"
SEPARATED_METHOD = f"{METHOD}, separated scores: one comparison of each kind counted as the other kind"


@dataclass(frozen=True)
class Platt(Evidence):
    """P(mated | score) = 1 / (1 + exp(-(slope * score + intercept))) at the stated prior.

    Attributes:
        slope: Above 0 if mated scores are higher.
        intercept: Log-odds at score 0 and the prior.
        mated_trials, non_mated_trials: Numbers of comparisons in the fit.
        prior: Share of mated comparisons, 1e-6..1 - 1e-6, for which the probability holds.
        method: Name of the fit, one line.
    """

    slope: float
    intercept: float
    mated_trials: float
    non_mated_trials: float
    prior: float
    method: str = METHOD

    def log_likelihood_ratio(self, scores: Float64Array) -> Float64Array:
        """Compute the natural log of P(score | mated) / P(score | non-mated): the logit without the prior odds."""
        return self.slope * np.asarray(scores, dtype=np.float64) + (self.intercept - prior_odds(self.prior))

    def probability(self, scores: Float64Array, *, prior: float | None = None) -> Float64Array:
        """Compute the probability that each comparison is mated.

        Args:
            scores: Any shape, finite.
            prior: Expected share of mated comparisons, 1e-6..1 - 1e-6 (default: the prior of the fit).

        Returns:
            The same shape, float64, 0..1.

        Raises:
            InputError: `prior` is outside its range.
        """
        stated = self.prior if prior is None else check_prior(prior)
        return sigmoid(self.log_likelihood_ratio(scores) + prior_odds(stated))


@dataclass(frozen=True)
class ReliabilityBin(Evidence):
    """One bin of a reliability diagram; the two means are None in an empty bin.

    Attributes:
        low, high: Range of the predicted probability.
        count: Number of comparisons.
        mean_probability: Mean predicted probability, weighted as the prior demands.
        observed_share: Share of mated comparisons, weighted in the same way.
    """

    low: float
    high: float
    count: float
    mean_probability: float | None
    observed_share: float | None


def check_prior(prior: float) -> float:
    """Return the prior if it is in 1e-6..1 - 1e-6, otherwise raise InputError."""
    if not LEAST_PRIOR <= prior <= 1.0 - LEAST_PRIOR:
        raise InputError(
            f"expected a prior in {LEAST_PRIOR:g}..1 - {LEAST_PRIOR:g}, found {prior}",
            hint="the expected share of comparisons with the right subject; 0.5 if unknown",
        )
    return float(prior)


def prior_odds(prior: float) -> float:
    """Compute the natural log of prior / (1 - prior)."""
    return log(prior / (1.0 - prior))


def fit_platt(
    scores: Float64Array,
    mated: BoolArray,
    *,
    prior: float = DEFAULT_PRIOR,
    weights: Float64Array | None = None,
) -> Platt:
    """Fit the two coefficients.

    Args:
        scores: Shape (n,), finite.
        mated: Shape (n,), bool.
        prior: Share of the total weight that the mated comparisons get, 1e-6..1 - 1e-6.
        weights: Shape (n,), >= 0: number of comparisons with each score (default: 1).

    Returns:
        The coefficients, see `fit_counts`.

    Raises:
        InputError: The shapes differ, a value is outside its range, all comparisons are of one kind, or the fit does
            not converge.
    """
    return fit_counts(ScoreCounts.of(scores, mated, weights), prior=prior)


def platt_of(scores: ScoreSet, *, prior: float = DEFAULT_PRIOR) -> Platt:
    """Fit a score set; each score is replaced by the middle of its histogram bin (2^-15 wide).

    Raises:
        InputError: All comparisons are of one kind, `prior` is outside its range, or the fit does not converge.
    """
    return fit_counts(ScoreCounts.of_score_set(scores), prior=prior)


def fit_counts(counts: ScoreCounts, *, prior: float = DEFAULT_PRIOR, near: Platt | None = None) -> Platt:
    """Fit the two coefficients to numbers of comparisons per score.

    Separated scores (a threshold divides the kinds without error) have no finite best slope. For them, the weight of
    one comparison of each kind is spread over the scores of the other kind; `method` states it. If all scores are
    equal, the slope is 0 and the probability is the prior.

    Args:
        counts: The comparisons.
        prior: Share of the total weight that the mated comparisons get, 1e-6..1 - 1e-6.
        near: Coefficients to start from.

    Raises:
        InputError: All comparisons are of one kind, `prior` is outside its range, or the fit does not converge.
    """
    check_prior(prior)
    counts.check_both_kinds()
    trials = counts.mated_trials, counts.non_mated_trials
    mated, non_mated = counts.mated / trials[0], counts.non_mated / trials[1]
    centre = float(counts.values @ (mated + non_mated)) / 2
    spread = float(np.sqrt((counts.values - centre) ** 2 @ (mated + non_mated) / 2))
    if spread < 1e-12:
        return Platt(0.0, prior_odds(prior), *trials, prior)
    method = METHOD
    if _separated(counts):
        method = SEPARATED_METHOD
        mated, non_mated = (
            (counts.mated + non_mated) / (trials[0] + 1.0),
            (counts.non_mated + mated) / (trials[1] + 1.0),
        )
    mated, non_mated = prior * mated, (1.0 - prior) * non_mated
    # Standardized scores, because the small range of cosines would make the Hessian nearly singular.
    inputs = np.stack([(counts.values - centre) / spread, np.ones_like(counts.values)])
    start = np.array([0.0, prior_odds(prior)])
    if near is not None:
        start = np.array([near.slope * spread, near.intercept + near.slope * centre])
    fitted = _newton(inputs, mated, non_mated, start, TOLERANCE * min(prior, 1.0 - prior))
    slope = float(fitted[0]) / spread
    return Platt(slope, float(fitted[1]) - slope * centre, *trials, prior, method)


def prior_weights(mated: BoolArray, prior: float, *, weights: Float64Array | None = None) -> Float64Array:
    """Scale weights so that the mated comparisons together weigh `prior` and the non-mated ones 1 - `prior`.

    Args:
        mated: Shape (n,), bool, both kinds.
        prior: 1e-6..1 - 1e-6.
        weights: Shape (n,), >= 0: number of comparisons of each row (default: 1).

    Returns:
        Shape (n,), float64.

    Raises:
        InputError: A value is outside its range, or all comparisons are of one kind.
    """
    check_prior(prior)
    own = np.asarray(mated)
    count = checked_weights(np.zeros(own.shape), weights)
    totals = float(count[own].sum()), float(count[~own].sum())
    check_both_kinds(*totals)
    return np.asarray(count * np.where(own, prior / totals[0], (1.0 - prior) / totals[1]), dtype=np.float64)


def brier_score(
    probabilities: Float64Array, mated: BoolArray, *, weights: Float64Array | None = None
) -> float:
    """Compute the mean squared difference of probability and outcome (Brier 1950); 0 is perfect.

    Args:
        probabilities: Shape (n,), 0..1.
        mated: Shape (n,), bool.
        weights: Shape (n,), >= 0; those of `prior_weights` give the score at a prior (default: 1).

    Raises:
        InputError: A probability is outside 0..1, or the shapes differ.
    """
    chance, outcome = _checked(probabilities, mated)
    return float(np.average((chance - outcome) ** 2, weights=checked_weights(chance, weights)))


def log_loss(probabilities: Float64Array, mated: BoolArray, *, weights: Float64Array | None = None) -> float:
    """Compute the mean negative log probability of the outcome, in nats; probabilities are clipped to 1e-15..1 - 1e-15.

    Args:
        probabilities: Shape (n,), 0..1.
        mated: Shape (n,), bool.
        weights: Shape (n,), >= 0; those of `prior_weights` give the loss at a prior (default: 1).

    Raises:
        InputError: A probability is outside 0..1, or the shapes differ.
    """
    chance, outcome = _checked(probabilities, mated)
    clipped = np.clip(chance, 1e-15, 1.0 - 1e-15)
    loss = -np.where(outcome > 0, np.log(clipped), np.log1p(-clipped))
    return float(np.average(loss, weights=checked_weights(chance, weights)))


def reliability_bins(
    probabilities: Float64Array,
    mated: BoolArray,
    *,
    bins: int = 10,
    weights: Float64Array | None = None,
    prior: float | None = None,
) -> tuple[ReliabilityBin, ...]:
    """Compare the mean probability with the observed share of mated comparisons, in bins of equal width.

    Args:
        probabilities: Shape (n,), 0..1.
        mated: Shape (n,), bool.
        bins: 1..1000.
        weights: Shape (n,), >= 0: number of comparisons of each row (default: 1).
        prior: Share of mated comparisons for which the two means hold (default: the share in the data).

    Raises:
        InputError: A value is outside its range, the shapes differ, or `prior` is given and all comparisons are of
            one kind.
    """
    chance, outcome = _checked(probabilities, mated)
    if not 1 <= bins <= 1000:
        raise InputError(f"expected 1..1000 bins, found {bins}", hint="10 is usual")
    count = checked_weights(chance, weights)
    weight = count if prior is None else prior_weights(np.asarray(mated), prior, weights=weights)
    place: IntArray = np.minimum((chance * bins).astype(np.int64), bins - 1)
    counted, totals, stated, observed = (
        np.bincount(place, weights=part, minlength=bins)
        for part in (count, weight, weight * chance, weight * outcome)
    )
    return tuple(
        ReliabilityBin(
            k / bins,
            (k + 1) / bins,
            float(counted[k]),
            float(stated[k] / totals[k]) if totals[k] > 0 else None,
            float(observed[k] / totals[k]) if totals[k] > 0 else None,
        )
        for k in range(bins)
    )


def _separated(counts: ScoreCounts) -> bool:
    mated, non_mated = counts.values[counts.mated > 0], counts.values[counts.non_mated > 0]
    return bool(non_mated[-1] <= mated[0] or mated[-1] <= non_mated[0])


def _newton(
    inputs: Float64Array,
    mated: Float64Array,
    non_mated: Float64Array,
    start: Float64Array,
    tolerance: float,
) -> Float64Array:
    point, loss = start, _loss(inputs, mated, non_mated, start)
    share = mated + non_mated
    for _ in range(MAX_STEPS):
        chance = sigmoid(point @ inputs)
        gradient = inputs @ (non_mated * chance - mated * (1.0 - chance))
        if float(np.abs(gradient).max()) < tolerance:
            return point
        curvature = share * chance * (1.0 - chance)
        hessian = (inputs * curvature) @ inputs.T
        step = np.linalg.solve(hessian + 1e-12 * np.trace(hessian) * np.eye(2) + 1e-300 * np.eye(2), gradient)
        if float(gradient @ step) <= 1e-14 * loss:
            return point
        size = 1.0
        while size > 1e-10:
            candidate = point - size * step
            new = _loss(inputs, mated, non_mated, candidate)
            if new < loss - 1e-4 * size * float(gradient @ step):
                break
            size /= 2
        else:
            return point  # no step decreases the loss: the limit of float64 is reached
        point, loss = candidate, new
    raise InputError(
        f"expected the fit to converge in {MAX_STEPS} steps, found a gradient of {float(np.abs(gradient).max()):.1g}",
        hint="check the scores for outliers",
    )


def _loss(inputs: Float64Array, mated: Float64Array, non_mated: Float64Array, at: Float64Array) -> float:
    logit = at @ inputs
    return float(mated @ np.logaddexp(0.0, -logit) + non_mated @ np.logaddexp(0.0, logit))


def sigmoid(logit: Float64Array) -> Float64Array:
    """Compute 1 / (1 + exp(-logit)) without overflow."""
    small = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def _checked(probabilities: Float64Array, mated: BoolArray) -> tuple[Float64Array, Float64Array]:
    chance, outcome = np.asarray(probabilities, dtype=np.float64), np.asarray(mated)
    shaped = (
        chance.ndim == 1 and chance.size > 0 and outcome.shape == chance.shape and outcome.dtype == np.bool_
    )
    if not shaped or not ((chance >= 0) & (chance <= 1)).all():
        raise InputError(
            f"expected probabilities (n,) in 0..1 and mated (n,) bool, "
            f"found {chance.shape} and {outcome.shape} {outcome.dtype}",
            hint="use Platt.probability",
        )
    return chance, outcome.astype(np.float64)
