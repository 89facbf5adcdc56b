"""Score sets: exact, independent of the block size, and counted correctly if only the tail is kept."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.evaluate.metrics.cosines import listed_scores, on_grid
from converters.evaluate.metrics.curves import det_curve, equal_error_rate, threshold_at_fmr
from converters.evaluate.metrics.scores import all_pairs, from_scores
from edge_sdk.errors import InputError
from tests.drawn_embeddings import unit_rows


def unit_vectors(count: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    return unit_rows(drawn)


def by_hand(vectors: np.ndarray, labels: list[int]) -> tuple[list[float], list[float]]:
    grid = on_grid(vectors)
    halves: tuple[list[float], list[float]] = ([], [])
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            halves[labels[i] != labels[j]].append(float(np.float32(sum(grid[i] * grid[j]))))
    return sorted(halves[0]), sorted(halves[1])


def test_every_pair_once() -> None:
    vectors, labels = unit_vectors(23), [k % 5 for k in range(23)]
    scores = all_pairs(vectors, labels)
    mated, non_mated = by_hand(vectors, labels)
    assert scores.mated.tolist() == mated
    assert scores.tail.tolist() == non_mated
    assert scores.non_mated_mean == pytest.approx(np.mean(non_mated), abs=1e-8)
    assert scores.non_mated_sd == pytest.approx(np.std(non_mated), abs=1e-8)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(2, 70),
    subjects=st.integers(1, 12),
    block=st.integers(1, 90),
    dimension=st.sampled_from([1, 3, 64, 192]),
    seed=st.integers(0, 99),
)
def test_block_size_changes_no_bit(count: int, subjects: int, block: int, dimension: int, seed: int) -> None:
    vectors = unit_vectors(count, dimension, seed)
    labels = np.random.default_rng(seed).integers(0, subjects, count)
    whole, parts = all_pairs(vectors, labels), all_pairs(vectors, labels, block_rows=block)
    assert whole.mated.tobytes() == parts.mated.tobytes()
    assert whole.tail.tobytes() == parts.tail.tobytes()
    assert np.array_equal(whole.histogram, parts.histogram)
    assert (whole.non_mated_mean, whole.non_mated_sd) == (parts.non_mated_mean, parts.non_mated_sd)


def test_block_size_changes_no_bit_of_a_kept_tail() -> None:
    vectors, labels = unit_vectors(300), np.arange(300) // 3
    sets = [all_pairs(vectors, labels, block_rows=block, keep=1000) for block in (7, 64, 300)]
    assert sets[0].tail.size == 1000
    assert len({scores.tail.tobytes() for scores in sets}) == 1


def test_listed_scores_are_the_same_bits() -> None:
    vectors = unit_vectors(40, 128)
    first, second = np.triu_indices(40, 1)
    listed = np.sort(listed_scores(vectors, first, second))
    assert listed.tobytes() == all_pairs(vectors, list(range(40))).tail.tobytes()


def test_exact_to_rounding() -> None:
    vectors = unit_vectors(50, 512)
    first, second = np.triu_indices(50, 1)
    true = np.einsum("ij,ij->i", vectors[first].astype(np.float64), vectors[second].astype(np.float64))
    assert np.abs(listed_scores(vectors, first, second) - true).max() < 1e-7


def test_image_order_changes_nothing() -> None:
    vectors, labels = unit_vectors(60), np.arange(60) % 13
    turn = np.random.default_rng(1).permutation(60)
    assert (
        all_pairs(vectors, labels).mated.tobytes() == all_pairs(vectors[turn], labels[turn]).mated.tobytes()
    )


def test_kept_tail_gives_the_same_thresholds_and_counts() -> None:
    vectors, labels = unit_vectors(250), np.arange(250) // 5
    whole = all_pairs(vectors, labels)
    tail = all_pairs(vectors, labels, keep=whole.non_mated_trials // 10 + 1)
    assert not tail.complete
    for fmr in (1e-1, 1e-2, 1e-3):
        assert threshold_at_fmr(tail, fmr) == threshold_at_fmr(whole, fmr)
    edges = np.arange(-32768, 32769, 97) / 32768
    assert np.array_equal(tail.false_matches(edges), whole.false_matches(edges))
    anywhere = np.random.default_rng(2).uniform(-1.1, 1.1, 500)
    assert (
        tail.false_matches(anywhere) >= whole.false_matches(anywhere)
    ).all()  # a rate is never understated
    above = anywhere[anywhere > tail.tail[0]]
    assert np.array_equal(tail.false_matches(above), whole.false_matches(above))
    # Below the kept scores, the threshold is at most one bin above the smallest threshold with that FMR.
    low, exact = threshold_at_fmr(tail, 0.4), threshold_at_fmr(whole, 0.4)
    assert exact <= low <= exact + 2**-15
    assert equal_error_rate(tail).rate == pytest.approx(equal_error_rate(whole).rate, abs=2e-3)


def test_rank_beyond_the_tail_gives_a_lower_bound() -> None:
    vectors, labels = unit_vectors(80), list(range(80))
    whole, tail = all_pairs(vectors, labels), all_pairs(vectors, labels, keep=10)
    for rank in (1, 10, 11, 500, whole.non_mated_trials):
        exact = whole.score_at_rank(rank)
        assert exact - 2**-15 <= tail.score_at_rank(rank) <= exact
    with pytest.raises(InputError, match="rank"):
        tail.score_at_rank(0)


def test_a_threshold_between_two_floats_rejects_the_lower() -> None:
    scores = from_scores(np.array([0.5], np.float32), np.array([0.5], np.float32))
    assert scores.false_matches(np.array([0.5, np.nextafter(0.5, 1.0)])).tolist() == [1, 0]
    assert scores.false_non_matches(np.array([0.5, np.nextafter(0.5, 1.0)])).tolist() == [0, 1]


def test_memory_of_eight_million_pairs() -> None:
    vectors, labels = unit_vectors(4000, 64), np.arange(4000) // 4
    tracemalloc.start()
    try:
        scores = all_pairs(vectors, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert scores.mated_trials == 6000
    assert peak < 160 * 2**20  # the full matrix alone takes 122 MiB of float64


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (np.zeros((3, 4), np.float32), [0, 1, 2], "norm 0"),
        (np.full((3, 4), np.nan, np.float32), [0, 1, 2], "NaN"),
        (np.ones(3, np.float32), [0, 1, 2], r"\(n, D\)"),
        (np.eye(3, dtype=np.uint8), [0, 1, 2], "uint8"),
        (np.eye(3, dtype=np.float32), [0, 1], "3 subject labels"),
        (np.eye(3, dtype=np.float32), [0.5, 1.0, 2.0], "str or int"),
        (np.eye(1, dtype=np.float32), [0], "at least two"),
        (np.empty((0, 4), np.float32), [], "at least two|labels"),
    ],
)
def test_bad_embeddings_are_refused(vectors: np.ndarray, labels: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        all_pairs(vectors, labels)
    assert caught.value.hint


def test_bad_rows_blocks_and_scores_are_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="block_rows"):
        all_pairs(vectors, [0, 1, 2], block_rows=0)
    with pytest.raises(InputError, match=r"0\.\.2"):
        listed_scores(vectors, np.array([0]), np.array([3]))
    with pytest.raises(InputError, match="outside"):
        from_scores(np.array([np.nan], np.float32), np.array([0.1], np.float32))
    with pytest.raises(InputError, match="at least one"):
        from_scores(np.empty(0, np.float32), np.empty(0, np.float32))


def tied_vectors(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors of four directions, which give few distinct scores, each many times."""
    directions = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8], [0.8, 0, 0.6]], np.float32)
    return directions[np.random.default_rng(0).integers(0, 4, count)], np.arange(count) // 2


