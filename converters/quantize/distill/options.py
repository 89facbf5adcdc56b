"""What the parent asks of the child process that trains, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.quantize.statistics import TensorRange
from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class Length:
    """How long to train: a number of steps, or as many as a time allows.

    Args:
        steps: How many, where that is known.
        seconds: How long, where ``steps`` is 0. The rate falls over the last two fifths, so how many steps there
            will be is settled after three fifths of the time, by how many were done.
    """

    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    """How good the student was at one step.

    Args:
        step: After how many steps.
        cosine: Mean cosine of its embedding to the float network's on the selection images.
    """

    step: int
    cosine: float


@dataclass(frozen=True)
class Trained:
    """What training gave.

    Args:
        constants: Weights by the name they have in the float reference; LeakyReLU slopes by ``slope_name``.
        ranges: Range of every tensor that rounds, by name.
        steps: How many steps were done.
        curve: The student on the selection images, from before the first step on.
        best_step: The step whose weights these are.
        images_per_second: How fast it went.
    """

    constants: Mapping[str, FloatArray] = field(repr=False)
    ranges: Mapping[str, TensorRange] = field(repr=False)
    steps: int
    curve: tuple[Point, ...]
    best_step: int
    images_per_second: float


def slope_name(output: str) -> str:
    """What to call the slope of the LeakyReLU with this output; it lies in the operator's options."""
    return f"{output}/slope of LEAKY_RELU"
