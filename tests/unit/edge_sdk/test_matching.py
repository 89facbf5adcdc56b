"""Cosine scores and ranks are correct, and unsuitable embeddings are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import matching
from edge_sdk.errors import InputError


def unit(seed: int, count: int, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_scores_are_cosines_and_higher_is_more_alike() -> None:
    probe = np.array([0.6, 0.8], np.float32)
    references = np.array([[0.6, 0.8], [1, 0], [-0.6, -0.8], [0.8, -0.6]], np.float32)
    scores = matching.scores(probe, references)
    assert scores == pytest.approx([1.0, 0.6, -1.0, 0.0], abs=1e-7)
    assert scores.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 50))
def test_scores_never_leave_minus_one_to_one(seed: int, count: int) -> None:
    references = unit(seed, count)
    scores = matching.scores(unit(seed, 1)[0], references)
    assert scores.shape == (count,)
    assert (np.abs(scores) <= 1).all()


def test_the_best_references_come_first() -> None:
    references = unit(1, 30)
    indices, scores = matching.rank(references[7], references, count=5)
    assert indices[0] == 7
    assert scores[0] == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(scores) <= 0).all()
    assert scores == pytest.approx(np.sort(references @ references[7])[::-1][:5])


def test_references_that_tie_keep_their_order() -> None:
    references = np.tile(np.array([[0, 1], [1, 0]], np.float32), (100, 1))
    indices, scores = matching.rank(np.array([1, 0], np.float32), references, count=101)
    assert indices.tolist() == [*range(1, 200, 2), 0]
    assert scores.tolist() == [1] * 100 + [0]


@pytest.mark.parametrize(("references", "count", "returned"), [(0, 1, 0), (3, 10, 3), (3, 1, 1)])
def test_no_more_are_returned_than_there_are(references: int, count: int, returned: int) -> None:
    indices, scores = matching.rank(unit(2, 1)[0], unit(3, references), count=count)
    assert indices.shape == scores.shape == (returned,)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(count: int) -> None:
    with pytest.raises(InputError, match="1 or more"):
        matching.rank(unit(1, 1)[0], unit(2, 2), count=count)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["probe", "references"])
def test_what_is_not_finite_is_refused(bad: float, side: str) -> None:
    probe, references = unit(1, 1)[0], unit(2, 3)
    (probe if side == "probe" else references).flat[3] = bad
    with pytest.raises(InputError, match="finite"):
        matching.scores(probe, references)


@pytest.mark.parametrize(
    ("probe", "references"), [((8,), (3, 9)), ((1, 8), (3, 8)), ((8,), (8,)), ((8,), (0,)), ((), (3, 8))]
)
def test_shapes_that_do_not_fit_are_refused_and_both_are_said(
    probe: tuple[int, ...], references: tuple[int, ...]
) -> None:
    with pytest.raises(InputError) as refused:
        matching.scores(np.zeros(probe, np.float32), np.zeros(references, np.float32))
    assert str(probe) in str(refused.value)
    assert str(references) in str(refused.value)


def test_cosine_compares_rows_of_any_length() -> None:
    a = unit(1, 5)
    b = unit(2, 5)
    lengths = np.array([[1], [2], [1e-3], [1e3], [7]], np.float32)
    assert matching.cosine(a * lengths, b * 3) == pytest.approx((a * b).sum(axis=1), abs=1e-6)
    assert matching.cosine(a, a) == pytest.approx(np.ones(5), abs=1e-6)


@pytest.mark.parametrize("row", [0.0, np.nan, np.inf])
def test_a_row_without_direction_is_refused(row: float) -> None:
    a = unit(1, 3)
    a[1] = row
    with pytest.raises(InputError, match="direction"):
        matching.cosine(a, unit(2, 3))


def test_rows_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 8\) and \(4, 8\)"):
        matching.cosine(unit(1, 3), unit(2, 4))
    with pytest.raises(InputError, match="same shape"):
        matching.cosine(unit(1, 1)[0], unit(2, 1)[0])
