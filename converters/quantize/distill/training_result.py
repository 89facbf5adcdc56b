"""Result of training, returned by the child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.quantize.statistics import TensorRange
from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class CurvePoint:
    """Quality of the student after a number of steps.

    Args:
        step: Number of completed steps.
        cosine: Mean cosine of the student's and the float network's embeddings of the selection images.
    """

    step: int
    cosine: float


@dataclass(frozen=True)
class TrainingResult:
    """Weights and ranges of the best step, with figures of the training.

    Args:
        constants: Weights by their name in the float reference; LeakyReLU slopes by ``slope_name``.
        ranges: Range of every rounded tensor by its name in the float reference.
        steps: Number of completed steps.
        curve: Quality of the student, from before the first step.
        best_step: Step at which ``constants`` and ``ranges`` were saved.
        images_per_second: Training speed.
    """

    constants: Mapping[str, FloatArray] = field(repr=False)
    ranges: Mapping[str, TensorRange] = field(repr=False)
    steps: int
    curve: tuple[CurvePoint, ...]
    best_step: int
    images_per_second: float


def slope_name(output: str) -> str:
    """Return the name for the slope of the LeakyReLU with this output; the slope is an option of the operator."""
    return f"{output}/slope of LEAKY_RELU"
