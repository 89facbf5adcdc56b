"""Numbers as they are read, and text that stays text."""

from __future__ import annotations

import json

from converters.evaluate.metrics import Interval, Unsupported
from converters.report import words
from converters.report.html import Html, embedded_json, markup, table, tag


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
