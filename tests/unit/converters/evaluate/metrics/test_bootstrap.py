"""Intervals by resampling subjects, compared with a pair-by-pair implementation of the scheme."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.evaluate.metrics.bootstrap import (
    draw_multiplicities,
    percentile_interval,
    replicate_tars,
)
from converters.evaluate.metrics.cosines import listed_scores
from converters.evaluate.metrics.difference_evidence import PairedDifference
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from edge_sdk.errors import InputError
from tests.drawn_embeddings import scattered, unit_rows


def noisy(noise: float, *, subjects: int = 40, images: int = 120, seed: int = 0) -> AllPairs:
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, subjects, images))
    return AllPairs(scattered(rng, subjects, labels, noise, dimension=24), labels)


def pair_by_pair(data: AllPairs, fmr: float, weight: np.ndarray) -> float:
    """Compute TAR at fmr in one replicate, pair by pair."""
    codes = data.codes
    first, second = np.triu_indices(codes.size, 1)
    scores = listed_scores(data.vectors, first, second)
    same = codes[first] == codes[second]
    owners = codes[first[same]]
    w_mated = weight[owners] / np.bincount(owners)[owners]
    w_other = weight[codes[first[~same]]] * weight[codes[second[~same]]]
    mated, other = scores[same], scores[~same]
    own = -np.inf
    for score in np.unique(other)[::-1]:
        if w_other[other >= score].sum() / w_other.sum() > fmr:
            own = np.nextafter(score, np.float32(2))
            break
    return float(w_mated[mated >= own].sum() / w_mated.sum())


@pytest.mark.parametrize("fmr", [0.3, 0.02, 0.003])
def test_replicates_follow_the_scheme(fmr: float) -> None:
    data = noisy(1.2)
    scores = data.scores()
    tars = replicate_tars(data, scores, fmrs=[fmr], replicates=12, seed=5)
    drawn = draw_multiplicities(data.subjects, replicates=12, seed=5)
    for k in range(12):
        assert tars[0, k] == pytest.approx(pair_by_pair(data, fmr, drawn[:, k]), abs=1e-12)


def test_listed_pairs_give_the_same_replicates_as_all_pairs() -> None:
    data = noisy(1.0)
    first, second = np.triu_indices(data.codes.size, 1)
    listed = ListedPairs(data.vectors, data.codes, first, second)
    tars = [
        replicate_tars(each, each.scores(), fmrs=[0.1, 0.01], replicates=30, seed=1)
        for each in (data, listed)
    ]
    assert np.array_equal(tars[0], tars[1])


def test_a_large_set_that_keeps_only_its_tail() -> None:
    data = noisy(1.5, subjects=150, images=700)
    scores, fmr = data.scores(), 0.001
    tars = replicate_tars(data, scores, fmrs=[fmr], replicates=5, seed=2)
    drawn = draw_multiplicities(data.subjects, replicates=5, seed=2)
    for k in range(5):
        assert tars[0, k] == pytest.approx(pair_by_pair(data, fmr, drawn[:, k]), abs=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), block=st.integers(1, 64))
def test_the_same_seed_gives_the_same_interval(seed: int, block: int) -> None:
    data = noisy(1.4)
    other = AllPairs(data.vectors, data.codes, block_rows=block)
    scores = data.scores()
    tars = [replicate_tars(each, scores, fmrs=[0.05], replicates=20, seed=seed) for each in (data, other)]
    assert tars[0].tobytes() == tars[1].tobytes()


def test_another_seed_gives_another_draw() -> None:
    first = draw_multiplicities(30, replicates=10, seed=0)
    assert (first.sum(axis=0) == 30).all()
    assert not np.array_equal(first, draw_multiplicities(30, replicates=10, seed=1))
    assert np.array_equal(first, draw_multiplicities(30, replicates=10, seed=0))


def test_percentiles_by_hand_and_undefined_replicates() -> None:
    interval = percentile_interval(np.linspace(0, 1, 101), confidence=0.9)
    assert (interval.low, interval.high) == (pytest.approx(0.05), pytest.approx(0.95))
    values = np.full(100, np.nan)
    values[:30] = 0.5
    assert isinstance(percentile_interval(values), Unsupported)
    values[:60] = 0.5
    assert percentile_interval(values).replicates == 60


def test_paired_difference_is_narrower_than_two_intervals() -> None:
    data = noisy(1.6, subjects=60, images=400, seed=7)
    rng = np.random.default_rng(8)
    moved = data.vectors + 0.02 * rng.normal(size=data.vectors.shape)
    near = AllPairs(unit_rows(moved), data.codes)
    (row,) = paired_differences(data, near, fmrs=[0.01], replicates=300)
    assert isinstance(row, PairedDifference)
    assert isinstance(row.interval, Interval)
    assert row.interval.low <= row.difference <= row.interval.high
    own = percentile_interval(replicate_tars(data, data.scores(), fmrs=[0.01], replicates=300)[0])
    assert row.interval.high - row.interval.low < (own.high - own.low) / 2


def test_paired_difference_of_an_artefact_with_itself() -> None:
    data = noisy(1.0)
    row, refused = paired_differences(data, data, fmrs=[0.05, 1e-6], replicates=50)
    assert isinstance(row, PairedDifference)
    assert row.difference == 0
    assert row.interval.low < 0 < row.interval.high  # equal figures do not prove equality
    assert isinstance(refused, Unsupported)
    assert refused.needed == 2450


def test_paired_difference_detects_a_worse_artefact() -> None:
    data, worse = noisy(0.9, images=300), noisy(2.5, images=300)
    (row,) = paired_differences(data, worse, fmrs=[0.01], replicates=200)
    assert row.interval.high < 0


def test_few_subjects_have_no_interval() -> None:
    data = noisy(1.0, subjects=6, images=40)
    (row,) = paired_differences(data, data, fmrs=[0.1], replicates=50)
    assert isinstance(row.interval, Unsupported)
    assert row.interval.needed == 10


def test_bad_input_is_refused() -> None:
    data, other = noisy(1.0), noisy(1.0, images=100)
    with pytest.raises(InputError, match="same images"):
        paired_differences(data, other, fmrs=[0.1])
    with pytest.raises(InputError, match="replicates"):
        draw_multiplicities(10, replicates=0, seed=0)
    one_each = AllPairs(data.vectors[:5], np.arange(5))
    with pytest.raises(InputError, match="mated and non-mated"):
        replicate_tars(one_each, one_each.scores(), fmrs=[0.1])
    with pytest.raises(InputError, match="confidence"):
        percentile_interval(np.zeros(5), confidence=95)


def test_ties_are_rejected_together_in_every_replicate() -> None:
    rng = np.random.default_rng(0)
    directions = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8], [0.8, 0, 0.6]], np.float32)
    data = AllPairs(directions[rng.integers(0, 4, 90)], np.arange(90) // 3)
    scores = data.scores()
    tars = replicate_tars(data, scores, fmrs=[0.4], replicates=10, seed=3)
    drawn = draw_multiplicities(data.subjects, replicates=10, seed=3)
    for k in range(10):
        assert tars[0, k] == pytest.approx(pair_by_pair(data, 0.4, drawn[:, k]), abs=1e-12)
