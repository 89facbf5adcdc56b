"""The report's figures, each a pure function from evidence to SVG."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from converters.evaluate import IdentificationEvidence, ProbabilityEvidence
from converters.evaluation.evidence import (
    Interval,
    OperatingPointEvidence,
    PairedDifference,
    Unsupported,
    VerificationEvidence,
)
from converters.layers import LayerErrors
from converters.report import words
from converters.report.html import Html
from converters.report.svg import BAD, BASE, CANDIDATE, INK, MUTED, figure

#: How much TAR a candidate may lose and still be called as good, as a share.
MARGIN = 0.01

Series = Sequence[tuple[str, VerificationEvidence]]

_COLOURS = (BASE, CANDIDATE, INK, MUTED)
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
        for rank, worst in enumerate(errors.worst(5), start=1):
            if worst.rounding_db is not None:
                place = (worst.position, worst.rounding_db)
                axes.plot(*place, "o", markersize=12, markerfacecolor="none", markeredgecolor=BAD, zorder=4)
                axes.annotate(
                    str(rank),
                    place,
                    (0, 9),
                    textcoords="offset points",
                    ha="center",
                    color=BAD,
                    weight="bold",
                    size=10,
                )
    return drawn[0]


def histograms(series: Series, *, name: str, fmr: float | None) -> Html:
    """Scores of mated and non-mated comparisons, log scale, the first filled, the others as lines."""
    with figure(name, height=320) as (found, drawn):
        axes = found.subplots()
        floor, reach = 1.0, [1.0, -1.0]
        for place, (_, evidence) in enumerate(series):
            for kind, counts in (("non-mated", evidence.non_mated_counts), ("mated", evidence.mated_counts)):
                total = sum(counts)
                if not total:
                    continue
                shares = np.asarray(counts, np.float64) / total
                floor = min(floor, 0.5 / total)
                used = np.flatnonzero(shares)
                reach = [
                    min(reach[0], evidence.histogram_edges[used[0]]),
                    max(reach[1], evidence.histogram_edges[used[-1] + 1]),
                ]
                colour = _COLOURS[place % len(_COLOURS)]
                dash = "--" if kind == "mated" else "-"
                axes.stairs(
                    shares,
                    evidence.histogram_edges,
                    baseline=1e-12,
                    color=colour,
                    fill=place == 0,
                    alpha=0.28 if place == 0 else 1,
                    linewidth=0 if place == 0 else 1.5,
                )
                if place == 0:
                    axes.stairs(
                        shares, evidence.histogram_edges, baseline=1e-12, color=colour, linewidth=1.5, ls=dash
                    )
                if place == 0:
                    peak = int(shares.argmax())
                    middle = (evidence.histogram_edges[peak] + evidence.histogram_edges[peak + 1]) / 2
                    axes.annotate(
                        f"{kind}\n{total:,}",
                        (middle, shares[peak]),
                        (0, 6),
                        textcoords="offset points",
                        ha="center",
                        color=INK,
                        size=9.5,
                    )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda share, _: words.rate(share) if share < 1 else "1")
        axes.set_ylim(floor, 3)
        axes.set_xlim(max(-1, reach[0] - 0.03), min(1, reach[1] + 0.03))
        _threshold_lines(axes, series, fmr)
        axes.set_xlabel("score (cosine of two embeddings)")
        axes.set_ylabel("share of comparisons per bin")
        axes.xaxis.grid(False)
    return drawn[0]


def _threshold_lines(axes: Any, series: Series, fmr: float | None) -> None:
    for place, (_, evidence) in enumerate(series):
        point = _point(evidence, fmr)
        if point is not None:
            axes.axvline(point.threshold, color=_COLOURS[place % len(_COLOURS)], linewidth=1.2, ls=":")


def det(series: Series, *, name: str) -> Html:
    """DET curves on normal-deviate axes (ISO/IEC 19795-1)."""
    with figure(name, height=360) as (found, drawn):
        axes = found.subplots()
        supported = 1.0
        lowest = 1e-2
        ends = []
        for place, (label, evidence) in enumerate(series):
            rows = [(f, n) for _, f, n in evidence.det if 0 < f < 1 and 0 < n < 1]
            if not rows:
                continue
            supported = min(supported, 3 / max(evidence.non_mated_trials, 3))
            lowest = min(lowest, *(f for f, _ in rows))
            x, y = ([_probit(v) for v in column] for column in zip(*rows, strict=True))
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
            axes.plot(x, y, color=colour, ls=dash, drawstyle="default")
            ends.append((label, x, y, colour))
        shown = [p for p in _PROBITS if p >= lowest / 3]
        left = _probit(max(lowest / 1.5, 1e-7))
        axes.set_xlim(left, _probit(0.5))
        axes.set_ylim(_probit(5e-4), _probit(0.5))
        if supported > lowest:
            axes.axvspan(left, _probit(supported), color=MUTED, alpha=0.13, linewidth=0)
            axes.text(
                left + 0.04,
                _probit(7e-4),
                "too few\ncomparisons",
                color=MUTED,
                size=9,
                va="bottom",
                ha="left",
            )
        axes.plot([left, 0], [left, 0], color=MUTED, linewidth=0.8, ls=":")
        ticks = (1e-3, 1e-2, 0.05, 0.2, 0.4)
        axes.set_xticks([_probit(p) for p in shown], [_tick(p) for p in shown])
        axes.set_yticks([_probit(p) for p in ticks], [_tick(p) for p in ticks])
        _label_curves(axes, ends)
        axes.set_xlabel("FMR: strangers accepted")
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
                    (0, place),
                    (-6, 0),
                    textcoords="offset points",
                    color=MUTED,
                    style="italic",
                    ha="right",
                    va="center",
                    size=9.5,
                )
                continue
            if isinstance(row.interval, Interval):
                ends = [100 * row.interval.low, 100 * row.interval.high]
                axes.plot(ends, [place, place], color=CANDIDATE, linewidth=2.4, solid_capstyle="butt")
            axes.plot(100 * row.difference, place, "s", color=CANDIDATE, markersize=7)
            axes.annotate(
                words.signed(100 * row.difference, 2),
                (100 * row.difference, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                size=9.5,
            )
        axes.set_yticks(range(len(rows)), [f"FMR {words.rate(fmr)}" for fmr in fmrs])
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
    return words.rate(share) if share < 1e-2 else f"{100 * share:g} %"
