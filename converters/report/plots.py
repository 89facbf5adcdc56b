"""The report's figures, each a pure function from evidence to SVG."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from converters import number_format
from converters.analyze.layer_errors import LayerErrors
from converters.evaluate.metrics.evidence import (
    Interval,
    OperatingPointEvidence,
    PairedDifference,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.runner.evaluate import IdentificationEvidence, ProbabilityEvidence
from converters.report.html import Html
from converters.report.svg import BAD, BASE, CANDIDATE, INK, MUTED, THIRD, figure
from edge_sdk.types import Float64Array

#: How much TAR a candidate may lose and still be called as good, as a share.
MARGIN = 0.01

Series = Sequence[tuple[str, VerificationEvidence]]

_COLOURS = (BASE, CANDIDATE, THIRD, INK)
_DASHES = ("-", "-", "--", ":")
_PROBITS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.4)


def layers(errors: LayerErrors) -> Html:
    """The error along the network: what it has collected, and what each tensor's own steps would cost."""
    with figure("layers", width=960, height=350) as (found, drawn):
        axes = found.subplots()
        ceiling = 60.0
        collected = [(t.position, ceiling if t.sqnr_db is None else t.sqnr_db) for t in errors.tensors]
        rounding = [(t.position, t.rounding_db) for t in errors.tensors if t.rounding_db is not None]
        axes.plot(*zip(*collected, strict=True), color=CANDIDATE, zorder=3)
        if rounding:
            axes.plot(*zip(*rounding, strict=True), "o", color=BASE, markersize=3.6, zorder=2)
        axes.set_xlabel("operator, in execution order")
        axes.set_ylabel("signal to quantization noise, dB")
        last = errors.tensors[-1].position
        axes.set_xlim(-1, last * 1.16 + 1)
        axes.set_ylim(bottom=0)
        axes.xaxis.grid(False)
        end, best = collected[-1], rounding[-1] if rounding else None
        axes.annotate(
            "collected\non the way",
            end,
            (10, 0),
            textcoords="offset points",
            color=CANDIDATE,
            va="center",
            weight="bold",
        )
        if best is not None and best[1] is not None:
            low = end[1] + 7 if abs(best[1] - end[1]) < 7 else best[1]
            axes.annotate(
                "by rounding to\nits own steps",
                (best[0], low),
                (10, 0),
                textcoords="offset points",
                color=BASE,
                va="center",
                weight="bold",
            )
        worst = [(rank, t) for rank, t in enumerate(errors.worst(5), start=1) if t.rounding_db is not None]
        for rank, tensor in worst:
            place = (tensor.position, tensor.rounding_db)
            axes.plot(*place, "o", markersize=11, markerfacecolor="none", markeredgecolor=BAD, zorder=4)
            crowded = any(0 < tensor.position - other.position < 3 for _, other in worst)
            axes.annotate(
                str(rank),
                place,
                (9, 0) if crowded else (-9, 0),
                textcoords="offset points",
                ha="left" if crowded else "right",
                va="center",
                color=BAD,
                weight="bold",
            )
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
    return drawn[0]


def histograms(series: Series, *, name: str, fmr: float | None) -> Html:
    """Scores of non-mated and of mated comparisons, log scale, the first filled, the others as lines."""
    with figure(name, height=400) as (found, drawn):
        panels = found.subplots(2, sharex=True)
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
                # A log axis has no zero: empty bins end far below what is shown.
                axes.stairs(np.maximum(shares, 1e-12), edges, baseline=1e-12, color=colour, linewidth=1.5)
                if place == 0:
                    axes.stairs(
                        np.maximum(shares, 1e-12), edges, baseline=1e-12, color=colour, fill=True, alpha=0.25
                    )
                point = _point(evidence, fmr)
                if point is not None:
                    axes.axvline(point.threshold, color=colour, linewidth=1.2, ls=":")
            axes.set_yscale("log")
            axes.set_ylim(0.4 / max(totals, default=1), 3)
            decades = range(0, -1 - int(np.log10(max(totals, default=1))), -2)
            axes.set_yticks([10.0**d for d in decades])
            axes.set_yticklabels([number_format.rate(10.0**d) if d else "1" for d in decades])
            axes.minorticks_off()
            axes.set_title(kind, loc="left", color=MUTED, size=10.5, pad=3)
            axes.xaxis.grid(False)
        panels[0].set_xlim(max(-1, reach[0] - 0.03), min(1, reach[1] + 0.03))
        panels[1].set_xlabel("score (cosine of two embeddings)")
        found.supylabel("share of comparisons per bin", color=MUTED, size=10.5)
    return drawn[0]


def _merged(edges: Sequence[float], counts: Sequence[int]) -> tuple[Float64Array, Float64Array]:
    """Shares in bins wide enough for the comparisons there are."""
    total = sum(counts)
    width = 1 if total >= 20_000 or len(counts) % 4 else 2 if total >= 500 else 4
    merged = np.asarray(counts, np.float64).reshape(-1, width).sum(axis=1)
    return np.asarray(edges, np.float64)[::width], merged / total


