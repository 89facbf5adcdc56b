"""A backbone for int8: depthwise-separable residual blocks with ReLU, batch normalization that folds, and a linear head."""

from __future__ import annotations

import math

import keras
from keras import initializers, layers

_STAGES = (
    (1.0, 2, 2),
    (2.0, 2, 2),
    (4.0, 3, 2),
)  # channels as a multiple of the stem, blocks, stride of the first
_STEM = 24
_FEATURES = 6.0


def build(
    *, input_shape: tuple[int, int, int], dimension: int, width: float = 1.0, seed: int = 0
) -> keras.Model:
    """Build the untrained network; see ``edge_train.backbones.build_backbone``."""
    keras.utils.set_random_seed(seed)
    stem = max(8, 8 * round(_STEM * width / 8))
    entry = keras.Input(input_shape, name="image")
    x = _convolution(entry, stem, 3, 2 if min(input_shape[:2]) > 48 else 1)
    for multiple, blocks, stride in _STAGES:
        for place in range(blocks):
            x = _block(x, int(stem * multiple), stride if place == 0 else 1)
    x = _convolution(x, int(stem * _FEATURES), 1, 1)
    size = tuple(x.shape[1:3])
    start = initializers.RandomNormal(stddev=1 / math.sqrt(size[0] * size[1]))
    x = layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=start)(x)
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x)
    x = layers.Flatten()(layers.Conv2D(dimension, 1, use_bias=False)(x))
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name="embedding")(x)
    return keras.Model(entry, x, name="quantized")


def _convolution(x: keras.KerasTensor, channels: int, size: int, stride: int) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x))


def _block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    # Keras counts all channels as the fan-in of a depthwise filter, but each filter has only 9 inputs.
    start = initializers.RandomNormal(stddev=math.sqrt(2 / 9))
    y = layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, depthwise_initializer=start
    )(x)
    y = layers.ReLU()(layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(y))
    y = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal")(y)
    y = layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(y)
    if stride == 1 and x.shape[-1] == channels:
        y = layers.Add()([x, y])
    return layers.ReLU()(y)
