"""Platt's fit compared with scikit-learn, and quality measures of probabilities compared with values by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import _sigmoid_calibration
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from converters.evaluate.metrics.probability import (
    brier_score,
    fit_platt,
    log_loss,
    platt_of,
    reliability_bins,
)
from converters.evaluate.metrics.scores import from_scores
from edge_sdk.errors import InputError


def drawn(mated: int, non_mated: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0.5, 0.15, mated), rng.normal(0.05, 0.1, non_mated)])
    return np.clip(scores, -1, 1), np.arange(mated + non_mated) < mated


@pytest.mark.parametrize(("mated", "non_mated"), [(200, 200), (30, 5000), (3, 3)])
def test_against_scikit_learn(mated: int, non_mated: int) -> None:
    scores, truth = drawn(mated, non_mated)
    slope, intercept = _sigmoid_calibration(scores, truth)  # fits 1 / (1 + exp(a * s + b))
    platt = fit_platt(scores, truth)
    at = np.linspace(-0.5, 1, 40)
    assert platt.probability(at) == pytest.approx(1 / (1 + np.exp(slope * at + intercept)), abs=2e-4)


def test_separated_scores_stay_finite() -> None:
    platt = fit_platt(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 0 < platt.slope < 100
    pairs = platt.probability(np.array([0.1, 0.2, 0.8, 0.9])).reshape(2, 2)
    assert pairs.mean(axis=1) == pytest.approx([0.25, 0.75], abs=0.01)  # the smoothed targets: 1/4 and 3/4


def test_constant_scores_give_the_prior() -> None:
    platt = fit_platt(np.full(30, 0.4), np.arange(30) < 10)
    assert platt.probability(np.array([0.4]))[0] == pytest.approx(1 / 3, abs=0.02)


def test_weights_stand_for_repetition() -> None:
    scores, truth = drawn(20, 50)
    twice = fit_platt(np.repeat(scores, 2), np.repeat(truth, 2))
    weighted = fit_platt(scores, truth, weights=np.full(70, 2.0))
    assert (twice.slope, twice.intercept) == pytest.approx((weighted.slope, weighted.intercept), rel=1e-6)


def test_a_score_set_is_fitted_by_its_histogram() -> None:
    scores, truth = drawn(300, 4000)
    exact = fit_platt(scores, truth)
    binned = platt_of(from_scores(scores[truth].astype(np.float32), scores[~truth].astype(np.float32)))
    assert (binned.slope, binned.intercept) == pytest.approx((exact.slope, exact.intercept), rel=1e-3)
    assert (binned.mated_trials, binned.non_mated_trials) == (300, 4000)


def test_prior_moves_the_probability() -> None:
    scores, truth = drawn(100, 900)
    platt = fit_platt(scores, truth)
    at = np.array([0.2, 0.3])
    assert platt.probability(at, prior=0.1) == pytest.approx(platt.probability(at))
    even = platt.probability(at, prior=0.5)
    assert np.log(even / (1 - even)) == pytest.approx(platt.log_likelihood_ratio(at))


@settings(deadline=None, max_examples=40)
@given(
    scores=st.lists(st.integers(-20, 20), min_size=4, max_size=60),
    split=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_any_data_converges_to_a_minimum(scores: list[int], split: int, seed: int) -> None:
    values = np.array(scores) / 20
    truth = np.random.default_rng(seed).permutation(len(scores)) < split
    platt = fit_platt(values, truth)
    positives, negatives = split, len(scores) - split
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    gap = platt.probability(values) - target
    assert abs(gap.mean()) < 1e-6
    assert abs((gap * values).mean()) < 1e-6


def test_brier_and_log_loss_against_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    chance, truth = rng.uniform(size=100), rng.uniform(size=100) < 0.5
    assert brier_score(chance, truth) == pytest.approx(brier_score_loss(truth, chance))
    assert log_loss(chance, truth) == pytest.approx(reference_log_loss(truth, chance))
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False])))


def test_reliability_by_hand() -> None:
    bins = reliability_bins(np.array([0.05, 0.15, 0.18, 1.0]), np.array([False, False, True, True]), bins=10)
    assert [bar.count for bar in bins] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert bins[1].mean_probability == pytest.approx(0.165)
    assert bins[1].observed_share == 0.5
    assert bins[2].mean_probability is None
    assert bins[2].to_json()["mean_probability"] is None


def test_bad_input_is_refused() -> None:
    scores, truth = np.array([0.1, 0.2]), np.array([True, False])
    with pytest.raises(InputError, match="both kinds"):
        fit_platt(scores, np.array([True, True]))
    with pytest.raises(InputError, match="finite"):
        fit_platt(np.array([0.1, np.nan]), truth)
    with pytest.raises(InputError, match="bool"):
        fit_platt(scores, np.array([1, 0]))
    with pytest.raises(InputError, match="weights"):
        fit_platt(scores, truth, weights=np.array([1.0, -1.0]))
    with pytest.raises(InputError, match="prior"):
        fit_platt(scores, truth).probability(scores, prior=1.0)
    with pytest.raises(InputError, match=r"0\.\.1"):
        brier_score(np.array([0.5, 1.5]), truth)
    with pytest.raises(InputError, match="bins"):
        reliability_bins(scores, truth, bins=0)
