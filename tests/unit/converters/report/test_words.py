"""Numbers as they are read, and text that stays text."""

from __future__ import annotations

import json

import pytest

from converters.evaluate.metrics import Interval, Unsupported
from converters.report import words
from converters.report.html import Html, embedded_json, markup, table, tag


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.rate(1e-4), "10⁻⁴"),
        (words.rate(3e-4), "3·10⁻⁴"),
        (words.rate(1e-3), "10⁻³"),
        (words.one_in(1e-4), "1 in 10,000"),
        (words.percent(0.0211), "2.11\N{NO-BREAK SPACE}%"),
        (words.percent(0.211), "21.1\N{NO-BREAK SPACE}%"),
        (words.percent(0.00002), "0.002\N{NO-BREAK SPACE}%"),
        (words.measured_rate(0.009999641), "1.00\N{NO-BREAK SPACE}%"),
        (words.measured_rate(0.000999212), "1.0·10⁻³"),
        (words.measured_rate(9.182e-6), "9.2·10⁻⁶"),
        (words.measured_rate(0.0), "0.00\N{NO-BREAK SPACE}%"),
        (words.points(-0.0498), "−4.98 points"),
        (words.signed(0.0707), "+0.0707"),
        (words.signed(-0.00001), "0.0000"),
        (words.cosine(0.8684), "0.8684"),
        (words.cosine(0.99996), "0.99996"),
        (words.cosine(1.0), "1.0000"),
        (words.megabytes(1_327_015), "1.33 MB"),
        (words.megabytes(1327), "1.3 kB"),
        (words.decibels(None), "no difference"),
        (words.count(1, "image"), "1 image"),
        (words.count(1549, "image"), "1,549 images"),
        (words.count(2, "false match", "false matches"), "2 false matches"),
    ],
)
def test_numbers_carry_their_unit_and_no_digit_too_many(shown: str, expected: str) -> None:
    assert shown == expected


def test_an_interval_says_its_confidence() -> None:
    bounds = Interval(0.0123, 0.0354, 0.95, 1000, "bootstrap")
    assert words.interval(bounds) == "95\N{NO-BREAK SPACE}% interval 1.23 to 3.54\N{NO-BREAK SPACE}%"
    assert (
        words.interval(Interval(-0.02, 0.001, 0.95, 1000, ""), as_points=True)
        == "95\N{NO-BREAK SPACE}% interval −2.00 to +0.10"
    )
    assert (
        words.rate_interval(Interval(6.7e-5, 1.4e-4, 0.95, 1000, ""))
        == "95\N{NO-BREAK SPACE}% interval 6.7·10⁻⁵ to 1.4·10⁻⁴"
    )
    assert words.rate_interval(None) == "no interval asked for"
    gap = Unsupported("interval", 10, 3, "it takes 10 subjects, found 3")
    assert words.interval(gap) == "no interval: it takes 10 subjects, found 3"


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>", tag("b", "x & y"), None, ["1", 2]) == "<p>&lt;b&gt;<b>x &amp; y</b>12</p>"
    assert tag("p", "x", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;">x</p>'
    assert tag("p", class_="a", aria_label=None) == '<p class="a"></p>'
    assert tag("img", src="data:") == '<img src="data:">'
    assert isinstance(markup("a"), Html)


def test_joined_markup_is_text_again() -> None:
    assert markup(tag("b", "x") + "<i>") == "&lt;b&gt;x&lt;/b&gt;&lt;i&gt;"


def test_a_short_row_reaches_to_the_end() -> None:
    found = table(["a", "b", "c"], [["1", "2", "3"], ["1", "rest"]])
    assert found.count("<td") == 3
    assert '<td colspan="2" class="whole">rest</td>' in found


def test_embedded_json_cannot_end_its_element() -> None:
    found = embedded_json({"a": "</script><!--&\u2028"}, identifier="x")
    assert found.count("</script>") == 1 and "<!--" not in found
    assert json.loads(found[found.index(">") + 1 : found.rindex("<")]) == {"a": "</script><!--&\u2028"}
