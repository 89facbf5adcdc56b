"""Losses of metric learning as Keras layers: heads with class weights, and losses on pairs, triplets and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_train.errors import PlanError
from edge_train.losses.choice import defaults
from edge_train.losses.settings import LOSSES, LossEntry, check_settings

if TYPE_CHECKING:
    from edge_train.losses.base import Loss

__all__ = ["LOSSES", "LossEntry", "build_loss", "check_settings"]


def build_loss(
    name: str,
    *,
    classes: int,
    dimension: int,
    steps: int,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Loss:
    """Build a loss with settings that suit the number of classes and of steps.

    Args:
        name: One of ``LOSSES``.
        classes: Number of training subjects, at least 2.
        dimension: Length of the embedding, at least 4.
        steps: Number of training steps, at least 1.
        settings: Settings in place of the defaults of ``edge_train.losses.choice``.
        seed: Seed of the head's weights.

    Raises:
        PlanError: An unknown name or setting, a value out of range, or too few classes.
    """
    import importlib

    check_settings(name, settings or {})
    if classes < 2:
        raise PlanError(
            f"training subjects: expected at least 2, found {classes}", hint="add folders of further subjects"
        )
    if dimension < 4 or steps < 1:
        raise PlanError(
            f"expected a dimension of at least 4 and at least 1 step, found dimension {dimension} and {steps} steps",
            hint="set dimension and steps",
        )
    entry = LOSSES[name]
    values = {**defaults(name, classes=classes, dimension=dimension, steps=steps), **(settings or {})}
    check_settings(name, values)
    given = {"classes": classes, "dimension": dimension, "seed": seed}
    facts = {key: given[key] for key in entry.takes}
    loss: Loss = getattr(importlib.import_module(entry.module), entry.class_name)(
        **facts, **entry.fixed, **values
    )
    return loss
