"""Prior-weighted logistic regression compared with scikit-learn, and quality measures compared with values by hand."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from converters.evaluate.metrics.probability import (
    METHOD,
    SEPARATED_METHOD,
    brier_score,
    fit_platt,
    log_loss,
    platt_of,
    prior_weights,
    reliability_bins,
)
from converters.evaluate.metrics.scores import from_scores
from edge_sdk.errors import InputError


def drawn(mated: int, non_mated: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0.4, 0.15, mated), rng.normal(0.05, 0.15, non_mated)])
    return np.clip(scores, -1, 1), np.arange(mated + non_mated) < mated


@pytest.mark.parametrize("prior", [0.5, 0.1, 0.001, 1e-6])
@pytest.mark.parametrize(("mated", "non_mated"), [(200, 200), (30, 5000)])
def test_against_weighted_logistic_regression_of_scikit_learn(
    mated: int, non_mated: int, prior: float
) -> None:
    scores, truth = drawn(mated, non_mated)
    weights = np.where(truth, prior / mated, (1 - prior) / non_mated) / prior
    standard = (scores - scores.mean()) / scores.std()
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    reference.fit(standard[:, None], truth, sample_weight=weights)
    slope = reference.coef_[0, 0] / scores.std()
    platt = fit_platt(scores, truth, prior=prior)
    assert platt.slope == pytest.approx(slope, rel=1e-5)
    assert platt.intercept == pytest.approx(reference.intercept_[0] - slope * scores.mean(), rel=1e-5)
    assert (platt.prior, platt.method) == (prior, METHOD)


def test_two_scores_by_hand() -> None:
    # Score 0: 1 mated of 4, 3 non-mated of 4; score 1: 3 and 1. A line through two points is exact: ratios 1/3 and 3.
    scores = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    truth = np.array([True, False, False, False, True, True, True, False])
    platt = fit_platt(scores, truth)
    assert platt.log_likelihood_ratio(np.array([0.0, 1.0])) == pytest.approx([-log(3), log(3)])
    assert (platt.slope, platt.intercept) == pytest.approx((2 * log(3), -log(3)))
    assert platt.probability(np.array([0.0, 1.0])) == pytest.approx([1 / 4, 3 / 4])
    rare = fit_platt(scores, truth, prior=0.1)
    assert rare.probability(np.array([1.0]))[0] == pytest.approx(3 * 0.1 / (3 * 0.1 + 0.9))  # 1/4
    assert rare.log_likelihood_ratio(np.array([1.0]))[0] == pytest.approx(log(3))
    weighted = fit_platt(np.array([0.0, 0, 1, 1]), truth[[0, 1, 4, 7]], weights=np.array([1.0, 30, 3, 10]))
    assert weighted.log_likelihood_ratio(np.array([1.0]))[0] == pytest.approx(
        log(3)
    )  # 10 times as many non-mated


def test_the_numbers_of_comparisons_do_not_move_the_ratio() -> None:
    scores, truth = drawn(200, 300)
    more = np.where(truth, 1.0, 100.0)
    assert fit_platt(scores, truth, weights=more).slope == pytest.approx(fit_platt(scores, truth).slope)


@pytest.mark.parametrize("turned", [False, True])
def test_separated_scores_stay_finite_by_hand(turned: bool) -> None:
    # Half of the scores at 0.1 (2 non-mated), half at 0.8 (2 mated). One comparison of each kind counts as the other:
    # at 0.8 the mated share is 2/3 and the non-mated share 1/3, so the ratio is 2.
    truth = np.array([False, False, True, True]) ^ turned
    platt = fit_platt(np.array([0.1, 0.1, 0.8, 0.8]), truth)
    expected = np.array([-log(2), log(2)]) * (-1 if turned else 1)
    assert platt.log_likelihood_ratio(np.array([0.1, 0.8])) == pytest.approx(expected)
    assert platt.method == SEPARATED_METHOD


def test_kinds_that_share_one_score_at_the_border_count_as_separated() -> None:
    platt = fit_platt(np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True]))
    assert platt.method == SEPARATED_METHOD
    assert 0 < platt.slope < 20


def test_nearly_separated_scores_converge() -> None:
    scores = np.array([0.1, 0.2, 0.5000001, 0.5, 0.8, 0.9])
    for prior in (0.5, 1e-6, 1 - 1e-6):
        platt = fit_platt(scores, np.array([False, False, False, True, True, True]), prior=prior)
        assert platt.method == METHOD
        assert np.isfinite([platt.slope, platt.intercept]).all()


def test_constant_scores_give_the_prior() -> None:
    platt = fit_platt(np.full(30, 0.4), np.arange(30) < 10, prior=0.2)
    assert platt.slope == 0.0
    assert platt.probability(np.array([0.4, -1.0])) == pytest.approx([0.2, 0.2])


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
    assert platt.probability(at, prior=0.5) == pytest.approx(platt.probability(at))
    rare = platt.probability(at, prior=0.01)
    assert np.log(rare / (1 - rare)) == pytest.approx(platt.log_likelihood_ratio(at) + log(1 / 99))


@settings(deadline=None, max_examples=60)
@given(
    scores=st.lists(st.integers(-20, 20), min_size=4, max_size=60),
    split=st.integers(1, 3),
    prior=st.sampled_from([0.5, 0.01, 0.9]),
    seed=st.integers(0, 9),
)
def test_any_data_converges_to_a_minimum(scores: list[int], split: int, prior: float, seed: int) -> None:
    values = np.array(scores) / 20
    truth = np.random.default_rng(seed).permutation(len(scores)) < split
    platt = fit_platt(values, truth, prior=prior)
    # At the minimum the weighted residuals sum to 0, so the mean probability is the prior, also for separated scores.
    weights = prior_weights(truth, prior)
    if platt.method == METHOD:
        gap = platt.probability(values) - truth
        assert abs(weights @ gap) < 1e-6
        assert abs(weights @ (gap * values)) < 1e-6 or platt.slope == 0.0
    else:
        assert np.isfinite([platt.slope, platt.intercept]).all()
        assert np.abs(platt.log_likelihood_ratio(values)).max() < 50


def test_brier_and_log_loss_against_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    chance, truth = rng.uniform(size=100), rng.uniform(size=100) < 0.3
    assert brier_score(chance, truth) == pytest.approx(brier_score_loss(truth, chance))
    assert log_loss(chance, truth) == pytest.approx(reference_log_loss(truth, chance))
    weights = prior_weights(truth, 0.9)
    assert weights[truth].sum() == pytest.approx(0.9)
    assert weights.sum() == pytest.approx(1.0)
    weighted = brier_score_loss(truth, chance, sample_weight=weights)
    assert brier_score(chance, truth, weights=weights) == pytest.approx(weighted)
    weighted = reference_log_loss(truth, chance, sample_weight=weights)
    assert log_loss(chance, truth, weights=weights) == pytest.approx(weighted)
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False])))


def test_reliability_by_hand() -> None:
    chances, truth = np.array([0.05, 0.15, 0.18, 1.0]), np.array([False, False, True, True])
    bins = reliability_bins(chances, truth, bins=10)
    assert [bar.count for bar in bins] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert bins[1].mean_probability == pytest.approx(0.165)
    assert bins[1].observed_share == 0.5
    assert bins[2].mean_probability is None
    assert bins[2].to_json()["mean_probability"] is None
    # At prior 0.1 each mated comparison weighs 0.05 and each non-mated one 0.45; the counts stay.
    rare = reliability_bins(chances, truth, bins=10, prior=0.1)
    assert [bar.count for bar in rare] == [bar.count for bar in bins]
    assert rare[1].observed_share == pytest.approx(0.1)
    assert rare[1].mean_probability == pytest.approx(0.9 * 0.15 + 0.1 * 0.18)


def test_bad_input_is_refused() -> None:
    scores, truth = np.array([0.1, 0.2]), np.array([True, False])
    for kind in (True, False):
        with pytest.raises(InputError, match="both kinds"):
            fit_platt(scores, np.array([kind, kind]))
    with pytest.raises(InputError, match="finite"):
        fit_platt(np.array([0.1, np.nan]), truth)
    with pytest.raises(InputError, match="bool"):
        fit_platt(scores, np.array([1, 0]))
    with pytest.raises(InputError, match="weights"):
        fit_platt(scores, truth, weights=np.array([1.0, -1.0]))
    for prior in (0.0, 1.0, 1e-9, np.nan, np.inf):
        with pytest.raises(InputError, match="prior"):
            fit_platt(scores, truth, prior=prior)
        with pytest.raises(InputError, match="prior"):
            fit_platt(scores, truth).probability(scores, prior=prior)
    with pytest.raises(InputError, match="both kinds"):
        prior_weights(np.array([True, True]), 0.5)
    with pytest.raises(InputError, match=r"0\.\.1"):
        brier_score(np.array([0.5, 1.5]), truth)
    with pytest.raises(InputError, match="bins"):
        reliability_bins(scores, truth, bins=0)
