"""Limits of rates and shares against tables, and against the definition of their coverage."""

import numpy as np
import pytest

from converters.evaluate.metrics.limits import rate_limits, share_limits, upper_rate_limit
from edge_sdk.errors import InputError


@pytest.mark.parametrize(("errors", "limit"), [(0, 2.996), (1, 4.744), (2, 6.296), (3, 7.754), (10, 16.96)])
def test_one_sided_limits_are_garwoods(errors: int, limit: float) -> None:
    assert upper_rate_limit(errors, 1000) == pytest.approx(limit / 1000, rel=1e-3)


@pytest.mark.parametrize(
    ("errors", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.888)]
)
def test_two_sided_limits_are_garwoods(errors: int, low: float, high: float) -> None:
    assert rate_limits(errors, 1000) == pytest.approx((low / 1000, high / 1000), rel=1e-3, abs=1e-9)


def test_a_limit_is_at_most_one() -> None:
    assert upper_rate_limit(0, 1) == 1
    assert rate_limits(2, 2)[1] == 1


def test_independent_clusters_give_the_limits_of_clopper_and_pearson() -> None:
    """3 of 50 errors: 1.25 % to 16.55 % in the tables."""
    share = 3 / 50
    low, high = share_limits(share, share * (1 - share) / 50, trials=50, clusters=50)
    assert (low, high) == pytest.approx((0.0125, 0.1655), abs=2e-4)


def test_no_error_and_one_tiny_error_give_the_rule_of_three() -> None:
    assert share_limits(0.0, 0.0, trials=9000, clusters=60) == (0.0, pytest.approx(3 / 60, rel=0.03))
    tiny = 1e-6
    low, high = share_limits(tiny, tiny**2, trials=9000, clusters=60)
    assert 0 <= low < tiny
    assert high == pytest.approx(3 / 60, rel=0.03)


def test_more_variance_gives_wider_limits_and_all_errors_reach_one() -> None:
    narrow, wide = (share_limits(0.2, v, trials=500, clusters=40) for v in (1e-3, 4e-3))
    assert wide[0] < narrow[0] < 0.2 < narrow[1] < wide[1]
    assert share_limits(1.0, 0.0, trials=500, clusters=40)[1] == 1.0


def test_limits_cover_a_clustered_share() -> None:
    """Draw subjects with unequal error rates; 95 % limits contain the mean rate in 92 % of the draws or more."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(300):
        own = rng.beta(0.5, 4.5, size=60)
        shares = rng.binomial(6, own) / 6
        low, high = share_limits(shares.mean(), shares.var(ddof=1) / 60, trials=360, clusters=60)
        inside += low <= 0.1 <= high
    assert inside >= 0.92 * 300


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_outside_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        rate_limits(1, 10, confidence=confidence)
