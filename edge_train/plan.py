"""Settings of a run as one value that cannot hold a contradiction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_train.errors import PlanError

DEFAULT_SIDE_PX = 96


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a training run; the same plan, pictures and machine give the same network.

    Args:
        size: (height, width) of the network's input in pixels, each 16..512.
        color: ``rgb`` or ``gray``.
        backbone: Name of a backbone (``edge_train.backbones.BACKBONES``).
        width: Factor for the number of channels, above 0.
        dimension: Length of the embedding, 8..1024.
        loss: Name of a loss (``edge_train.losses.LOSSES``).
        loss_settings: Settings of the loss, such as ``{"margin": 0.3}``; the others follow from the number of subjects and steps.
        augmentation: Name of a set of augmentations: ``none``, ``products``, ``faces``, ``drawings``.
        subjects_per_batch: P, at least 2.
        images_per_subject: K, at least 1.
        steps: Number of steps; None if ``minutes`` is given.
        minutes: Longest time of the training; None if ``steps`` is given. It is turned into a number of steps at the start.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
        seed: Seed of all random choices, 0 or more.
        targets: Names of the targets to convert for.

    Raises:
        PlanError: A value out of range, or settings that contradict each other.
    """

    size: tuple[int, int] = (DEFAULT_SIDE_PX, DEFAULT_SIDE_PX)
    color: str = "rgb"
    backbone: str = "quantized"
    width: float = 1.0
    dimension: int = 96
    loss: str = "arcface"
    loss_settings: dict[str, Any] = field(default_factory=dict)
    augmentation: str = "products"
    subjects_per_batch: int = 32
    images_per_subject: int = 4
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    seed: int = 0
    targets: tuple[str, ...] = ("cpu",)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise PlanError(
                "expected either steps or minutes, found " + ("none" if self.steps is None else "both")
            )
