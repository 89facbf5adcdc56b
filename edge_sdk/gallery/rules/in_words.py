"""Limits of a gallery in a person's terms: how many strangers are accepted, and what follows failed attempts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_sdk.errors import InputError
from edge_sdk.gallery.rules.real_numbers import is_real, shown


def strangers_in_words(fpir: float, *, claimed: bool = True) -> str:
    """State how many strangers are accepted, by a false positive identification rate.

    Args:
        fpir: Rate of the decision policy, above 0 and below 1.
        claimed: True if the operating points are upper limits with 95 % confidence; False for points of cards of
            edge-sdk 0.2, whose true rates may be higher.

    Returns:
        A sentence without a full stop. The number is rounded up, so that it is an upper limit.

    Raises:
        InputError: The rate is out of range.
    """
    if not is_real(fpir) or not 0 < fpir < 1:
        raise InputError(f"expected FPIR above 0 and under 1, found {shown(fpir)}")
    people = 100
    while fpir * people < 1 - 1e-9 and people < 10**9:
        people *= 10
    accepted = math.ceil(fpir * people - 1e-9)
    number = "at most about" if claimed else "about"
    text = f"of {people:,} strangers who press the button once, {number} {accepted} {'gets' if accepted == 1 else 'get'} in"
    if claimed:
        return f"{text} (with 95 % confidence, for people like those of the evidence)"
    return f"{text}; the true number may be higher, because the evidence has no upper limits"


def attempts_in_words(free: int, most: int, wait_s: int) -> str:
    """State what follows failed attempts in a row; the arguments are those of `AttemptPolicy`."""
    reset = f"after {most} an administrator must reset them (edge-sdk gallery reset-attempts)"
    if free == most or wait_s == 0:
        return reset.replace("after", "failed presses in a row: after", 1)
    return f"after {free} failed presses in a row everybody waits {wait_s} s between presses; {reset}"


def rejections_in_words(rates: Sequence[tuple[int, float]]) -> str:
    """State how often the evidence expects an enrolled person to be refused, as more people are enrolled.

    Args:
        rates: Numbers of enrolled people in ascending order, and the FNMR at the threshold of each, 0..1.

    Returns:
        A sentence without a full stop. The rate is that of one picture against one template.
    """
    scale = 100 if all(rate >= 0.005 for _, rate in rates) else 1000
    first, *others = [(people, round(scale * rate)) for people, rate in rates]
    more = "".join(f", {number} with {people}" for people, number in others)
    return (
        f"of {scale:,} pictures of enrolled people, about {first[1]} are unlike a template of theirs with"
        f" {first[0]} {'person' if first[0] == 1 else 'people'} enrolled{more} (by the evidence: more people need a higher"
        " threshold); a press compares several pictures with all templates of a person, so fewer presses are refused"
    )
