"""Backbones: networks from normalized pixels to an embedding that is not normalized."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge_train.errors import PlanError

if TYPE_CHECKING:
    import keras

#: Name of a backbone and the module that builds it.
BACKBONES = {
    "quantized": "edge_train.backbones.quantized",
    "mobilefacenet": "edge_train.backbones.mobilefacenet",
    "mobilenet_v2": "edge_train.backbones.mobilenet_v2",
    "mobilenet_v3_small": "edge_train.backbones.mobilenet_v3_small",
}
_LEAST_SIDE_PX, _LARGEST_SIDE_PX = 16, 512
_LARGEST_SEED = 2**32 - 1


def build_backbone(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    dimension: int,
    width: float = 1.0,
    seed: int = 0,
    channels: Mapping[str, int] | None = None,
) -> keras.Model:
    """Build an untrained backbone.

    Args:
        name: One of ``BACKBONES``.
        input_shape: (height, width, channels); sides of 16..512 px, 1 or 3 channels.
        dimension: Length of the embedding, at least 2.
        width: Factor for the number of channels, above 0; channels are rounded to multiples of 8.
        seed: Seed of the weights, 0..2^32 - 1; the same seed gives the same weights. ``quantized`` and ``channels`` also set the
            global seeds of Python, numpy and TensorFlow.
        channels: Number of channels of some groups of layers, as a width search returns it
            (``edge_train.backbones.channels``); the other groups follow from ``width``.

    Returns:
        A model from (N, H, W, C) float32 in about -1..1 to (N, dimension) float32, not normalized. The host normalizes.

    Raises:
        PlanError: An unknown name, or a value out of range.
    """
    import importlib

    if name not in BACKBONES:
        near = difflib.get_close_matches(str(name), BACKBONES, n=1)
        raise PlanError(
            f"backbone: expected {', '.join(BACKBONES)}, found {name!r}",
            hint=f"did you mean {near[0]}?" if near else None,
        )
    _check(input_shape, dimension, width, seed)
    model: keras.Model = importlib.import_module(BACKBONES[name]).build(
        input_shape=tuple(input_shape), dimension=dimension, width=width, seed=seed
    )
    if channels:
        from edge_train.backbones.channels import resized

        model = resized(model, channels, seed=seed)
    return model


def _check(input_shape: tuple[int, int, int], dimension: int, width: float, seed: int) -> None:
    sides = tuple(input_shape[:2])
    if len(input_shape) != 3 or not all(_LEAST_SIDE_PX <= side <= _LARGEST_SIDE_PX for side in sides):
        raise PlanError(
            f"input_shape: expected (height, width, channels) with sides of {_LEAST_SIDE_PX}..{_LARGEST_SIDE_PX} px,"
            f" found {tuple(input_shape)}"
        )
    if input_shape[2] not in (1, 3):
        raise PlanError(f"input_shape: expected 1 or 3 channels, found {input_shape[2]}")
    if dimension < 2:
        raise PlanError(f"dimension: expected at least 2, found {dimension}")
    if not 0 < width < math.inf:
        raise PlanError(f"width: expected a number above 0, found {width!r}")
    if not 0 <= seed <= _LARGEST_SEED:
        raise PlanError(f"seed: expected 0 to {_LARGEST_SEED}, found {seed}")
