"""MobileNetV2 (arXiv:1801.04381): inverted residuals with ReLU6 and an average pool, made for 224 px."""

from __future__ import annotations

import keras
from keras import layers

from edge_train.backbones.blocks import Blocks, strides

_STEM, _FEATURES = 32, 1280
_STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def build(*, input_shape: tuple[int, int, int], dimension: int, width: float, seed: int) -> keras.Model:
    """Build the untrained network; see ``edge_train.backbones.build_backbone``.

    As in the paper, a width below 1 leaves the last 1x1 convolution at 1280 channels.
    """
    blocks = Blocks(width=width, seed=seed, activation="relu6")
    first, *rest = strides(input_shape, (2, *(stage[3] for stage in _STAGES)))
    entry = keras.Input(input_shape, name="image")
    x = blocks.convolution(entry, blocks.channels(_STEM), "stem", size=3, stride=first)
    for number, ((expansion, base, count, _), stride) in enumerate(zip(_STAGES, rest, strict=True), start=1):
        for place in range(count):
            x = blocks.inverted_residual(
                x,
                f"stage{number}_block{place + 1}",
                inside=expansion * x.shape[-1],
                channels=blocks.channels(base),
                stride=stride if place == 0 else 1,
                residual=place > 0,
                expand=expansion > 1,
            )
    x = blocks.convolution(x, max(_FEATURES, blocks.channels(_FEATURES)), "features")
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    return keras.Model(entry, blocks.embedding(x, dimension), name="mobilenet_v2")
