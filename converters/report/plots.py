"""Figures of the report, each a pure function from evidence to SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from converters.analyze.layer_errors import LayerErrors
from converters.evaluate.metrics.cross_camera import CrossCameraEvidence
from converters.evaluate.metrics.difference_evidence import PairedDifference, SmoothedDifference
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.identification_evidence import RankShare
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from converters.evaluate.runner.identification import IdentificationEvidence
from converters.number_format import rate, signed
from converters.report.svg import BAD, BASE, CANDIDATE, GRID, INK, MUTED, THIRD, drawing
from edge_sdk.types import Float64Array

#: (label, evidence) of each artefact.
Series = Sequence[tuple[str, VerificationEvidence]]

_COLOURS = (BASE, CANDIDATE, THIRD, INK)
_LEAST_DISTANCE = 1e-6  # a logarithmic axis has no zero


def layers(errors: LayerErrors) -> Markup:
    """Draw the accumulated error along the network, and the rounding error of each tensor alone."""
    with drawing("layers", width=960, height=350) as drawn:
        axes = drawn.figure.subplots()
        ceiling = 60.0
        accumulated = [(t.position, ceiling if t.sqnr_db is None else t.sqnr_db) for t in errors.tensors]
        rounding = [(t.position, t.rounding_db) for t in errors.tensors if t.rounding_db is not None]
        axes.plot(*zip(*accumulated, strict=True), color=CANDIDATE, zorder=3)
        if rounding:
            axes.plot(*zip(*rounding, strict=True), "o", color=BASE, markersize=3.6, zorder=2)
        axes.set_xlabel("operator, in execution order")
        axes.set_ylabel("signal to quantization noise, dB")
        last = errors.tensors[-1].position
        axes.set_xlim(-1, last * 1.16 + 1)
        axes.set_ylim(bottom=0)
        axes.xaxis.grid(False)
        end = accumulated[-1]
        _label(axes, "accumulated", end, (10, 0), CANDIDATE)
        if rounding:
            place, value = rounding[-1]
            height = end[1] + 7 if abs(value - end[1]) < 7 else value
            _label(axes, "rounding of\nthis tensor", (place, height), (10, 0), BASE)
        worst = [(rank, t) for rank, t in enumerate(errors.worst(5), start=1) if t.rounding_db is not None]
        for rank, tensor in worst:
            point = (tensor.position, tensor.rounding_db)
            axes.plot(*point, "o", markersize=11, markerfacecolor="none", markeredgecolor=BAD, zorder=4)
            crowded = any(0 < tensor.position - other.position < 3 for _, other in worst)
            side = {"ha": "left" if crowded else "right"}
            _label(axes, str(rank), point, (9, 0) if crowded else (-9, 0), BAD, **side)
        steepest = errors.steepest()
        if steepest is not None and steepest[1].sqnr_db is not None:
            axes.annotate(
                f"operator {steepest[1].position}",
                (steepest[1].position, steepest[1].sqnr_db),
                (-4, -6),
                textcoords="offset points",
                ha="right",
                va="top",
                color=CANDIDATE,
            )
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= last])
    return drawn.svg


def _label(
    axes: Any, text: str, point: tuple[Any, Any], offset: tuple[float, float], colour: str, **options: Any
) -> None:
    """Write bold text at an offset in points from a point."""
    style = {"textcoords": "offset points", "va": "center", "weight": "bold", **options}
    axes.annotate(text, point, offset, color=colour, **style)


def histograms(series: Series, *, name: str, fmr: float | None) -> Markup:
    """Draw the scores of non-mated and mated comparisons on a logarithmic scale, the first series filled.

    Args:
        series: At least one.
        name: Prefix of the ids.
        fmr: Target FMR whose thresholds are drawn; None draws none.
    """
    with drawing(name, height=400) as drawn:
        panels = drawn.figure.subplots(2, sharex=True)
        reach = [1.0, -1.0]
        for axes, kind in zip(panels, ("non-mated", "mated"), strict=True):
            totals = []
            for place, (_, evidence) in enumerate(series):
                counts = evidence.mated_counts if kind == "mated" else evidence.non_mated_counts
                if not sum(counts):
                    continue
                totals.append(sum(counts))
                edges, shares = _merged(evidence.histogram_edges, counts)
                used = np.flatnonzero(shares)
                reach = [min(reach[0], edges[used[0]]), max(reach[1], edges[used[-1] + 1])]
                colour = _COLOURS[place % len(_COLOURS)]
                # A logarithmic axis has no zero: empty bins end far below the visible range.
                shares = np.maximum(shares, 1e-12)
                axes.stairs(shares, edges, baseline=1e-12, color=colour, linewidth=1.5)
                if place == 0:
                    axes.stairs(shares, edges, baseline=1e-12, color=colour, fill=True, alpha=0.25)
                point = _point(evidence, fmr)
                if point is not None:
                    axes.axvline(point.threshold, color=colour, linewidth=1.2, ls=":")
            axes.set_yscale("log")
            axes.set_ylim(0.4 / max(totals, default=1), 3)
            decades = range(0, -1 - int(np.log10(max(totals, default=1))), -2)
            axes.set_yticks([10.0**d for d in decades])
            axes.set_yticklabels([rate(10.0**d) if d else "1" for d in decades])
            axes.minorticks_off()
            axes.set_title(kind, loc="left", color=MUTED, size=10.5, pad=3)
            axes.xaxis.grid(False)
        panels[0].set_xlim(max(-1, reach[0] - 0.03), min(1, reach[1] + 0.03))
        panels[1].set_xlabel("score (cosine of two embeddings)")
        drawn.figure.supylabel("share of comparisons per bin", color=MUTED, size=10.5)
    return drawn.svg


def _merged(edges: Sequence[float], counts: Sequence[int]) -> tuple[Float64Array, Float64Array]:
    """Return edges and shares of histogram bins, merged to a width that suits the number of comparisons."""
    total = sum(counts)
    width = 1 if total >= 20_000 or len(counts) % 4 else 2 if total >= 500 else 4
    merged = np.asarray(counts, np.float64).reshape(-1, width).sum(axis=1)
    return np.asarray(edges, np.float64)[::width], merged / total


def forest(
    rows: Sequence[tuple[str, SmoothedDifference | Unsupported, PairedDifference | Unsupported | None]],
    *,
    margin: float,
    name: str,
) -> Markup:
    """Draw smoothed differences of TAR with their intervals and values, and the counted ones below them.

    Args:
        rows: (label, smoothed difference, counted difference or None) of each row; a row that the data do not support has
            a note instead.
        margin: Largest acceptable loss, a share; a dashed line shows it.
        name: Prefix of the ids.
    """
    with drawing(name, height=70 + 42 * len(rows)) as drawn:
        axes = drawn.figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(-100 * margin, color=MUTED, linewidth=1, ls="--")
        for place, (_, smoothed, counted) in enumerate(rows):
            if isinstance(smoothed, Unsupported) and not isinstance(counted, PairedDifference):
                axes.annotate(
                    "not enough data",
                    (0.02, place),
                    xycoords=("axes fraction", "data"),
                    color=MUTED,
                    style="italic",
                    va="center",
                    size=9.5,
                )
            if isinstance(counted, PairedDifference):
                _difference(axes, counted.difference, counted.interval, place + 0.22, BASE, 1.4)
            if isinstance(smoothed, SmoothedDifference):
                _difference(axes, smoothed.difference, smoothed.interval, place, CANDIDATE, 2.6)
                axes.annotate(
                    signed(100 * smoothed.difference, 2),
                    (1.02, place),
                    xycoords=("axes fraction", "data"),
                    annotation_clip=False,
                    color=CANDIDATE,
                    va="center",
                    size=9.5,
                )
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -300 * margin), max(high, 200 * margin))
        axes.set_xlabel("change of TAR, percentage points (left is a loss)")
        axes.yaxis.grid(False)
    return drawn.svg


def _difference(
    axes: Any, middle: float, bounds: Interval | Unsupported, height: float, colour: str, width: float
) -> None:
    if isinstance(bounds, Interval):
        ends = [100 * bounds.low, 100 * bounds.high]
        axes.plot(ends, [height, height], color=colour, linewidth=width, solid_capstyle="butt")
    axes.plot(100 * middle, height, "s", color=colour, markersize=2.5 * width)


def cumulative_match(series: Sequence[tuple[str, IdentificationEvidence]], *, name: str) -> Markup:
    """Draw the share of mated probes whose subject is among the first k candidates, with its intervals."""
    with drawing(name, height=300) as drawn:
        axes = drawn.figure.subplots()
        for place, (label, evidence) in enumerate(series):
            if isinstance(evidence.ranks, Unsupported) or not evidence.ranks:
                continue
            ranks = [row.rank for row in evidence.ranks]
            low, high = ([100 * end for end in ends] for ends in _ends(evidence.ranks))
            colour = _COLOURS[place % len(_COLOURS)]
            axes.fill_between(ranks, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.vlines(ranks, low, high, color=colour, alpha=0.4, linewidth=1)
            axes.plot(ranks, [100 * row.share for row in evidence.ranks], "o-", color=colour, markersize=4)
            axes.set_xticks(ranks)
            end, offset = (ranks[-1], 100 * evidence.ranks[-1].share), (0, 8 if place % 2 == 0 else -14)
            _label(axes, label, end, offset, colour, ha="right", va="baseline")
        axes.set_xlabel("rank k")
        axes.set_ylabel("subject among the first k, %")
        axes.margins(y=0.25)
    return drawn.svg


def cross_camera_match(series: Sequence[tuple[str, CrossCameraEvidence]], *, name: str) -> Markup:
    """Draw the share of probes with an image of their subject, from another camera, among the first k images."""
    with drawing(name, height=300) as drawn:
        axes = drawn.figure.subplots()
        for place, (label, evidence) in enumerate(series):
            shares = [100 * share for share in evidence.cumulative_match]
            colour, dash = _COLOURS[place % len(_COLOURS)], "-" if place == 0 else "--"
            axes.plot(range(1, len(shares) + 1), shares, colour, ls=dash, label=label)
            axes.plot(1, shares[0], "o", color=colour, markersize=4)
            axes.set_xticks([1, *range(5, len(shares) + 1, 5)])
        axes.set_xlabel("rank k")
        axes.set_ylabel("probes with a match among the first k, %")
        axes.legend(loc="lower right", frameon=False, labelcolor="linecolor")
        axes.margins(y=0.15)
    return drawn.svg


def _ends(ranks: Sequence[RankShare]) -> tuple[list[float], list[float]]:
    return [row.interval.low for row in ranks], [row.interval.high for row in ranks]


def search(name: str, result: Mapping[str, Any]) -> Markup:
    """Draw 1 - cosine to float for each step of a recipe search: mean and maximum over the images.

    Args:
        name: Name of the recipe.
        result: JSON values of the search.
    """
    trials, budget = result["trials"], result["budget"]
    places = range(len(trials))
    mean = [max(1 - trial["cosine_mean"], _LEAST_DISTANCE) for trial in trials]
    most = [max(1 - trial["cosine_min"], _LEAST_DISTANCE) for trial in trials]
    with drawing(f"search-{name}", width=960, height=300) as drawn:
        axes = drawn.figure.subplots()
        axes.vlines(places, mean, most, color=GRID, linewidth=3, zorder=1)
        for kept, colour in ((True, CANDIDATE), (False, MUTED)):
            chosen = [place for place in places if trials[place]["kept"] is kept]
            axes.plot(chosen, [mean[place] for place in chosen], "o", color=colour, markersize=6, zorder=3)
        if budget["kind"] == "cosine" and budget["least"] < 1:
            axes.axhline(1 - budget["least"], color=BASE, linestyle="--", zorder=2)
        _distance_axes(axes)
        axes.set_xticks(places, [str(place + 1) for place in places])
        axes.set_xlabel("step, in the order of the table")
    return drawn.svg


def distillation(name: str, result: Mapping[str, Any]) -> Markup:
    """Draw 1 - cosine between the network in training and the float network at each training step.

    Args:
        name: Name of the recipe.
        result: JSON values of the training.
    """
    steps = [point["step"] for point in result["curve"]]
    distance = [max(1 - point["cosine"], _LEAST_DISTANCE) for point in result["curve"]]
    with drawing(f"recovery-{name}", width=960, height=260) as drawn:
        axes = drawn.figure.subplots()
        axes.plot(steps, distance, "-o", color=CANDIDATE, markersize=4)
        axes.axhline(max(1 - result["before"], _LEAST_DISTANCE), color=BASE, linestyle="--")
        _distance_axes(axes)
        axes.set_xlabel("training steps")
    return drawn.svg


def _distance_axes(axes: Any) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_ylabel("1 − cosine to float")
    axes.xaxis.grid(False)


def _point(evidence: VerificationEvidence, fmr: float | None) -> OperatingPointEvidence | None:
    for point in evidence.points:
        if isinstance(point, OperatingPointEvidence) and point.target_fmr == fmr:
            return point
    return None
