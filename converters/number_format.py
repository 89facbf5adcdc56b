"""Formats of numbers for reports and terminal output: units, signs, and a suitable number of digits."""

from __future__ import annotations

from math import ceil, floor, log10
from textwrap import wrap

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"
NBSP = "\N{NO-BREAK SPACE}"
#: Longest line of text for a terminal, in characters.
TEXT_WIDTH = 120
_MOST_SUBJECTS = 1_000_000


def count(value: float, unit: str = "", plural: str = "") -> str:
    """Format a whole number with thousands separators and its unit, such as ``1,204 images``.

    Args:
        value: Rounded to a whole number.
        unit: Unit in the singular; empty omits it.
        plural: Unit in the plural (default: the singular with an "s").
    """
    text = f"{round(value):,}"
    if not unit:
        return text
    return f"{text} {unit if round(value) == 1 else plural or unit + 's'}"


def two_digits(value: float) -> int:
    """Round a positive number up to two significant digits, for an estimate such as a number of subjects."""
    step = int(10 ** max(floor(log10(max(value, 1.0))) - 1, 0))
    return ceil(value / step - 1e-9) * step


def subject_number(value: float) -> str:
    """Format a number of subjects to collect, such as ``1,250``; above one million ``more than a million``."""
    return "more than a million" if value > _MOST_SUBJECTS else f"{round(value):,}"


def wrapped(text: str, *, indent: str = "") -> list[str]:
    """Break a sentence into lines of at most 120 characters; further lines are indented by two spaces more.

    Args:
        text: One line.
        indent: Start of the first line.
    """
    return wrap(
        text,
        TEXT_WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def cosine(value: float) -> str:
    """Format a cosine with 4 decimals, or with 5 if 4 would show a value below 1 as 1.0000."""
    return f"{value:.5f}" if 0.99995 <= value < 0.999995 else f"{value:.4f}"


def percent(value: float) -> str:
    """Format a share in percent with 1 or 2 decimals; below 0.01 %, with one significant digit."""
    share = 100 * value
    if share and abs(share) < 0.01:
        return f"{share:.1g}{NBSP}%"
    return f"{share:.2f}{NBSP}%" if abs(share) < 10 else f"{share:.1f}{NBSP}%"


def fixed_percent(value: float) -> str:
    """Format a share in percent with 2 decimals for a column on a terminal, such as ``98.20 %``."""
    return f"{100 * value:.2f} %"


def percent_range(low: float, high: float, *, plus: bool = False) -> str:
    """Format two shares in percent for a column on a terminal, such as ``97.10 .. 98.90``.

    Args:
        low: Lower bound, a share.
        high: Upper bound, a share.
        plus: Write a plus sign before positive values.
    """
    form = "+.2f" if plus else ".2f"
    return f"{100 * low:{form}} .. {100 * high:{form}}"


def rate(value: float) -> str:
    """Format the error rate of an operating point as a power of ten, such as ``10⁻⁴`` or ``3·10⁻⁴``."""
    if value <= 0 or value >= 1:
        return f"{value:g}"
    exponent = floor(log10(value) + 1e-9)
    factor = value / 10.0**exponent
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return power if abs(factor - 1) < 1e-6 else f"{factor:.3g}·{power}"


def probability(value: float) -> str:
    """Format a probability with two significant digits; near 1, with two digits of its distance to 1, such as ``0.9991``."""
    away = 1.0 - value
    if value <= 0.99:
        return f"{value:.2g}"
    if away < 1e-9:
        return "above 0.999999999"
    return f"{value:.{1 - floor(log10(away))}f}"


def fmr(value: float) -> str:
    """Format a measured FMR with two significant digits and a power of ten, such as ``9.9·10⁻³``; below 1e-9, as 0."""
    if value >= 0.995:
        return "1"
    return scientific(value) if value >= 1e-9 else "0"


def odds(value: float) -> str:
    """Format a rate as odds, such as ``1 in 10,000``."""
    return f"1 in {round(1 / value):,}"


def measured_rate(value: float) -> str:
    """Format a measured error rate in percent if it is 0 or at least 1 %, otherwise as a power of ten."""
    return percent(value) if value >= 0.00995 or value == 0 else scientific(value)


def scientific(value: float) -> str:
    """Format a number with two significant digits and a power of ten, such as ``9.9·10⁻⁵``."""
    factor, exponent = f"{value:.1e}".split("e")
    return f"{factor}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def signed(value: float, digits: int = 4) -> str:
    """Format a number with its sign (a real minus sign); zero after rounding has no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def points(value: float) -> str:
    """Format a difference of two shares in percentage points, such as ``−4.98 points``."""
    return f"{signed(100 * value, 2)} points"


def file_size(size_bytes: int) -> str:
    """Format a file size in MB (10^6 bytes), or in kB below 0.1 MB."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def ratio(value: float) -> str:
    """Format a ratio, such as ``0.58×``."""
    return f"{value:.2f}×"


def decibels(value: float | None) -> str:
    """Format decibels, such as ``17.7 dB``; None means that the signals do not differ."""
    return "no difference" if value is None else f"{value:.1f} dB"
