"""Limits of a gallery are stated in people and presses."""

from __future__ import annotations

import pytest

from edge_sdk.errors import InputError
from edge_sdk.gallery import AttemptPolicy
from edge_sdk.gallery.rules.in_words import attempts_in_words, rejections_in_words, strangers_in_words


@pytest.mark.parametrize(
    ("fpir", "start"),
    [
        (0.01, "of 100 strangers who press the button once, at most about 1 gets in"),
        (0.03, "of 100 strangers who press the button once, at most about 3 get in"),
        (0.011, "of 100 strangers who press the button once, at most about 2 get in"),
        (0.001, "of 1,000 strangers who press the button once, at most about 1 gets in"),
        (0.0005, "of 10,000 strangers who press the button once, at most about 5 get in"),
        (0.999, "of 100 strangers who press the button once, at most about 100 get in"),
    ],
)
def test_strangers_are_counted_as_an_upper_limit(fpir: float, start: str) -> None:
    text = strangers_in_words(fpir)
    assert text.startswith(start)
    assert "95 % confidence" in text


def test_refusals_are_counted_per_number_of_people() -> None:
    text = rejections_in_words([(1, 0.052), (4, 0.066), (20, 0.113)])
    assert text.startswith(
        "of 100 pictures of enrolled people, about 5 are unlike a template of theirs with 1 person enrolled, 7 with 4, 11 with 20"
    )
    assert rejections_in_words([(4, 0.0031)]).startswith("of 1,000 pictures of enrolled people, about 3 are")


def test_points_without_upper_limits_are_not_called_limits() -> None:
    text = strangers_in_words(0.01, claimed=False)
    assert "about 1 gets in; the true number may be higher" in text
    assert "95 %" not in text
    assert "at most" not in text


@pytest.mark.parametrize("fpir", [0, 1, -0.1, float("nan"), True])
def test_a_rate_out_of_range_is_refused(fpir: float) -> None:
    with pytest.raises(InputError, match="expected FPIR"):
        strangers_in_words(fpir)


def test_failed_presses_are_stated_from_the_policy() -> None:
    limit = AttemptPolicy.with_pad()
    assert attempts_in_words(limit.free, limit.most, limit.wait_s) == (
        "after 10 failed presses in a row everybody waits 30 s between presses;"
        " after 100 an administrator must reset them (edge-sdk gallery reset-attempts)"
    )
    assert attempts_in_words(5, 5, 30) == attempts_in_words(3, 5, 0)
    assert attempts_in_words(5, 5, 30) == (
        "failed presses in a row: after 5 an administrator must reset them (edge-sdk gallery reset-attempts)"
    )
