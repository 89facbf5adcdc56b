"""Small pictures of drawn subjects, and networks that learn them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.model.card import InputContract

if TYPE_CHECKING:
    import keras

SIDE_PX = 16
CONTRACT = InputContract(SIDE_PX, SIDE_PX, "rgb", (127.5,) * 3, (128.0,) * 3)


def draw_subjects(folder: Path, *, subjects: int, images: int, seed: int = 0) -> Path:
    """Draw each subject as 4 x 4 coloured squares with noise, one PNG per image, and return the folder."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for subject in range(subjects):
        squares = rng.integers(40, 216, (4, 4, 3)).repeat(4, axis=0).repeat(4, axis=1)
        (folder / f"subject{subject:03}").mkdir(parents=True)
        for image in range(images):
            noisy = np.clip(squares + rng.normal(0, 12, squares.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"subject{subject:03}" / f"{image}.png")
    return folder


def small_backbone(*, dimension: int = 16, seed: int = 0) -> keras.Model:
    """Build a network with a convolution, batch normalization, dropout and an embedding."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    entry = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(entry)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    return keras.Model(entry, layers.Dense(dimension)(x))
