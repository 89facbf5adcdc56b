"""MobileNetV3-Small (arXiv:1905.02244): inverted residuals with squeeze-and-excite and hard-swish, made for 224 px."""

from __future__ import annotations

import keras
from keras import layers

from edge_train.backbones.blocks import Blocks, strides

_STEM, _FEATURES, _LAST = 16, 576, 1024
_BLOCKS = (  # filter side, expansion, channels, squeeze-and-excite, activation, stride
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1),
    (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1),
    (5, 576, 96, True, "hard_swish", 1),
)


def build(*, input_shape: tuple[int, int, int], dimension: int, width: float, seed: int) -> keras.Model:
    """Build the untrained network; see ``edge_train.backbones.build_backbone``.

    As in the paper, a width below 1 leaves the last 1x1 convolution before the embedding at 1024 channels.
    """
    blocks = Blocks(width=width, seed=seed, activation="hard_swish")
    first, *rest = strides(input_shape, (2, *(block[5] for block in _BLOCKS)))
    entry = keras.Input(input_shape, name="image")
    x = blocks.convolution(entry, blocks.channels(_STEM), "stem", size=3, stride=first)
    previous = _STEM
    for number, ((size, inside, base, squeeze, activation, stated), stride) in enumerate(
        zip(_BLOCKS, rest, strict=True), start=1
    ):
        x = blocks.inverted_residual(
            x,
            f"block{number}",
            inside=blocks.channels(inside),
            channels=blocks.channels(base),
            stride=stride,
            residual=stated == 1 and base == previous,
            size=size,
            expand=inside != previous,
            squeeze=squeeze,
            activation=activation,
        )
        previous = base
    x = blocks.convolution(x, blocks.channels(_FEATURES), "features")
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    start = keras.initializers.HeNormal(seed=seed)
    x = layers.Conv2D(max(_LAST, blocks.channels(_LAST)), 1, kernel_initializer=start, name="last")(x)
    x = blocks.activated(x, "last")
    return keras.Model(entry, blocks.embedding(x, dimension), name="mobilenet_v3_small")
