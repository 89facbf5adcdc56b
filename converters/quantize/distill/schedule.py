"""Length and learning rate of distillation."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Share of the steps before the learning rate starts to fall; it reaches zero at the last step.
STABLE_SHARE = 0.6
#: Highest learning rates if PReLUs were replaced and if the network was only rounded. They are relative to the root
#: mean square of a weight's channel, so that they do not depend on the scale of the weights.
REPLACED_RATE, ROUNDED_RATE = 2e-3, 5e-4
_WARM_UP_STEPS = 50


@dataclass(frozen=True)
class TrainingLength:
    """Length of training: a number of steps or a time limit.

    Args:
        steps: Number of steps, 0 if ``seconds`` is the limit.
        seconds: Time limit if ``steps`` is 0. After three fifths of the time, the total number of steps is computed from
            the number completed so far, because the learning rate then starts to fall.
    """

    steps: int = 0
    seconds: float = 0.0


def rate(done: int, steps: int, highest: float) -> float:
    """Return the learning rate of the next step: a warm-up, a constant rate, then a cosine curve to zero.

    Args:
        done: Number of completed steps.
        steps: Total number of steps, 0 if not known yet.
        highest: The constant learning rate.
    """
    warm = min(1.0, (done + 1) / _WARM_UP_STEPS)
    falling = (done - STABLE_SHARE * steps) / ((1 - STABLE_SHARE) * steps) if steps else 0.0
    return highest * warm * 0.5 * (1 + math.cos(math.pi * max(falling, 0.0)))
