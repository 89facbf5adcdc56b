"""Figure of DET curves with their confidence bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from markupsafe import Markup

from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from converters.number_format import rate
from converters.report.svg import BASE, CANDIDATE, INK, MUTED, THIRD, drawing

_COLOURS = (BASE, CANDIDATE, THIRD, INK)
_DASHES = ("-", "-", "--", ":")
_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.4)
# The least and the greatest rate on an axis; outside them the normal deviate is far outside the visible range.
_LEAST, _MOST = 1e-9, 0.999

_Rates = list[tuple[float, float]]


@dataclass(frozen=True)
class _Curve:
    """(FMR, FNMR) of the curve, of the two edges of its band (empty without limits), and of its operating points."""

    curve: _Rates
    worst: _Rates
    best: _Rates
    points: _Rates


def det(series: Sequence[tuple[str, VerificationEvidence]], *, name: str) -> Markup:
    """Draw DET curves on normal-deviate axes (ISO/IEC 19795-1), grey where the data have fewer than three errors.

    The edges of a band join the upper limits of FMR and FNMR at each threshold, and the lower limits. If there are limits,
    the FNMR is the mean over subjects, as in the table; otherwise it is the share of all mated comparisons.

    Args:
        series: (label, evidence) of each artefact.
        name: Prefix of the ids.
    """
    with drawing(name, height=400) as drawn:
        axes = drawn.figure.subplots()
        left, bottom = 1e-2, 1e-2
        few_false_matches = few_misses = 0.0
        lines = []
        for place, (label, evidence) in enumerate(series):
            rates = _curve(evidence)
            visible = [(f, n) for f, n in rates.curve if 0 < f < 1 and 0 < n < 1]
            if not visible:
                continue
            few_false_matches = max(few_false_matches, 3 / max(evidence.non_mated_trials, 3))
            few_misses = max(few_misses, 3 / max(evidence.mated_trials, 3))
            left = max(min(left, *(f for f, _ in visible)), 1e-7)
            bottom = max(min(bottom, *(n for _, n in visible)), 1e-5)
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
            if rates.worst:
                edge = [*rates.worst, *reversed(rates.best)]
                axes.fill(*_deviates(edge), color=colour, alpha=0.2, linewidth=0, zorder=1.5)
            x, y = _deviates(visible)
            lines += axes.plot(x, y, color=colour, ls=dash, label=label)
            if rates.points:
                style = {"markersize": 6.5, "markerfacecolor": "none", "markeredgewidth": 1.6}
                axes.plot(*_deviates(rates.points), "o", color=colour, zorder=3, **style)
        low, base, high = _deviate(left / 1.3), _deviate(bottom / 1.3), _deviate(0.5)
        shade: dict[str, Any] = {"color": MUTED, "alpha": 0.14, "linewidth": 0}
        if few_false_matches > left:
            axes.axvspan(low, _deviate(min(few_false_matches, 0.5)), **shade)
        if few_misses > bottom:
            axes.axhspan(base, _deviate(min(few_misses, 0.5)), **shade)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, ls=":")
        for axis, least in ((axes.xaxis, left), (axes.yaxis, bottom)):
            ticks = [p for p in _TICKS if p >= least / 1.3]
            axis.set_ticks([_deviate(p) for p in ticks], [_tick(p) for p in ticks])
        axes.set_xlim(low, high)
        axes.set_ylim(base, high)
        # Close curves leave no place for labels beside them; above the diagonal there is no curve.
        if lines:
            axes.legend(handles=lines, loc="upper right", frameon=False, labelcolor="linecolor")
        axes.set_xlabel("FMR: non-mated comparisons accepted")
        axes.set_ylabel("FNMR: mated comparisons rejected")
    return drawn.svg


def has_band(evidence: VerificationEvidence) -> bool:
    """Return True if the curve of an artefact has a confidence band."""
    return bool(_curve(evidence).worst)


def _curve(evidence: VerificationEvidence) -> _Curve:
    points = [
        (point.fmr, point.fnmr)
        for point in evidence.points
        if isinstance(point, OperatingPointEvidence) and point.fnmr
    ]
    curve, worst, best = [], [], []
    for _, fmr, fmr_low, fmr_high, fnmr, fnmr_low, fnmr_high in evidence.det_band:
        curve.append((fmr, fnmr))
        if fnmr_low is None or fnmr_high is None or not (0 < fmr < 1 and 0 < fnmr < 1):
            continue
        # The FMR has no limits if its false matches are too many to be counted by subject; it is then nearly exact.
        best.append((fmr if fmr_low is None else fmr_low, fnmr_low))
        worst.append((fmr if fmr_high is None else fmr_high, fnmr_high))
    if not worst:
        curve = [(fmr, fnmr) for _, fmr, fnmr in evidence.det]
    return _Curve(curve, worst, best, points)


def _deviates(rates: _Rates) -> tuple[list[float], list[float]]:
    return [_deviate(fmr) for fmr, _ in rates], [_deviate(fnmr) for _, fnmr in rates]


def _deviate(share: float) -> float:
    return NormalDist().inv_cdf(min(max(share, _LEAST), _MOST))


def _tick(share: float) -> str:
    return rate(share) if share < 1e-2 else f"{100 * share:g} %"
