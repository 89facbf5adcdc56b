"""A backbone for int8: dense 3x3 convolutions with ReLU, batch normalization that folds, and a linear depthwise head.

Integer instructions multiply many channels of one position at a time, so int8 gains most in dense convolutions. A depthwise
convolution, an addition and a PReLU take nearly as long in int8 as in float. So this network has dense convolutions in few
blocks (ResNet, arXiv:1512.03385) in place of depthwise-separable ones, and bottlenecks in the last stage, which has most
channels. It ends with MobileFaceNet's global depthwise convolution (arXiv:1804.07573), which gives the parts of the picture
their own weights, unlike an average.
"""

from __future__ import annotations

import math

import keras
from keras import initializers, layers

_STEM = 16
_STAGES = (32, 64)  # channels; each stage halves the sides and has one residual block
_LAST, _BOTTLENECKS, _BOTTLENECK = 128, 2, 64
_FEATURES = 256
#: Inputs whose shorter side is at most this many pixels keep their resolution in the stem.
_SMALL_PX = 48


def build(
    *, input_shape: tuple[int, int, int], dimension: int, width: float = 1.0, seed: int = 0
) -> keras.Model:
    """Build the untrained network; see ``edge_train.backbones.build_backbone``."""
    keras.utils.set_random_seed(seed)

    def channels(count: int) -> int:
        return max(8, 8 * round(count * width / 8))

    entry = keras.Input(input_shape, name="image")
    x = _activated(entry, channels(_STEM), 3, 2 if min(input_shape[:2]) > _SMALL_PX else 1)
    for count in _STAGES:
        x = _activated(x, channels(count), 3, 2)
        x = _residual(x, _activated(x, channels(count), 3))
    x = _activated(x, channels(_LAST), 3, 2)
    for _ in range(_BOTTLENECKS):
        inside = _activated(x, channels(_BOTTLENECK), 1)
        x = _residual(x, _activated(inside, channels(_BOTTLENECK), 3), 1)
    x = _activated(x, channels(_FEATURES), 1)
    size = tuple(x.shape[1:3])
    start = initializers.RandomNormal(stddev=1 / math.sqrt(size[0] * size[1]))
    x = _normalized(layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=start)(x))
    x = layers.Flatten()(layers.Conv2D(dimension, 1, use_bias=False)(x))
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name="embedding")(x)
    return keras.Model(entry, x, name="quantized")


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x)


def _convolution(x: keras.KerasTensor, channels: int, size: int, stride: int = 1) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        channels, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return _normalized(convolution(x))


def _activated(x: keras.KerasTensor, channels: int, size: int, stride: int = 1) -> keras.KerasTensor:
    return layers.ReLU()(_convolution(x, channels, size, stride))


def _residual(x: keras.KerasTensor, inside: keras.KerasTensor, size: int = 3) -> keras.KerasTensor:
    """Add the last convolution of a block to its input; the ReLU after the addition is fused with it."""
    return layers.ReLU()(layers.Add()([x, _convolution(inside, x.shape[-1], size)]))
