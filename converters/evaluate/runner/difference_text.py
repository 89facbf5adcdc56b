"""Format differences between two artefacts, and verdicts on them, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.difference_evidence import (
    MarginVerdict,
    PairedDifference,
    SmoothedDifference,
)
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.runner.text import interval, table_lines
from converters.number_format import fixed_percent, subject_number, two_digits


def pooled_lines(pooled: SmoothedDifference | Unsupported, verdict: MarginVerdict | None) -> tuple[str, ...]:
    """Format the smoothed difference over a range of FMR, and the verdict on it."""
    if isinstance(pooled, Unsupported):
        return (f"difference of TAR not stated: {pooled.reason}",)
    verdict_line = () if verdict is None else (f"verdict: {verdict_text(pooled, verdict)}",)
    return (
        f"difference of TAR, smoothed, {fmr_range(pooled)}: {100 * pooled.difference:+.2f} points,"
        f" {100 * pooled.interval.confidence:g} % interval {interval(pooled.interval, signed=True)},"
        f" {pooled.subjects} subjects",
        *verdict_line,
    )


def fmr_range(pooled: SmoothedDifference) -> str:
    """Format the range of FMR of a smoothed difference, such as ``FMR 0.0001..0.01``."""
    low, high = f"{pooled.lowest_fmr:.2g}", f"{pooled.highest_fmr:.2g}"
    return f"FMR {low}" if low == high else f"FMR {low}..{high}"


def verdict_text(pooled: SmoothedDifference, verdict: MarginVerdict) -> str:
    """Format a verdict against a margin, such as ``no worse than 0.3 points``."""
    margin = f"{100 * verdict.margin:g} point{'' if 100 * verdict.margin == 1 else 's'}"
    if verdict.verdict == "no worse":
        unseen = verdict.unseen_in_words()
        return f"no worse than {margin}: the loss of TAR is less than {margin}{unseen and f', {unseen}'}"
    if verdict.verdict == "worse":
        return f"worse: the loss of TAR is more than {margin}"
    loss = ", although there is a loss" if pooled.interval.high < 0 else ""
    if verdict.more_subjects is None:
        return (
            f"cannot tell if the loss is less than {margin}{loss}: the difference is too close to the margin"
        )
    number = two_digits(verdict.more_subjects)
    more = f"{subject_number(number) if number > 1_000_000 else f'about {number:,}'} more subjects would"
    return f"cannot tell if the loss is less than {margin}{loss}: {more}"


def difference_lines(
    rows: Sequence[PairedDifference | Unsupported], smoothed: Sequence[SmoothedDifference | Unsupported] = ()
) -> list[str]:
    """Format differences, one line per FMR: both TARs, the counted difference and, beside it, the smoothed one.

    Args:
        rows: Counted differences, one per FMR.
        smoothed: Smoothed differences of the same FMRs (default: none).
    """
    beside = {row.lowest_fmr: row for row in smoothed if isinstance(row, SmoothedDifference)}

    def line(row: PairedDifference) -> str:
        other = beside.get(row.target_fmr)
        text = (
            "-"
            if other is None
            else f"{100 * other.difference:+.2f} ({interval(other.interval, signed=True)})"
        )
        counted = f"{100 * row.difference:+.2f} ({interval(row.interval, signed=True)})"
        return (
            f"{row.target_fmr:>8g}  {fixed_percent(row.baseline_tar):>9}  {fixed_percent(row.candidate_tar):>9}"
            f"  {counted:<26}  {text}"
        )

    heading = (
        f"{'FMR':>8}  {'float':>9}  {'this':>9}  {'counted (95 % interval of the difference)':<26}  smoothed"
    )
    return table_lines(heading, rows, line)
