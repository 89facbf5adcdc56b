"""Figures of error rates by group."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from converters.evaluate.metrics.evidence import Interval
from converters.evaluate.metrics.group_evidence import CovariateEvidence, GroupChange, GroupPoint, GroupRates
from converters.number_format import fmr, rate
from converters.report.svg import BAD, BASE, CANDIDATE, GRID, INK, MUTED, drawing

_MAX_NAME = 18
# Least FMR that is drawn.
_LEAST = 1e-12


def group_rates(covariate: CovariateEvidence, point: GroupPoint, *, name: str) -> Markup:
    """Draw FMR and FNMR of each group with their 95 % intervals; groups that differ from the others are marked.

    Args:
        covariate: The covariate.
        point: Its rates at one threshold.
        name: Prefix of the ids.
    """
    differing = {(test.group, test.rate) for test in point.tests if test.differs}
    with drawing(name, width=960, height=90 + 34 * len(point.within)) as drawn:
        left, right = drawn.figure.subplots(1, 2, sharey=True)
        _points(left, point.within, "FMR", differing)
        _points(right, point.within, "FNMR", differing)
        left.axvline(point.target_fmr, color=MUTED, linewidth=1, ls="--")
        left.set_xscale("log")
        ends = _fmr_range(point)
        ticks = log_ticks(*ends)
        left.set_xlim(*ends)
        left.set_xticks(ticks, [rate(tick) if tick < 1 else "1" for tick in ticks])
        left.minorticks_off()
        left.set_xlabel("FMR within the group")
        right.set_xlabel("FNMR, %")
        right.set_xlim(left=0)
        left.set_yticks(range(len(point.within)), [_short(group) for group in covariate.groups])
        left.set_ylim(len(point.within) - 0.4, -0.6)
    return drawn.svg


def fmr_matrix(covariate: CovariateEvidence, point: GroupPoint, *, name: str) -> Markup:
    """Draw the FMR within groups (diagonal) and across groups as a matrix of numbers, darker for a higher FMR.

    Args:
        covariate: The covariate.
        point: Its rates at one threshold.
        name: Prefix of the ids.
    """
    place = {group: number for number, group in enumerate(covariate.groups)}
    rows = [row for row in (*point.within, *point.across) if row.fmr is not None]
    highest = max((row.fmr or 0.0 for row in rows), default=0.0) or 1.0
    count = len(place)
    with drawing(name, width=max(460, 150 + 84 * count), height=110 + 46 * count) as drawn:
        from matplotlib.patches import Rectangle

        axes = drawn.figure.subplots()
        for row in rows:
            first, second = place[row.first], place[row.second]
            shade = 0.06 + 0.5 * (row.fmr or 0.0) / highest
            for x, y in {(first, second), (second, first)}:
                cell = Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=CANDIDATE, alpha=shade, linewidth=0)
                axes.add_patch(cell)
                weight = "bold" if first == second else "normal"
                text = fmr(row.fmr) if row.fmr else f"0 of {row.non_mated_trials:,}"
                axes.annotate(text, (x, y), ha="center", va="center", color=INK, weight=weight, size=9.5)
        names = [_short(group) for group in covariate.groups]
        axes.set_xticks(range(count), names, rotation=30 if count > 4 else 0)
        axes.set_yticks(range(count), names)
        axes.set_xlim(-0.55, count - 0.45)
        axes.set_ylim(count - 0.45, -0.55)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return drawn.svg


def group_changes(changes: Sequence[GroupChange], *, name: str) -> Markup:
    """Draw the change of each group's FNMR from the float file with its simultaneous interval.

    Args:
        changes: One per group.
        name: Prefix of the ids.
    """
    with drawing(name, height=90 + 34 * len(changes)) as drawn:
        axes = drawn.figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for place, change in enumerate(changes):
            colour = BAD if change.differs else CANDIDATE
            if change.fnmr_change is None:
                _note(axes, place)
                continue
            if change.fnmr_interval is not None:
                ends = [100 * change.fnmr_interval.low, 100 * change.fnmr_interval.high]
                axes.plot(ends, [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot(100 * change.fnmr_change, place, "s", color=colour, markersize=7)
        axes.set_yticks(range(len(changes)), [_short(change.group) for change in changes])
        axes.set_ylim(len(changes) - 0.4, -0.6)
        axes.set_xlabel("change of FNMR, percentage points (right is a loss)")
        axes.yaxis.grid(False)
    return drawn.svg


def _points(axes: Any, rows: Sequence[GroupRates], kind: str, differing: set[tuple[str, str]]) -> None:
    scale = 1.0 if kind == "FMR" else 100.0
    for place, row in enumerate(rows):
        value = row.fmr if kind == "FMR" else row.fnmr
        interval: Interval | None = row.fmr_interval if kind == "FMR" else row.fnmr_interval
        colour = BAD if (row.first, kind) in differing else BASE
        if interval is not None:
            # A logarithmic axis has no zero: an interval from 0 begins far to the left of the visible range.
            low = interval.low if kind == "FNMR" else max(interval.low, _LEAST)
            axes.plot([scale * low, scale * interval.high], [place, place], color=colour, linewidth=2.4)
        if value is None:
            _note(axes, place)
        elif value > 0 or kind == "FNMR":
            axes.plot(scale * value, place, "D" if colour == BAD else "o", color=colour, markersize=7)
    axes.yaxis.grid(False)
    axes.xaxis.grid(True, color=GRID)


def _fmr_range(point: GroupPoint) -> tuple[float, float]:
    """Return the ends of the axis: all rates, the upper limits, and lower limits down to a tenth of the least of them."""
    rates = [point.target_fmr, *(row.fmr for row in point.within if row.fmr)]
    bounds = [row.fmr_interval for row in point.within if row.fmr_interval is not None]
    least = min(rates)
    low = min([least, *(bound.low for bound in bounds if bound.low >= least / 10)])
    if any(bound.low < least / 10 for bound in bounds):
        low = least / 10
    high = min(1.3 * max([*rates, *(bound.high for bound in bounds)]), 1.0)
    return min(low / 1.3, high / 10), high


def log_ticks(low: float, high: float) -> list[float]:
    """Return 2 to 7 ticks for a logarithmic axis: decades if three or more are visible, otherwise also 2 and 5 times a decade."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    visible = [10.0**decade for decade in decades if low <= 10.0**decade <= high]
    if len(visible) >= 3:
        return visible[:: ceil(len(visible) / 6)]
    ticks = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _note(axes: Any, place: int) -> None:
    position = (0.02, place)
    style = {"color": MUTED, "style": "italic", "va": "center", "size": 9.5}
    axes.annotate("no comparison", position, xycoords=("axes fraction", "data"), **style)


def _short(group: str) -> str:
    return group if len(group) <= _MAX_NAME else f"{group[: _MAX_NAME - 1]}…"
