"""Backbones: networks from normalized pixels to an embedding that is not normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_train.errors import PlanError

if TYPE_CHECKING:
    import keras

#: Name of a backbone and the module that builds it.
BACKBONES = {"quantized": "edge_train.backbones.quantized"}


def build_backbone(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    dimension: int,
    width: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """Build an untrained backbone.

    Args:
        name: One of ``BACKBONES``.
        input_shape: (height, width, channels); any sides of at least 16 px, 1 or 3 channels.
        dimension: Length of the embedding.
        width: Factor for the number of channels, above 0.
        seed: Seed of the weights.

    Returns:
        A model from (N, H, W, C) float32 in about -1..1 to (N, dimension) float32, not normalized. The host normalizes.

    Raises:
        PlanError: An unknown name, or a value out of range.
    """
    import importlib

    if name not in BACKBONES:
        raise PlanError(f"backbone: expected {', '.join(BACKBONES)}, found {name!r}")
    model: keras.Model = importlib.import_module(BACKBONES[name]).build(
        input_shape=input_shape, dimension=dimension, width=width, seed=seed
    )
    return model
