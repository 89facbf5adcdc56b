"""The two-way variance of FPIR equals a sum over all pairs of comparisons, and finds copies and lookalikes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluate.metrics.search_variance import search_variance


def brute_force(
    strangers: np.ndarray, candidates: np.ndarray, matched: np.ndarray, enrolled: int
) -> tuple[float, float, float]:
    """Sum products of residuals of (search, enrolled subject) by stranger, by enrolled subject and by both."""
    count, rate = matched.size, matched.mean()
    residuals = np.full((count, enrolled), -rate / enrolled)
    residuals[np.flatnonzero(matched), candidates[matched]] += 1
    names = range(strangers.max() + 1)
    cells = np.array([residuals[strangers == name].sum(axis=0) for name in names])
    shares = np.array([(strangers == name).mean() for name in names])
    first = ((cells.sum(axis=1) / (1 - shares)) ** 2).sum()
    second = (cells.sum(axis=0) ** 2).sum() * enrolled / (enrolled - 1)
    return first / count**2, second / count**2, (cells**2).sum() / count**2


@given(seed=st.integers(0, 10**6), people=st.integers(2, 9), enrolled=st.integers(2, 7))
def test_sums_equal_the_brute_force_variance(seed: int, people: int, enrolled: int) -> None:
    rng = np.random.default_rng(seed)
    strangers = np.concatenate([np.arange(people), rng.integers(people, size=30)])
    candidates = rng.integers(enrolled, size=strangers.size)
    matched = rng.random(strangers.size) < rng.random()
    result = search_variance(strangers, candidates, matched, enrolled=enrolled)
    first, second, both = brute_force(strangers, candidates, matched, enrolled)
    assert result.variance == pytest.approx(max(first + second - both, first, second), rel=1e-9, abs=1e-15)
    assert result.degrees >= 1
    assert 1 <= result.effective_searches() <= strangers.size


def test_independent_searches_count_fully_and_copies_count_once() -> None:
    rng = np.random.default_rng(2)
    strangers, candidates = np.arange(4000), rng.integers(50, size=4000)
    matched = rng.random(4000) < 0.05
    alone = search_variance(strangers, candidates, matched, enrolled=50).effective_searches()
    assert 2500 < alone <= 4000
    copies = search_variance(
        np.repeat(strangers, 5), np.repeat(candidates, 5), np.repeat(matched, 5), enrolled=50
    )
    assert copies.effective_searches() == pytest.approx(alone, rel=0.02)


def test_one_enrolled_subject_with_all_false_matches_makes_the_rate_uncertain() -> None:
    rng = np.random.default_rng(3)
    matched = rng.random(2000) < 0.05
    strangers, candidates = np.arange(2000), rng.integers(20, size=2000)
    spread = search_variance(strangers, candidates, matched, enrolled=20)
    single = search_variance(strangers, np.zeros(2000, np.int64), matched, enrolled=20)
    assert single.effective_searches() < spread.effective_searches() / 20


@pytest.mark.parametrize("matches", [False, True])
def test_without_variance_the_strangers_count(matches: bool) -> None:
    strangers = np.repeat(np.arange(10), 3)
    result = search_variance(strangers, np.zeros(30, np.int64), np.full(30, matches), enrolled=2)
    assert result.effective_searches() == pytest.approx(10)