@pytest.mark.parametrize("keep", [1, 50, 200, 1000, 2000])
def test_a_tail_cut_inside_a_tie_counts_right(keep: int) -> None:
    vectors, labels = tied_vectors(80)
    whole, tail = all_pairs(vectors, labels), all_pairs(vectors, labels, keep=keep)
    at = np.concatenate([np.unique(whole.tail).astype(np.float64), np.arange(-40, 41) / 32])
    counted, true = tail.false_matches(at), whole.false_matches(at)
    assert (counted >= true).all()
    exact = (at > tail.tail[0]) | (at * 32 == np.round(at * 32))
    assert np.array_equal(counted[exact], true[exact])


@pytest.mark.parametrize("kept_more", [-1, 0, 1, 2])
def test_threshold_at_the_end_of_what_was_kept(kept_more: int) -> None:
    vectors, labels = unit_vectors(60), list(range(60))
    whole = all_pairs(vectors, labels)
    allowed = int(0.1 * whole.non_mated_trials)
    tail = all_pairs(vectors, labels, keep=allowed + kept_more)
    exact, threshold = threshold_at_fmr(whole, 0.1), threshold_at_fmr(tail, 0.1)
    assert exact <= threshold <= exact + 2**-15
    if kept_more > 0:
        assert threshold == exact


def test_det_points_of_a_kept_tail_are_exact() -> None:
    vectors, labels = unit_vectors(150), np.arange(150) // 3
    whole = all_pairs(vectors, labels)
    curve = det_curve(all_pairs(vectors, labels, keep=700), points=200)
    assert (whole.false_matches(curve.thresholds) / whole.non_mated_trials).tolist() == curve.fmr.tolist()
    assert (whole.false_non_matches(curve.thresholds) / whole.mated_trials).tolist() == curve.fnmr.tolist()


def test_vectors_lie_on_the_grid() -> None:
    grid = on_grid(unit_vectors(20, 128)) * 2.0**26
    assert np.array_equal(grid, np.round(grid))
