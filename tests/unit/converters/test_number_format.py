"""Formats of numbers."""

from __future__ import annotations

import pytest

from converters import number_format


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number_format.rate(1e-4), "10⁻⁴"),
        (number_format.rate(3e-4), "3·10⁻⁴"),
        (number_format.rate(1e-3), "10⁻³"),
        (number_format.odds(1e-4), "1 in 10,000"),
        (number_format.subject_number(1250), "1,250"),
        (number_format.subject_number(1_800_000_000), "more than a million"),
        (number_format.percent(0.0211), "2.11\N{NO-BREAK SPACE}%"),
        (number_format.percent(0.211), "21.1\N{NO-BREAK SPACE}%"),
        (number_format.percent(0.00002), "0.002\N{NO-BREAK SPACE}%"),
        (number_format.measured_rate(0.009999641), "1.00\N{NO-BREAK SPACE}%"),
        (number_format.measured_rate(0.000999212), "1.0·10⁻³"),
        (number_format.measured_rate(9.182e-6), "9.2·10⁻⁶"),
        (number_format.measured_rate(0.0), "0.00\N{NO-BREAK SPACE}%"),
        (number_format.fmr(2.34e-15), "0"),
        (number_format.fmr(0.0105), "1.1·10⁻²"),
        (number_format.fmr(1.0), "1"),
        (number_format.probability(0.9), "0.9"),
        (number_format.probability(0.0241), "0.024"),
        (number_format.probability(0.99891), "0.9989"),
        (number_format.probability(1.0), "above 0.999999999"),
        (number_format.points(-0.0498), "−4.98 points"),
        (number_format.signed(0.0707), "+0.0707"),
        (number_format.signed(-0.00001), "0.0000"),
        (number_format.cosine(0.8684), "0.8684"),
        (number_format.cosine(0.99996), "0.99996"),
        (number_format.cosine(1.0), "1.0000"),
        (number_format.file_size(1_327_015), "1.33 MB"),
        (number_format.file_size(1327), "1.3 kB"),
        (number_format.fixed_percent(0.982), "98.20 %"),
        (number_format.percent_range(0.971, 0.989), "97.10 .. 98.90"),
        (number_format.percent_range(-0.01, 0.005, plus=True), "-1.00 .. +0.50"),
        (number_format.decibels(None), "no difference"),
        (number_format.count(1, "image"), "1 image"),
        (number_format.count(1549, "image"), "1,549 images"),
        (number_format.count(2, "false match", "false matches"), "2 false matches"),
    ],
)
def test_numbers_have_a_unit_and_suitable_digits(shown: str, expected: str) -> None:
    assert shown == expected


def test_wrapped_lines_have_at_most_120_characters_and_an_indent() -> None:
    lines = number_format.wrapped("no claim: " + "word " * 60, indent="  ")
    assert len(lines) > 1 and max(map(len, lines)) <= 120
    assert lines[0].startswith("  no claim") and all(line.startswith("    word") for line in lines[1:])
