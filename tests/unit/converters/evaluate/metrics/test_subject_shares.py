"""Means over subjects: their limits in cases with known results."""

import numpy as np
import pytest
from scipy.stats import binomtest

from converters.evaluate.metrics.subject_shares import degrees_of_freedom, subject_share


@pytest.mark.parametrize("misses", [2, 7, 20])
def test_one_attempt_each_nearly_gives_the_limits_of_clopper_and_pearson(misses: int) -> None:
    share = subject_share(np.arange(20), np.arange(20) < misses)
    expected = binomtest(misses, 20).proportion_ci(method="exact")
    assert share.limits() == pytest.approx((expected.low, expected.high), abs=0.01)


def test_few_misses_do_not_give_a_lower_limit_than_none() -> None:
    subjects = np.repeat(np.arange(30), 20)
    none, single = (subject_share(subjects, np.arange(600) < misses).limits() for misses in (0, 1))
    assert none == (0.0, pytest.approx(1 - 0.05 ** (1 / 30)))
    assert single[1] >= none[1]
    assert 0 < single[0] < 1 / 600


def test_copies_of_attempts_are_no_further_evidence() -> None:
    misses = np.arange(20) < 3
    once = subject_share(np.arange(20), misses)
    copies = subject_share(np.repeat(np.arange(20), 8), np.repeat(misses, 8))
    assert copies.limits()[0] < once.limits()[0]
    assert copies.limits()[1] > once.limits()[1]
    assert copies.mean == once.mean == copies.pooled


def test_a_subject_with_many_attempts_weighs_as_much_as_the_others() -> None:
    subjects = np.array([0] * 98 + [1, 5])
    share = subject_share(subjects, subjects == 0)
    assert (share.mean, share.pooled, share.subjects) == (pytest.approx(1 / 3), pytest.approx(0.98), 3)
    assert share.trials == pytest.approx(9 / (1 / 98 + 2))


def test_added_variance_widens_the_limits() -> None:
    share = subject_share(np.arange(50), np.arange(50) < 5)
    low, high = share.limits(added_variance=share.variance)
    assert low < share.limits()[0]
    assert high > share.limits()[1]
    none = subject_share(np.arange(50), np.zeros(50, bool))
    assert none.limits(added_variance=0.1) == none.limits()


def test_few_subjects_with_all_errors_leave_few_degrees_of_freedom() -> None:
    single = np.where(np.arange(40) == 0, 1.0, 0.0)
    even = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    assert degrees_of_freedom(single - single.mean()) == pytest.approx(2, rel=0.1)
    assert degrees_of_freedom(even) == 39
    assert degrees_of_freedom(np.zeros(40)) == 39
