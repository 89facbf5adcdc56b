"""Phrases for measured evidence."""

from __future__ import annotations

import pytest

from converters.evaluate.metrics import Interval, Unsupported
from converters.report.evidence_text import interval, rate_interval, sentence


def test_an_interval_is_described_with_its_confidence() -> None:
    bounds = Interval(0.0123, 0.0354, 0.95, 1000, "bootstrap")
    assert interval(bounds) == "95\N{NO-BREAK SPACE}% interval 1.23 to 3.54\N{NO-BREAK SPACE}%"
    assert (
        interval(Interval(-0.02, 0.001, 0.95, 1000, ""), as_points=True)
        == "95\N{NO-BREAK SPACE}% interval −2.00 to +0.10"
    )
    assert (
        rate_interval(Interval(6.7e-5, 1.4e-4, 0.95, 1000, ""))
        == "95\N{NO-BREAK SPACE}% interval 6.7·10⁻⁵ to 1.4·10⁻⁴"
    )
    assert rate_interval(None) == "no interval requested"
    gap = Unsupported("interval", 10, 3, "it needs 10 subjects, found 3")
    assert interval(gap) == "no interval: it needs 10 subjects, found 3"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (6e-15, 0.0457, "0.00 to 4.57 %"),
        (2e-7, 0.0106, "0.00 to 1.06 %"),
        (6e-15, 5e-4, "0 to 5.0·10⁻⁴"),
        (1e-6, 2e-6, "1.0·10⁻⁶ to 2.0·10⁻⁶"),
    ],
)
def test_a_low_end_near_zero_is_written_as_zero(low: float, high: float, shown: str) -> None:
    text = rate_interval(Interval(low, high, 0.95, 0, "exact"))
    assert text.replace("\N{NO-BREAK SPACE}", " ") == f"95 % interval {shown}"


def test_a_sentence_starts_with_a_capital_unless_it_starts_with_a_file_name() -> None:
    assert sentence("close to float") == "Close to float."
    assert sentence("door.cpu_int8.tflite is close") == "door.cpu_int8.tflite is close."
