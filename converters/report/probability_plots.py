"""Figures of the conversion of scores to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from converters.evaluate.metrics.probability_evidence import ProbabilityEvidence
from converters.evaluate.runner.probability_text import PRIORS
from converters.report.svg import BASE, CANDIDATE, INK, MUTED, THIRD, drawing
from edge_sdk.types import Float64Array

_COLOURS = (BASE, CANDIDATE, THIRD, INK)
_DASHES = ("--", "-.", ":")


def reliability(series: Sequence[tuple[str, ProbabilityEvidence]], *, name: str) -> Markup:
    """Draw predicted probability against observed share, with the PAV reference; the diagonal is perfect calibration.

    Args:
        series: (label, evidence) of each artefact.
        name: Prefix of the ids.
    """
    with drawing(name, height=400) as drawn:
        axes = drawn.figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, ls=":")
        for place, (label, evidence) in enumerate(series):
            colour = _COLOURS[place % len(_COLOURS)]
            scores, shares = _steps(evidence)
            axes.plot(evidence.platt.probability(scores), shares, color=colour, linewidth=1.2, alpha=0.55)
            rows = [
                (b.mean_probability, b.observed_share)
                for b in evidence.bins
                if b.mean_probability is not None and b.observed_share is not None
            ]
            axes.plot(*zip(*rows, strict=True), "o", color=colour, markersize=6)
            _name(axes, label, place, colour)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed share of mated comparisons")
    return drawn.svg


def by_score(series: Sequence[tuple[str, ProbabilityEvidence]], *, name: str) -> Markup:
    """Draw the probability of each score at the prior of the fit and, for the first series, at other priors.

    Args:
        series: (label, evidence) of each artefact.
        name: Prefix of the ids.
    """
    with drawing(name, height=400) as drawn:
        axes = drawn.figure.subplots()
        low, high = _reach([evidence for _, evidence in series])
        scores = np.linspace(low, high, 400)
        for place, (label, evidence) in enumerate(series):
            colour = _COLOURS[place % len(_COLOURS)]
            steps, shares = _steps(evidence)
            axes.plot(steps, shares, color=colour, linewidth=1.2, alpha=0.55)
            axes.plot(scores, evidence.platt.probability(scores), color=colour)
            _name(axes, label, place, colour)
        first = series[0][1].platt
        others = [prior for prior in PRIORS if prior != first.prior and first.slope > 0]
        for prior, dash in zip(others, _DASHES, strict=False):
            style = {"color": _COLOURS[0], "ls": dash, "linewidth": 1.2, "label": f"prior {prior:g}"}
            axes.plot(scores, first.probability(scores, prior=prior), **style)
        if others:
            # Below an increasing curve the right corner is free.
            axes.legend(loc="lower right", frameon=False, labelcolor="linecolor", fontsize=9.5)
        axes.set_xlim(low, high)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("score (cosine of two embeddings)")
        axes.set_ylabel("probability of one subject")
    return drawn.svg


def _steps(evidence: ProbabilityEvidence) -> tuple[Float64Array, Float64Array]:
    """Return the corners of the PAV function: scores and observed shares."""
    low, high, shares = np.array(evidence.pav).T
    return np.column_stack([low, high]).ravel(), np.repeat(shares, 2)


def _reach(series: Sequence[ProbabilityEvidence]) -> tuple[float, float]:
    """Return the range of scores in which some probability is between 1e-3 and 1 - 1e-3."""
    ends = []
    for evidence in series:
        between = [row for row in evidence.pav if 1e-3 < row[2] < 1 - 1e-3]
        ends += [score for row in between for score in row[:2]]
        platt = evidence.platt
        if platt.slope > 0:
            ends += [(logit - platt.intercept) / platt.slope for logit in (-7.0, 7.0)]
    low, high = (min(ends), max(ends)) if ends else (-1.0, 1.0)
    return max(-1.0, low - 0.02), min(1.0, max(high, low + 0.02) + 0.02)


def _name(axes: Any, label: str, place: int, colour: str) -> None:
    axes.annotate(
        label,
        (0.03, 0.97 - 0.07 * place),
        xycoords="axes fraction",
        color=colour,
        weight="bold",
        va="top",
    )
