"""Numbers as a person reads them: with a unit, with what they stand on, and no more digits than hold."""

from __future__ import annotations

from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.number_format import NBSP, odds, percent, rate, scientific, signed
from converters.report.html import Content, Html, tag


def asked_rate(value: float) -> Html:
    """An error rate that was asked for with its odds, to name a row of a table."""
    if not 0 < value < 1:
        return Html("")
    return tag("span", rate(value), tag("small", odds(value)), class_="asked")


def claimed_rate(gap: Unsupported) -> float:
    """The rate of a claim that failed: it takes three errors' worth of comparisons (rule of three)."""
    return 3.0 / gap.needed if gap.needed > 3 else 0.0


def interval(bounds: Interval | Unsupported | None, *, as_points: bool = False) -> str:
    """The interval of a share or of a difference of shares, in words."""
    if bounds is None:
        return "no interval asked for"
    if isinstance(bounds, Unsupported):
        return f"no interval: {bounds.reason}"
    share = f"{100 * bounds.confidence:g}{NBSP}% interval"
    if as_points:
        return f"{share} {signed(100 * bounds.low, 2)} to {signed(100 * bounds.high, 2)}"
    return f"{share} {percent(bounds.low).removesuffix(NBSP + '%')} to {percent(bounds.high)}"


def rate_interval(bounds: Interval | Unsupported | None) -> str:
    """The interval of a small error rate, in words."""
    if not isinstance(bounds, Interval) or bounds.high >= 0.00995 or bounds.low <= 0:
        return interval(bounds)
    return (
        f"{100 * bounds.confidence:g}{NBSP}% interval {scientific(bounds.low)} to {scientific(bounds.high)}"
    )


def unsupported(gap: Unsupported) -> Html:
    """What the data cannot say, and what it would take."""
    reason: Content = f" {gap.reason[:1].upper()}{gap.reason[1:]}."
    if gap.claim.startswith("threshold at FMR") and gap.needed > gap.found:
        reason = f" It takes {gap.needed:,} non-mated comparisons (rule of three); there are {gap.found:,}."
    return tag("span", tag("strong", "The data cannot support it."), reason, class_="unsupported")
