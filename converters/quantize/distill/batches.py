"""Shuffled and augmented batches of crops for distillation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_sdk.types import UInt8Array

#: Crops per step; a larger batch makes a step slower without learning more from it.
BATCH = 8
_SHIFT = 0.05
_CONTRAST = 0.3
_BRIGHTNESS = 25.0


def batches(pixels: UInt8Array, random: np.random.Generator) -> Iterator[UInt8Array]:
    """Yield augmented batches endlessly, shape (BATCH, H, W, C); every image is used once before any is used again."""
    pending: list[int] = []
    while True:
        while len(pending) < BATCH:
            pending += random.permutation(len(pixels)).tolist()
        chosen, pending = pending[:BATCH], pending[BATCH:]
        yield np.stack([augment(pixels[i], random) for i in chosen])


def augment(crop: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Mirror and shift a crop and change its brightness and contrast at random; a shift repeats the pixels at the edge."""
    height, width = crop.shape[:2]
    mirrored = crop[:, ::-1] if random.random() < 0.5 else crop
    reach = max(1, round(_SHIFT * min(height, width)))
    y, x = random.integers(0, 2 * reach + 1, 2)
    shifted = np.pad(mirrored, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    moved = shifted[y : y + height, x : x + width].astype(np.float32)
    middle = moved.mean()
    contrast, brightness = (
        random.uniform(1 - _CONTRAST, 1 + _CONTRAST),
        random.uniform(-_BRIGHTNESS, _BRIGHTNESS),
    )
    bright = np.rint((moved - middle) * contrast + middle + brightness)
    changed: UInt8Array = np.clip(bright, 0, 255).astype(np.uint8)
    return changed
