"""Detection of a training that cannot recover."""

from __future__ import annotations

import math
from collections import deque

from edge_train.errors import CollapseError
from edge_train.training.trainer import StepFigures

#: Mean cosine of different subjects from which a batch counts as collapsed.
COLLAPSED = 0.99
#: Gradient norm up to which a collapse is total: the gradient of equal embeddings is zero, so that no step can end it.
NO_GRADIENT = 1e-12
_TOTAL_STEPS = 5
_LEAST_STEPS, _SHARE = 30, 0.1
#: Smallest difference between the mean cosines of the same subject and of different subjects of a training that learns; it is
#: checked after half of the steps, and after 100 steps at least. A triplet training on Omniglot exceeded 0.2 within 20 steps.
SEPARATED = 0.02
_CHECKED_FROM = 100

_CAUSES = (
    "use a lower learning rate, a smaller margin or scale, or at least 2 images per subject in a batch;"
    " losses on pairs and triplets collapse more easily than arcface"
)


class CollapseGuard:
    """Stops a training whose embeddings have been nearly equal, or unrelated to the subjects, for a tenth of its steps.

    Losses on hard pairs pass through a short collapse at their start, so a single collapsed batch is no error.

    Args:
        steps: Number of steps of the training.
    """

    def __init__(self, steps: int) -> None:
        self._patience = max(_LEAST_STEPS, round(_SHARE * steps))
        self._check_from = max(_CHECKED_FROM, steps // 2)
        self._collapsed = self._total = 0
        self._differences: deque[float] = deque(maxlen=self._patience)

    def check(self, step: int, figures: StepFigures) -> None:
        """Check the figures of a step, numbered from 1.

        Raises:
            CollapseError: The loss or the gradient is not finite, or for too long the embeddings of different subjects have been
                nearly equal, or those of the same subject no more alike than others.
        """
        if not (math.isfinite(figures.loss) and math.isfinite(figures.gradient)):
            quantity = "loss" if not math.isfinite(figures.loss) else "gradient"
            value = figures.loss if quantity == "loss" else figures.gradient
            raise CollapseError(
                f"step {step}: expected a finite {quantity}, found {value} at learning rate"
                f" {figures.learning_rate:.2g}",
                hint="the weights diverged: use a lower learning rate, or a smaller scale of the loss",
            )
        collapsed = figures.alike >= COLLAPSED
        self._collapsed = self._collapsed + 1 if collapsed else 0
        self._total = self._total + 1 if collapsed and figures.gradient <= NO_GRADIENT else 0
        if self._total < _TOTAL_STEPS and self._collapsed < self._patience:
            self._check_separation(step, figures)
            return
        since = max(self._collapsed, self._total)
        gradient = ", and the gradient is zero" if self._total else ""
        raise CollapseError(
            f"step {step}: expected different embeddings of different subjects, found a mean cosine of"
            f" {figures.alike:.4f} for {since} steps{gradient}; the loss stays at {figures.loss:.4g}",
            hint=_CAUSES,
        )

    def _check_separation(self, step: int, figures: StepFigures) -> None:
        self._differences.append(figures.mated - figures.alike)
        if step < self._check_from or len(self._differences) < self._patience:
            return
        difference = sum(self._differences) / len(self._differences)
        if difference < SEPARATED:  # false for NaN: no subject has two images in a batch
            raise CollapseError(
                f"step {step}: expected embeddings of the same subject to be more alike than others, found a mean difference of"
                f" {difference:.4f} in cosine over {len(self._differences)} steps",
                hint="the training learns nothing: check that each folder contains pictures of a single subject, or use a"
                " lower learning rate",
            )
