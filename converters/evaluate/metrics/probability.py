"""Conversion of scores to probabilities that two samples are of one subject, and the quality of those probabilities.

Platt's logistic regression (Platt 1999) with his smoothed targets, fitted by Newton's method with
step halving until the loss decreases (Lin, Lin and Weng 2007). A fitted probability is valid for the
share of mated comparisons in the fit; `prior` converts it to another share.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from converters.evaluate.metrics.cosines import BoolArray, IntArray
from converters.evaluate.metrics.evidence import Evidence
from converters.evaluate.metrics.scores import BINS, BINS_PER_UNIT, ScoreSet
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

MAX_STEPS = 100
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Platt(Evidence):
    """P(mated | score) = 1 / (1 + exp(-(slope * score + intercept))).

    Attributes:
        slope: Above 0 if mated scores are higher.
        intercept: Log-odds at score 0.
        mated_trials, non_mated_trials: Numbers of comparisons in the fit; their ratio is the prior odds.
    """

    slope: float
    intercept: float
    mated_trials: float
    non_mated_trials: float

    def log_likelihood_ratio(self, scores: Float64Array) -> Float64Array:
        """Compute the natural log of P(score | mated) / P(score | non-mated): the logit without the prior odds."""
        odds = log(self.mated_trials / self.non_mated_trials)
        return self.slope * np.asarray(scores, dtype=np.float64) + (self.intercept - odds)

    def probability(self, scores: Float64Array, *, prior: float | None = None) -> Float64Array:
        """Compute the probability that each comparison is mated.

        Args:
            scores: Any shape, finite.
            prior: Expected share of mated comparisons, above 0 and under 1 (default: the share in the fit).

        Returns:
            The same shape, float64, 0..1.

        Raises:
            InputError: `prior` is outside its range.
        """
        if prior is None:
            return _sigmoid(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)
        if not 0.0 < prior < 1.0:
            raise InputError(
                f"expected a prior above 0 and under 1, found {prior}", hint="use 0.5 if unknown"
            )
        return _sigmoid(self.log_likelihood_ratio(scores) + log(prior / (1.0 - prior)))


@dataclass(frozen=True)
class ReliabilityBin(Evidence):
    """One bin of a reliability diagram; the two means are None in an empty bin."""

    low: float
    high: float
    count: float
    mean_probability: float | None
    observed_share: float | None


def fit_platt(scores: Float64Array, mated: BoolArray, *, weights: Float64Array | None = None) -> Platt:
    """Fit the two coefficients.

    Args:
        scores: Shape (n,), finite.
        mated: Shape (n,), bool.
        weights: Shape (n,), >= 0: number of comparisons with each score (default: 1).

    Returns:
        The coefficients.

    Raises:
        InputError: The shapes differ, a value is not finite, all comparisons are of one kind, or the fit does not
            converge.
    """
    values, count = np.asarray(scores, dtype=np.float64), _weights(scores, weights)
    own = np.asarray(mated)
    if (
        values.ndim != 1
        or own.shape != values.shape
        or own.dtype != np.bool_
        or not np.isfinite(values).all()
    ):
        raise InputError(
            f"expected finite scores (n,) and mated (n,) bool, found {values.shape} and {own.shape} {own.dtype}",
            hint="give one bool per score",
        )
    positives, negatives = float(count[own].sum()), float(count[~own].sum())
    if positives <= 0 or negatives <= 0:
        raise InputError(
            f"expected comparisons of both kinds, found {positives:g} mated and {negatives:g} non-mated",
            hint="add images of more subjects, or more images of each",
        )
    target = np.where(own, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    # Standardized scores, because the small range of cosines would make the Hessian nearly singular.
    centre = float(np.average(values, weights=count))
    spread = float(np.sqrt(np.average((values - centre) ** 2, weights=count)))
    spread = spread if spread > 1e-12 else 1.0
    inputs = np.stack([(values - centre) / spread, np.ones_like(values)])
    fitted = _newton(inputs, target, count, np.array([0.0, log((positives + 1.0) / (negatives + 1.0))]))
    slope = float(fitted[0]) / spread
    return Platt(slope, float(fitted[1]) - slope * centre, positives, negatives)


def platt_of(scores: ScoreSet) -> Platt:
    """Fit a score set; each non-mated score is replaced by the middle of its histogram bin (2^-15 wide).

    Raises:
        InputError: All comparisons are of one kind, or the fit does not converge.
    """
    filled = np.flatnonzero(scores.histogram)
    middles = (filled + 0.5) / BINS_PER_UNIT - 1.0
    values = np.concatenate(
        [scores.mated.astype(np.float64), np.minimum(middles, (BINS - 1) / BINS_PER_UNIT - 1.0)]
    )
    mated = np.arange(values.size) < scores.mated.size
    weights = np.concatenate([np.ones(scores.mated.size), scores.histogram[filled].astype(np.float64)])
    return fit_platt(values, mated, weights=weights)


def brier_score(
    probabilities: Float64Array, mated: BoolArray, *, weights: Float64Array | None = None
) -> float:
    """Compute the mean squared difference of probability and outcome (Brier 1950); 0 is perfect.

    Raises:
        InputError: A probability is outside 0..1, or the shapes differ.
    """
    chance, outcome = _checked(probabilities, mated)
    return float(np.average((chance - outcome) ** 2, weights=_weights(chance, weights)))


def log_loss(probabilities: Float64Array, mated: BoolArray, *, weights: Float64Array | None = None) -> float:
    """Compute the mean negative log probability of the outcome, in nats; probabilities are clipped to 1e-15..1 - 1e-15.

    Raises:
        InputError: A probability is outside 0..1, or the shapes differ.
    """
    chance, outcome = _checked(probabilities, mated)
    clipped = np.clip(chance, 1e-15, 1.0 - 1e-15)
    loss = -np.where(outcome > 0, np.log(clipped), np.log1p(-clipped))
    return float(np.average(loss, weights=_weights(chance, weights)))


def reliability_bins(
    probabilities: Float64Array,
    mated: BoolArray,
    *,
    bins: int = 10,
    weights: Float64Array | None = None,
) -> tuple[ReliabilityBin, ...]:
    """Compare the mean probability with the observed share of mated comparisons, in bins of equal width.

    Args:
        probabilities: Shape (n,), 0..1.
        mated: Shape (n,), bool.
        bins: 1..1000.
        weights: Shape (n,); see `fit_platt`.

    Raises:
        InputError: A value is outside its range, or the shapes differ.
    """
    chance, outcome = _checked(probabilities, mated)
    if not 1 <= bins <= 1000:
        raise InputError(f"expected 1..1000 bins, found {bins}", hint="10 is usual")
    count = _weights(chance, weights)
    place: IntArray = np.minimum((chance * bins).astype(np.int64), bins - 1)
    totals = np.bincount(place, weights=count, minlength=bins)
    stated = np.bincount(place, weights=count * chance, minlength=bins)
    observed = np.bincount(place, weights=count * outcome, minlength=bins)
    return tuple(
        ReliabilityBin(
            k / bins,
            (k + 1) / bins,
            float(totals[k]),
            float(stated[k] / totals[k]) if totals[k] > 0 else None,
            float(observed[k] / totals[k]) if totals[k] > 0 else None,
        )
        for k in range(bins)
    )


def _newton(
    inputs: Float64Array, target: Float64Array, count: Float64Array, start: Float64Array
) -> Float64Array:
    share = count / count.sum()
    point, loss = start, _loss(inputs, target, share, start)
    for _ in range(MAX_STEPS):
        chance = _sigmoid(point @ inputs)
        gradient = inputs @ (share * (chance - target))
        if float(np.abs(gradient).max()) < TOLERANCE:
            return point
        curvature = share * chance * (1.0 - chance)
        hessian = (inputs * curvature) @ inputs.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10:
            candidate = point - size * step
            new = _loss(inputs, target, share, candidate)
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


def _loss(inputs: Float64Array, target: Float64Array, share: Float64Array, at: Float64Array) -> float:
    logit = at @ inputs
    return float(share @ (np.logaddexp(0.0, logit) - target * logit))


def _sigmoid(logit: Float64Array) -> Float64Array:
    small = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def _weights(like: Float64Array, weights: Float64Array | None) -> Float64Array:
    shape = np.shape(like)
    count = np.ones(shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if count.shape != shape or not np.isfinite(count).all() or (count < 0).any():
        raise InputError(
            f"expected weights {shape}, finite and not negative, found {count.shape}",
            hint="give one weight per score",
        )
    return count


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
