"""Number of steps that fit in a given time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any

from converters.progress import Progress
from edge_train.data.batches import Batches, prefetched
from edge_train.errors import PlanError
from edge_train.training.trainer import Trainer

#: Throw-away steps after the compiled first one, and the time after which fewer are enough.
_STEPS, _LEAST_STEPS, _ENOUGH_S = 40, 5, 6.0
#: Share of the remaining time that is planned; the rest is for checkpoints and a machine that becomes busier.
_PLANNED = 0.95
# Shortest training that is worth its name.
_LEAST_RUN = 10
#: Largest share of the time for the curve.
_CURVE_SHARE = 0.15


def steps_within(
    seconds: float,
    trainer: Trainer,
    batches: Batches,
    *,
    curve: Callable[[Any], Any] | None,
    curve_values: int,
    curve_steps: int,
    progress: Progress,
) -> tuple[int, int, str]:
    """Time throw-away steps, and compute the number of steps that fit; the weights of the backbone are restored.

    The compiled step is compiled again for the training, so its time counts twice. The first value of the curve includes the
    decoding of its images and counts once.

    Args:
        seconds: Time for everything: this measurement, compilation, steps, curve and checkpoints.
        trainer: Trainer to throw away.
        batches: Training batches; batch 0 and the following are read.
        curve: The curve, or None.
        curve_values: Largest number of values of the curve.
        curve_steps: Least number of steps between two values.
        progress: Called with the throw-away steps.

    Returns:
        (number of steps, steps between values of the curve, sentence about the measured times).

    Raises:
        PlanError: Not even 10 steps fit.
    """
    began = time.monotonic()
    start = [variable.numpy().copy() for variable in trainer.backbone.variables]
    times: list[float] = []
    with closing(prefetched(batches, 0, _STEPS + 1)) as source:
        last = began
        for pixels, targets in source:
            trainer.advance(pixels, targets)
            now = time.monotonic()
            times.append(now - last)
            last = now
            progress(len(times), _STEPS + 1)
            if len(times) > _LEAST_STEPS and now - began > times[0] + _ENOUGH_S:
                break
    first_s, step_s = times[0], median(times[1:])
    value_s = 0.0
    if curve is not None:
        curve(trainer.backbone)
        before = time.monotonic()
        curve(trainer.backbone)
        value_s = time.monotonic() - before
    for variable, value in zip(trainer.backbone.variables, start, strict=True):
        variable.assign(value)
    left = _PLANNED * (seconds - (time.monotonic() - began) - first_s)
    values = 0
    if curve is not None:
        values = max(1, min(curve_values, int(_CURVE_SHARE * left / max(value_s, 1e-6))))
    steps = int((left - values * value_s) / step_s)
    timed = f"{step_s * 1e3:.0f} ms per step, {first_s:.1f} s to compile"
    if curve is not None:
        timed += f", {value_s:.1f} s per value of the curve"
    if steps < _LEAST_RUN:
        raise PlanError(
            f"minutes: expected time for at least {_LEAST_RUN} steps, found {seconds / 60:g} minutes ({timed})",
            hint="give more minutes, a smaller network or input, or fewer images per batch",
        )
    return steps, max(curve_steps, -(-steps // max(1, values))), timed
