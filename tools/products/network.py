"""Backbone: MobileFaceNet (arXiv:1804.07573) at half width for products of 96 px.

The graph ends at the embedding. The host does the L2 normalization, in one place for every target. The ArcFace head
is used only in training. Importing this module loads TensorFlow.
"""

from __future__ import annotations

import math

import keras
from keras import initializers, layers

from tools.products.photos import SIZE_PX

_STEM = 32
_BLOCKS = (  # expansion, channels, repeats, stride of the first repeat
    (2, 32, 3, 2),
    (4, 64, 1, 2),
    (2, 64, 3, 1),
    (4, 96, 1, 2),
    (2, 96, 2, 1),
)
_FEATURES = 256


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x)


def _activated(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.PReLU(alpha_initializer="zeros", shared_axes=[1, 2])(_normalized(x))


def _pointwise(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal")(x)


def _depthwise(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    # Keras counts all channels as the fan-in of a depthwise filter, but each filter has only 9 inputs.
    start = initializers.RandomNormal(stddev=math.sqrt(2 / 9))
    return layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, depthwise_initializer=start
    )(x)


def _bottleneck(x: keras.KerasTensor, expansion: int, channels: int, stride: int) -> keras.KerasTensor:
    """Add an inverted residual with a linear projection (arXiv:1801.04381)."""
    inside = _activated(_pointwise(x, expansion * x.shape[-1]))
    inside = _activated(_depthwise(inside, stride))
    inside = _normalized(_pointwise(inside, channels))
    return layers.Add()([x, inside]) if stride == 1 and x.shape[-1] == channels else inside


def build(embedding: int = 96) -> keras.Model:
    """Return the untrained backbone.

    Args:
        embedding: Length of the output, 64..128.

    Returns:
        A model from (N, 96, 96, 3) float32 in about -1..1 to (N, embedding) float32, not normalized.
    """
    import keras

    entry = keras.Input((SIZE_PX, SIZE_PX, 3), name="image")
    x = layers.Conv2D(_STEM, 3, strides=2, padding="same", use_bias=False, kernel_initializer="he_normal")(
        entry
    )
    x = _activated(x)
    x = _activated(_depthwise(x, 1))
    for expansion, channels, repeats, first in _BLOCKS:
        for place in range(repeats):
            x = _bottleneck(x, expansion, channels, first if place == 0 else 1)
    x = _activated(_pointwise(x, _FEATURES))
    # Global depthwise convolution: unlike an average, it can give the centre of the picture more weight.
    start = initializers.RandomNormal(stddev=1 / x.shape[1])
    x = _normalized(layers.DepthwiseConv2D(x.shape[1], use_bias=False, depthwise_initializer=start)(x))
    x = layers.Flatten()(_pointwise(x, embedding))
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name="embedding")(x)
    return keras.Model(entry, x, name="products")
