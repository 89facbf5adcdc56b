"""Error rates compared with scikit-learn and with values computed by hand, including ties and data with one kind of comparison."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_curve

from converters.evaluate.metrics.curves import (
    DEFAULT_FMRS,
    best_accuracy,
    coarse_histogram,
    d_prime,
    det_curve,
    equal_error_rate,
    false_match_rate,
    false_non_match_rate,
    threshold_at_fmr,
    trials_needed,
    upper_bound_without_errors,
)
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.scores import ScoreSet, all_pairs, from_scores
from edge_sdk.errors import InputError
from tests.drawn_embeddings import scattered

SCORES = st.lists(st.integers(-32, 32), min_size=1, max_size=80)  # few values: many ties


def score_set(mated: list[float], non_mated: list[float]) -> ScoreSet:
    return from_scores(np.array(mated, np.float32), np.array(non_mated, np.float32))


@pytest.fixture(scope="module")
def faces_like() -> ScoreSet:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 400, 1549)
    return all_pairs(scattered(rng, 400, labels, 1.3, dimension=64), labels)


def test_against_scikit_learn(faces_like: ScoreSet) -> None:
    scores = np.concatenate([faces_like.mated, faces_like.tail]).astype(np.float64)
    truth = np.arange(scores.size) < faces_like.mated_trials
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    assert np.abs(false_match_rate(faces_like, thresholds) - fpr).max() < 1e-9
    assert np.abs(1 - false_non_match_rate(faces_like, thresholds) - tpr).max() < 1e-9
    stated = 0
    for fmr in DEFAULT_FMRS:
        threshold = threshold_at_fmr(faces_like, fmr)
        if isinstance(threshold, Unsupported):
            continue
        stated += 1
        last = np.flatnonzero(fpr <= fmr)[-1]
        at = np.array([threshold])
        assert false_match_rate(faces_like, at)[0] == pytest.approx(fpr[last], abs=1e-9)
        assert 1 - false_non_match_rate(faces_like, at)[0] == pytest.approx(tpr[last], abs=1e-9)
        below = np.array([np.nextafter(np.float32(threshold), np.float32(-2))], np.float64)
        assert false_match_rate(faces_like, below)[0] > fmr  # so the threshold is the smallest
    assert stated == 5


def test_eer_against_scikit_learn(faces_like: ScoreSet) -> None:
    scores = np.concatenate([faces_like.mated, faces_like.tail]).astype(np.float64)
    truth = np.arange(scores.size) < faces_like.mated_trials
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    gap = fpr - (1 - tpr)
    after = int(np.flatnonzero(gap >= 0)[0])
    share = gap[after] / (gap[after] - gap[after - 1])
    expected = fpr[after] + share * (fpr[after - 1] - fpr[after])
    assert equal_error_rate(faces_like).rate == pytest.approx(expected, abs=1e-9)


def test_by_hand() -> None:
    scores = score_set([0.9, 0.6, 0.4, 0.8], [0.1, 0.5, 0.3, 0.2, 0.7])
    assert false_match_rate(scores, np.array([0.0, 0.5, 0.55, 0.69, 1.0])).tolist() == [1, 0.4, 0.2, 0.2, 0]
    assert false_non_match_rate(scores, np.array([0.3, 0.5, 0.65, 0.95])).tolist() == [0, 0.25, 0.5, 1]
    # (FMR, FNMR) is (0.4, 0.25) at threshold 0.5 and (0.2, 0.25) at 0.6: the line between crosses FMR = FNMR at 0.25.
    assert equal_error_rate(scores).rate == pytest.approx(0.25)
    assert best_accuracy(scores)[0] == pytest.approx(7 / 9)


def test_eer_of_separated_and_of_equal_scores() -> None:
    assert equal_error_rate(score_set([0.8, 0.9], [0.1, 0.2])).rate == 0
    assert equal_error_rate(score_set([0.1, 0.2], [0.8, 0.9])).rate == 1
    assert equal_error_rate(score_set([0.5, 0.5], [0.5, 0.5])).rate == pytest.approx(0.5)


def test_d_prime_by_hand() -> None:
    assert d_prime(score_set([0.5, 0.75], [0.0, 0.25])) == pytest.approx(0.5 / 0.125)
    assert isinstance(d_prime(score_set([0.5], [0.0])), Unsupported)


def test_ties_at_the_threshold_are_rejected_together() -> None:
    scores = score_set([0.5, 0.9], [0.5] * 10 + [0.25] * 20)
    threshold = threshold_at_fmr(scores, 0.2)  # allows 6 false matches; the 10 tied scores are rejected
    assert threshold == float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert false_match_rate(scores, np.array([threshold]))[0] == 0
    assert false_match_rate(scores, np.array([threshold_at_fmr(scores, 0.34)]))[0] == pytest.approx(1 / 3)


def test_a_claim_takes_three_over_f_comparisons() -> None:
    assert [trials_needed(f) for f in (0.1, 1e-3, 1e-6)] == [30, 3000, 3_000_000]
    scores = score_set([0.9], [0.1] * 2999)
    refused = threshold_at_fmr(scores, 1e-3)
    assert isinstance(refused, Unsupported)
    assert (refused.needed, refused.found) == (3000, 2999)
    assert not refused
    assert isinstance(threshold_at_fmr(score_set([0.9], [0.1] * 3000), 1e-3), float)
    assert upper_bound_without_errors(3000) == pytest.approx(1e-3)
    assert upper_bound_without_errors(0) == 1


@settings(deadline=None, max_examples=60)
@given(mated=SCORES, non_mated=SCORES)
def test_rates_are_monotone_and_match_counting(mated: list[int], non_mated: list[int]) -> None:
    own, other = [v / 32 for v in mated], [v / 32 for v in non_mated]
    scores = score_set(own, other)
    at = np.linspace(-1.2, 1.2, 97)
    fmr, fnmr = false_match_rate(scores, at), false_non_match_rate(scores, at)
    assert (np.diff(fmr) <= 0).all()
    assert (np.diff(fnmr) >= 0).all()
    assert fmr.tolist() == [np.mean([v >= t for v in other]) for t in at]
    assert fnmr.tolist() == [np.mean([v < t for v in own]) for t in at]
    rate = equal_error_rate(scores).rate
    assert 0 <= rate <= 1
    accuracy, threshold = best_accuracy(scores)
    truth = [True] * len(own) + [False] * len(other)
    assert accuracy == pytest.approx(accuracy_score(truth, np.array(own + other) >= threshold))


@settings(deadline=None, max_examples=60)
@given(non_mated=st.lists(st.integers(-32, 32), min_size=30, max_size=200), fmr=st.floats(0.1, 0.9))
def test_threshold_is_the_smallest_that_holds(non_mated: list[int], fmr: float) -> None:
    scores = score_set([0.0], [v / 32 for v in non_mated])
    threshold = threshold_at_fmr(scores, fmr)
    below = float(np.nextafter(np.float32(threshold), np.float32(-2)))
    rates = false_match_rate(scores, np.array([threshold, below]))
    assert rates[0] <= fmr < rates[1]


def test_det_points_are_exact_and_ordered(faces_like: ScoreSet) -> None:
    curve = det_curve(faces_like, points=300)
    assert 200 < curve.thresholds.size <= 300
    assert (np.diff(curve.fmr) <= 0).all()
    assert (np.diff(curve.fnmr) >= 0).all()
    k = 50
    assert curve.fmr[k] == np.mean(faces_like.tail >= np.float32(curve.thresholds[k]))


def test_histogram_counts_every_comparison(faces_like: ScoreSet) -> None:
    edges, mated, non_mated = coarse_histogram(faces_like, bins=64)
    assert edges.size == 65
    assert mated.sum() == faces_like.mated_trials
    assert np.array_equal(non_mated, np.histogram(faces_like.tail.astype(np.float64), edges)[0])


@pytest.mark.parametrize("scores", [score_set([], [0.1] * 40), score_set([0.5] * 40, [])])
def test_the_missing_kind_of_comparison_is_named(scores: ScoreSet) -> None:
    half = "no mated" if scores.mated_trials == 0 else "no non-mated"
    for refusal in (equal_error_rate(scores), det_curve(scores), d_prime(scores), best_accuracy(scores)):
        assert isinstance(refusal, Unsupported)
        assert half in refusal.reason
    assert bool(threshold_at_fmr(scores, 0.1)) == (scores.mated_trials == 0)


def test_bad_rates_are_refused() -> None:
    scores = score_set([0.5], [0.1])
    for fmr in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="at least 1e-15 and under 1"):
            threshold_at_fmr(scores, fmr)
    with pytest.raises(InputError, match="points"):
        det_curve(scores, points=1)
    with pytest.raises(InputError, match="power of two"):
        coarse_histogram(scores, bins=100)
    with pytest.raises(InputError, match="non-mated"):
        false_match_rate(score_set([0.5], []), np.array([0.5]))
    with pytest.raises(InputError, match="mated"):
        false_non_match_rate(score_set([], [0.5]), np.array([0.5]))
