"""Layers that the backbones share; each layer has a fixed name and a seed of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import initializers, layers

#: Channels are multiples of this, because the kernels of CPUs and NPUs compute at least 8 channels at a time.
MULTIPLE = 8
#: The last feature map has at least this many rows and columns.
_LEAST_MAP_PX = 3


def rounded(channels: float) -> int:
    """Round to a multiple of ``MULTIPLE``, at least ``MULTIPLE`` and not below 90 % of the value (arXiv:1801.04381)."""
    nearest = max(MULTIPLE, int(channels + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return nearest if nearest >= 0.9 * channels else nearest + MULTIPLE


def strides(input_shape: tuple[int, int, int], base: Sequence[int]) -> list[int]:
    """Return the strides of the stages for an input size.

    The papers' strides suit 112 or 224 px. For a smaller input the first strides of 2 become 1, until the last feature map has
    at least 3 rows and columns.

    Args:
        input_shape: (height, width, channels).
        base: Strides of the paper, in the order of the stages.
    """
    result = list(base)
    side = min(input_shape[:2])
    for place, stride in enumerate(result):
        if math.ceil(side / math.prod(result)) >= _LEAST_MAP_PX:
            break
        result[place] = 1 if stride == 2 else stride
    return result


class Blocks:
    """Builder of convolutions with batch normalization.

    Args:
        width: Factor for the number of channels, above 0.
        seed: Seed of all weights.
        activation: Activation of a layer that names none: ``relu``, ``relu6``, ``prelu`` or ``hard_swish``.
    """

    def __init__(self, *, width: float, seed: int, activation: str) -> None:
        self.width, self._seed, self._activation = width, seed, activation
        self._count = 0

    def channels(self, base: int) -> int:
        """Multiply the paper's number of channels by the width, and round it."""
        return rounded(base * self.width)

    def _next_seed(self) -> int:
        self._count += 1
        return int(np.random.SeedSequence([self._seed, self._count]).generate_state(1)[0] >> 1)

    def activated(self, x: Any, name: str, activation: str | None = None) -> Any:
        """Apply an activation; None for the builder's, ``linear`` for none."""
        kind = activation or self._activation
        if kind == "linear":
            return x
        if kind == "prelu":
            start = initializers.Constant(0.25)
            return layers.PReLU(alpha_initializer=start, shared_axes=[1, 2], name=f"{name}_prelu")(x)
        return layers.Activation(kind, name=f"{name}_{kind}")(x)

    def _normalized(self, x: Any, name: str) -> Any:
        return layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_bn")(x)

    def convolution(
        self,
        x: Any,
        channels: int,
        name: str,
        *,
        size: int = 1,
        stride: int = 1,
        activation: str | None = None,
    ) -> Any:
        """Apply a convolution without bias, batch normalization and an activation."""
        start = initializers.HeNormal(seed=self._next_seed())
        x = layers.Conv2D(
            channels,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=start,
            name=name,
        )(x)
        return self.activated(self._normalized(x, name), name, activation)

    def depthwise(
        self, x: Any, name: str, *, size: int = 3, stride: int = 1, activation: str | None = None
    ) -> Any:
        """Apply a depthwise convolution without bias, batch normalization and an activation."""
        # Keras counts all channels as the fan-in of a depthwise filter, but each filter has only size x size inputs.
        start = initializers.RandomNormal(stddev=math.sqrt(2) / size, seed=self._next_seed())
        x = layers.DepthwiseConv2D(
            size, strides=stride, padding="same", use_bias=False, depthwise_initializer=start, name=name
        )(x)
        return self.activated(self._normalized(x, name), name, activation)

    def inverted_residual(
        self,
        x: Any,
        name: str,
        *,
        inside: int,
        channels: int,
        stride: int,
        residual: bool,
        size: int = 3,
        expand: bool = True,
        squeeze: bool = False,
        activation: str | None = None,
    ) -> Any:
        """Apply an inverted residual block with a linear projection (arXiv:1801.04381).

        Args:
            x: The feature map.
            name: Prefix of the layers' names.
            inside: Channels between expansion and projection.
            channels: Channels of the result.
            stride: Stride of the depthwise convolution.
            residual: True adds ``x`` to the result; both must have the same shape.
            size: Side of the depthwise filter.
            expand: False leaves out the first 1x1 convolution; ``inside`` is not used then.
            squeeze: True adds squeeze-and-excite after the depthwise convolution (arXiv:1905.02244).
            activation: Activation inside the block; None for the builder's.
        """
        y = self.convolution(x, inside, f"{name}_expand", activation=activation) if expand else x
        y = self.depthwise(y, f"{name}_depthwise", size=size, stride=stride, activation=activation)
        if squeeze:
            y = self.squeeze_excite(y, f"{name}_squeeze")
        y = self.convolution(y, channels, f"{name}_project", activation="linear")
        return layers.Add(name=f"{name}_add")([x, y]) if residual else y

    def squeeze_excite(self, x: Any, name: str) -> Any:
        """Scale each channel by a factor in 0..1 that depends on the channels' means (arXiv:1709.01507)."""
        channels = x.shape[-1]
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
        start = initializers.HeNormal(seed=self._next_seed())
        y = layers.Conv2D(rounded(channels / 4), 1, kernel_initializer=start, name=f"{name}_reduce")(pooled)
        y = layers.Activation("relu", name=f"{name}_reduce_relu")(y)
        start = initializers.GlorotUniform(seed=self._next_seed())
        y = layers.Conv2D(channels, 1, kernel_initializer=start, name=f"{name}_excite")(y)
        y = layers.Activation("hard_sigmoid", name=f"{name}_excite_hard_sigmoid")(y)
        return layers.Multiply(name=f"{name}_scale")([x, y])

    def global_depthwise(self, x: Any, name: str) -> Any:
        """Apply a linear depthwise filter of the size of the feature map (arXiv:1804.07573).

        Unlike an average, it can give the centre of the picture more weight.
        """
        size = tuple(x.shape[1:3])
        start = initializers.RandomNormal(stddev=1 / math.sqrt(size[0] * size[1]), seed=self._next_seed())
        x = layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=start, name=name)(x)
        return self._normalized(x, name)

    def embedding(self, x: Any, dimension: int) -> Any:
        """Apply the linear layer from (N, 1, 1, C) to the embedding, (N, dimension), with batch normalization."""
        start = initializers.GlorotUniform(seed=self._next_seed())
        x = layers.Conv2D(dimension, 1, use_bias=False, kernel_initializer=start, name="project")(x)
        x = layers.Flatten(name="flat")(x)
        return layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name="embedding")(x)
