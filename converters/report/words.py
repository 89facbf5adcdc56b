"""Numbers as a person reads them: with a unit, with what they stand on, and no more digits than hold."""

from __future__ import annotations

from math import floor, log10

from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.report.html import Content, Html, tag

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"
NBSP = "\N{NO-BREAK SPACE}"


def count(value: float, one: str = "", many: str = "") -> str:
    """A whole number with its unit, such as ``1,204 images``."""
    text = f"{round(value):,}"
    return f"{text} {one if round(value) == 1 else many or one + 's'}" if one else text


def cosine(value: float) -> str:
    """Four digits, and five where four would say 1 of what is not."""
    return f"{value:.5f}" if 0.99995 <= value < 0.999995 else f"{value:.4f}"


def rate(value: float) -> str:
    """An error rate that was asked for, such as ``10⁻⁴`` or ``3·10⁻⁴``."""
    if value <= 0 or value >= 1:
        return f"{value:g}"
    exponent = floor(log10(value) + 1e-9)
    factor = value / 10.0**exponent
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return power if abs(factor - 1) < 1e-6 else f"{factor:.3g}·{power}"


def measured_rate(value: float) -> str:
    """An error rate that was measured: in per cent down to 1 %, as a power of ten below."""
    if value >= 0.00995 or value == 0:
        return percent(value)
    return power(value)


def power(value: float) -> str:
    """Two digits and a power of ten, such as ``9.9·10⁻⁵``."""
    factor, exponent = f"{value:.1e}".split("e")
    return f"{factor}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def one_in(value: float) -> str:
    """The same as odds, such as ``1 in 10,000``."""
    return f"1 in {round(1 / value):,}"


def asked_rate(value: float) -> Html:
    """An error rate that was asked for with its odds, to name a row of a table."""
    if not 0 < value < 1:
        return Html("")
    return tag("span", rate(value), tag("small", one_in(value)), class_="asked")


def claimed_rate(gap: Unsupported) -> float:
    """The rate of a claim that failed: it takes three errors' worth of comparisons (rule of three)."""
    return 3.0 / gap.needed if gap.needed > 3 else 0.0


def percent(value: float) -> str:
    """A share in per cent, with enough digits to tell small ones apart."""
    shown = 100 * value
    if shown and abs(shown) < 0.01:
        return f"{shown:.1g}{NBSP}%"
    return f"{shown:.2f}{NBSP}%" if abs(shown) < 10 else f"{shown:.1f}{NBSP}%"


def points(value: float) -> str:
    """A difference of two shares in percentage points, signed."""
    return f"{_signed(100 * value, 2)} points"


def signed(value: float, digits: int = 4) -> str:
    """A signed number with a real minus sign."""
    return _signed(value, digits)


def megabytes(size_bytes: int) -> str:
    """A file size; kB under a tenth of a megabyte."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def times(ratio: float) -> str:
    """A ratio such as ``0.58×``."""
    return f"{ratio:.2f}×"


def decibels(value: float | None) -> str:
    """Such as ``17.7 dB``; None is no difference."""
    return "no difference" if value is None else f"{value:.1f} dB"


def interval(bounds: Interval | Unsupported | None, *, as_points: bool = False) -> str:
    """The interval of a share or of a difference of shares, in words."""
    if bounds is None:
        return "no interval asked for"
    if isinstance(bounds, Unsupported):
        return f"no interval: {bounds.reason}"
    share = f"{100 * bounds.confidence:g}{NBSP}% interval"
    if as_points:
        return f"{share} {_signed(100 * bounds.low, 2)} to {_signed(100 * bounds.high, 2)}"
    return f"{share} {percent(bounds.low).removesuffix(NBSP + '%')} to {percent(bounds.high)}"


def rate_interval(bounds: Interval | Unsupported | None) -> str:
    """The interval of a small error rate, in words."""
    if not isinstance(bounds, Interval) or bounds.high >= 0.00995 or bounds.low <= 0:
        return interval(bounds)
    return f"{100 * bounds.confidence:g}{NBSP}% interval {power(bounds.low)} to {power(bounds.high)}"


def unsupported(gap: Unsupported) -> Html:
    """What the data cannot say, and what it would take."""
    reason: Content = f" {gap.reason[:1].upper()}{gap.reason[1:]}."
    if gap.claim.startswith("threshold at FMR") and gap.needed > gap.found:
        reason = f" It takes {gap.needed:,} non-mated comparisons (rule of three); there are {gap.found:,}."
    return tag("span", tag("strong", "The data cannot support it."), reason, class_="unsupported")


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"