def det(series: Series, *, name: str) -> Html:
    """DET curves on normal-deviate axes (ISO/IEC 19795-1); grey where the data hold fewer than three errors."""
    with figure(name, height=400) as (found, drawn):
        axes = found.subplots()
        left, bottom = 1e-2, 1e-2
        few_false_matches = few_misses = 0.0
        ends = []
        for place, (label, evidence) in enumerate(series):
            rows = [(f, n) for _, f, n in evidence.det if 0 < f < 1 and 0 < n < 1]
            if not rows:
                continue
            few_false_matches = max(few_false_matches, 3 / max(evidence.non_mated_trials, 3))
            few_misses = max(few_misses, 3 / max(evidence.mated_trials, 3))
            left = max(min(left, *(f for f, _ in rows)), 1e-7)
            bottom = max(min(bottom, *(n for _, n in rows)), 1e-5)
            x, y = ([_probit(v) for v in column] for column in zip(*rows, strict=True))
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
            axes.plot(x, y, color=colour, ls=dash)
            ends.append((label, x, y, colour))
        low, base, high = _probit(left / 1.3), _probit(bottom / 1.3), _probit(0.5)
        shade: dict[str, Any] = {"color": MUTED, "alpha": 0.14, "linewidth": 0}
        if few_false_matches > left:
            axes.axvspan(low, _probit(min(few_false_matches, 0.5)), **shade)
        if few_misses > bottom:
            axes.axhspan(base, _probit(min(few_misses, 0.5)), **shade)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, ls=":")
        for axis, least in ((axes.xaxis, left), (axes.yaxis, bottom)):
            ticks = [p for p in _PROBITS if p >= least / 1.3]
            axis.set_ticks([_probit(p) for p in ticks], [_tick(p) for p in ticks])
        axes.set_xlim(low, high)
        axes.set_ylim(base, high)
        _label_curves(axes, ends)
        axes.set_xlabel("FMR: non-mated comparisons accepted")
        axes.set_ylabel("FNMR: mated comparisons rejected")
    return drawn[0]


def _label_curves(axes: Any, ends: Sequence[tuple[str, list[float], list[float], str]]) -> None:
    """Write each label beside its curve at its own height, so that two close curves keep theirs apart."""
    for place, (label, x, y, colour) in enumerate(ends):
        goal = _probit(0.02 if place % 2 == 0 else 0.06)
        at = int(np.argmin(np.abs(np.asarray(y) - goal)))
        axes.annotate(
            label,
            (x[at], y[at]),
            (-8, -12) if place % 2 == 0 else (10, 8),
            textcoords="offset points",
            color=colour,
            weight="bold",
            ha="right" if place % 2 == 0 else "left",
        )


def forest(rows: Sequence[PairedDifference | Unsupported], fmrs: Sequence[float], *, name: str) -> Html:
    """Differences of TAR with their intervals; what the data cannot support has no mark."""
    with figure(name, height=70 + 38 * len(rows)) as (found, drawn):
        axes = found.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(-100 * MARGIN, color=MUTED, linewidth=1, ls="--")
        for place, row in enumerate(rows):
            if isinstance(row, Unsupported):
                axes.annotate(
                    "the data cannot support it",
                    (0.02, place),
                    xycoords=("axes fraction", "data"),
                    color=MUTED,
                    style="italic",
                    va="center",
                    size=9.5,
                )
                continue
            if isinstance(row.interval, Interval):
                ends = [100 * row.interval.low, 100 * row.interval.high]
                axes.plot(ends, [place, place], color=CANDIDATE, linewidth=2.4, solid_capstyle="butt")
            axes.plot(100 * row.difference, place, "s", color=CANDIDATE, markersize=7)
            axes.annotate(
                number_format.signed(100 * row.difference, 2),
                (100 * row.difference, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                size=9.5,
            )
        axes.set_yticks(range(len(rows)), [f"FMR {number_format.rate(fmr)}" for fmr in fmrs])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -1.6), max(high, 0.8))
        axes.set_xlabel("change of TAR, percentage points (left is a loss)")
        axes.yaxis.grid(False)
    return drawn[0]


def reliability(series: Sequence[tuple[str, ProbabilityEvidence]], *, name: str) -> Html:
    """Stated probability against observed share; on the diagonal a probability means what it says."""
    with figure(name, height=330) as (found, drawn):
        axes = found.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, ls=":")
        axes.annotate(
            "means what it says", (0.3, 0.3), (6, -12), textcoords="offset points", color=MUTED, size=9
        )
        for place, (label, evidence) in enumerate(series):
            rows = [
                (b.mean_probability, b.observed_share)
                for b in evidence.bins
                if b.mean_probability is not None and b.observed_share is not None
            ]
            if not rows:
                continue
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(*zip(*rows, strict=True), "o-", color=colour, markersize=5, linewidth=1.4)
            axes.annotate(
                label,
                (0.02, 0.98 - 0.08 * place),
                color=colour,
                weight="bold",
                va="top",
            )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("probability stated")
        axes.set_ylabel("share that is mated")
    return drawn[0]


def cumulative_match(series: Sequence[tuple[str, IdentificationEvidence]], *, name: str) -> Html:
    """Share of mated probes whose subject is among the first k."""
    with figure(name, height=300) as (found, drawn):
        axes = found.subplots()
        for place, (label, evidence) in enumerate(series):
            if isinstance(evidence.ranks, Unsupported) or not evidence.ranks:
                continue
            ranks, shares = zip(*evidence.ranks, strict=True)
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(ranks, [100 * share for share in shares], "o-", color=colour, markersize=4)
            axes.set_xticks(ranks)
            axes.annotate(
                label,
                (ranks[-1], 100 * shares[-1]),
                (0, 8 if place % 2 == 0 else -14),
                textcoords="offset points",
                ha="right",
                color=colour,
                weight="bold",
            )
        axes.set_xlabel("rank k")
        axes.set_ylabel("found among the first k, %")
        axes.margins(y=0.25)
    return drawn[0]


def _point(evidence: VerificationEvidence, fmr: float | None) -> OperatingPointEvidence | None:
    for point in evidence.points:
        if isinstance(point, OperatingPointEvidence) and point.target_fmr == fmr:
            return point
    return None


def _probit(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _tick(share: float) -> str:
    return number_format.rate(share) if share < 1e-2 else f"{100 * share:g} %"
