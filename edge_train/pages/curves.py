"""Figures of a training: loss and error rates by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from converters.report.svg import BASE, CANDIDATE, MUTED, drawing
from edge_sdk.types import Float64Array

# A curve of more points cannot be told apart on a page.
_MOST_POINTS = 400


def loss_curve(values: Sequence[float]) -> Markup:
    """Draw the loss of each step, and its mean over a window of a fiftieth of the steps.

    Args:
        values: Loss of each step, at least one.
    """
    losses = np.array(values, np.float64)
    steps = np.arange(1, len(losses) + 1)
    mean = moving_mean(losses, max(1, len(losses) // 50))
    shown = np.unique(np.linspace(0, len(losses) - 1, min(len(losses), _MOST_POINTS)).astype(int))
    with drawing("loss") as drawn:
        axes = drawn.figure.subplots()
        axes.plot(steps[shown], losses[shown], color=MUTED, linewidth=0.8, alpha=0.5)
        axes.plot(steps[shown], mean[shown], color=BASE)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.xaxis.grid(False)
        axes.set_xlim(0, steps[-1])
    return drawn.svg


def rate_curves(curve: Sequence[tuple[int, Mapping[str, float]]]) -> Markup:
    """Draw the true accept rate and the equal error rate of the calibration subjects by step.

    Args:
        curve: Step and the shares ``tar`` and ``eer``, each of which may be absent; at least one row.
    """
    with drawing("rates") as drawn:
        axes = drawn.figure.subplots()
        for name, colour in (("tar", BASE), ("eer", CANDIDATE)):
            points = [(step, 100 * values[name]) for step, values in curve if name in values]
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3.5)
            axes.annotate(
                f"{name.upper()} {points[-1][1]:.1f} %",
                points[-1],
                (-2, 8),
                textcoords="offset points",
                ha="right",
                color=colour,
                weight="bold",
            )
        axes.set_xlabel("step")
        axes.set_ylabel("share of comparisons, %")
        axes.set_ylim(-3, 112)
        axes.set_yticks(range(0, 101, 20))
        axes.set_xlim(left=0)
        axes.xaxis.grid(False)
    return drawn.svg


def moving_mean(values: Float64Array, window: int) -> Float64Array:
    """Return the mean of each value and up to ``window - 1`` values before it, shape (N,)."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray((total[ends] - total[starts]) / (ends - starts), np.float64)
