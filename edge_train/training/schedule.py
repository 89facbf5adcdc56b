"""Learning rate as a function of the completed share of the training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_train.errors import PlanError

_WARM_UP = 0.06  # share of the steps with a rising learning rate


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Length and learning rates of a training.

    Args:
        steps: Number of steps, at least 1.
        learning_rate: Peak learning rate of the backbone; the head's is multiplied by the loss's ``head_rate``.
        weight_decay: Decoupled weight decay (AdamW, arXiv:1711.05101), 0 or more.

    Raises:
        PlanError: A value out of range.
    """

    steps: int
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise PlanError(f"steps: expected at least 1, found {self.steps}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise PlanError(f"learning_rate: expected a number above 0, found {self.learning_rate}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise PlanError(f"weight_decay: expected 0 or more, found {self.weight_decay}")

    def share(self, step: int) -> float:
        """Return the completed share of the training before a step, 0..1."""
        return step / self.steps

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear rise, then a cosine to 1 % of the peak."""
        share = self.share(step)
        if share < _WARM_UP:
            return self.learning_rate * (0.05 + 0.95 * share / _WARM_UP)
        rest = (share - _WARM_UP) / (1 - _WARM_UP)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, rest))))
