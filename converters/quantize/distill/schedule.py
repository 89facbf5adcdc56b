"""Length and learning rate of distillation."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Share of the steps at the full rate; the rate falls to zero over the rest.
STABLE_SHARE = 0.6
#: Highest rates, relative to the root mean square of a weight's channel, so that they do not depend on the scale of the
#: weights: for a network whose PReLUs were replaced, and for a network that was only rounded.
REPLACED_RATE, ROUNDED_RATE = 2e-3, 5e-4
_WARM_UP_STEPS = 50


@dataclass(frozen=True)
class TrainingLength:
    """Length of training: a number of steps or a time limit.

    Args:
        steps: Number of steps, 0 if ``seconds`` is the limit.
        seconds: Time limit if ``steps`` is 0. The rate falls over the last two fifths of the steps, so the number of
            steps is fixed after three fifths of the time, from the number completed by then.
    """

    steps: int = 0
    seconds: float = 0.0


def rate(done: int, steps: int, highest: float) -> float:
    """Return the rate of the next step: a warm-up, a constant rate, then a cosine to zero.

    Args:
        done: Number of completed steps.
        steps: Total number of steps, 0 if not known yet.
        highest: The constant rate.
    """
    warm = min(1.0, (done + 1) / _WARM_UP_STEPS)
    falling = (done - STABLE_SHARE * steps) / ((1 - STABLE_SHARE) * steps) if steps else 0.0
    return highest * warm * 0.5 * (1 + math.cos(math.pi * max(falling, 0.0)))
