"""MobileFaceNet (arXiv:1804.07573): inverted residuals with PReLU and a global depthwise head, made for 112 px."""

from __future__ import annotations

import keras

from edge_train.backbones.blocks import Blocks, strides

_STEM, _FEATURES = 64, 512
_STAGES = (  # expansion, channels, blocks, stride of the first block; a stride of 1 continues the residual stream
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
)


def build(*, input_shape: tuple[int, int, int], dimension: int, width: float, seed: int) -> keras.Model:
    """Build the untrained network; see ``edge_train.backbones.build_backbone``."""
    blocks = Blocks(width=width, seed=seed, activation="prelu")
    first, *rest = strides(input_shape, (2, *(stage[3] for stage in _STAGES)))
    entry = keras.Input(input_shape, name="image")
    x = blocks.convolution(entry, blocks.channels(_STEM), "stem", size=3, stride=first)
    x = blocks.depthwise(x, "stem_depthwise")
    for number, ((expansion, base, count, stated), stride) in enumerate(
        zip(_STAGES, rest, strict=True), start=1
    ):
        for place in range(count):
            x = blocks.inverted_residual(
                x,
                f"stage{number}_block{place + 1}",
                inside=expansion * x.shape[-1],
                channels=blocks.channels(base),
                stride=stride if place == 0 else 1,
                residual=place > 0 or stated == 1,
            )
    x = blocks.convolution(x, blocks.channels(_FEATURES), "features")
    return keras.Model(
        entry, blocks.embedding(blocks.global_depthwise(x, "pool"), dimension), name="mobilefacenet"
    )
