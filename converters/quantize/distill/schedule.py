"""The rate of each training step, and the crops it sees."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edge_sdk.types import UInt8Array

#: Crops in a step: more make a step slower and learn no more from it.
BATCH = 8
#: Share of the steps with the full rate; the rest brings it down to zero.
STABLE_SHARE = 0.6
#: Of a weight, relative to the root mean square of its channel; so networks of any scale learn alike. The first for a
#: network that became another function, the second for one that rounding alone has moved.
FAR_RATE, NEAR_RATE = 2e-3, 5e-4
_WARM_UP_STEPS = 50
_SHIFT = 0.05
_CONTRAST = 0.3
_BRIGHTNESS = 25.0


def rate(done: int, steps: int, highest: float) -> float:
    """The rate of the next step: warmed up, then constant, then down to zero along a cosine.

    Args:
        done: How many steps were done.
        steps: How many there will be; 0 where that is not settled yet.
        highest: The rate that is held.
    """
    warm = min(1.0, (done + 1) / _WARM_UP_STEPS)
    falling = (done - STABLE_SHARE * steps) / ((1 - STABLE_SHARE) * steps) if steps else 0.0
    return highest * warm * 0.5 * (1 + math.cos(math.pi * max(falling, 0.0)))


def batches(pixels: UInt8Array, random: np.random.Generator) -> Iterator[UInt8Array]:
    """Augmented crops without end, shape (BATCH, H, W, C): each image once before any comes again."""
    waiting: list[int] = []
    while True:
        while len(waiting) < BATCH:
            waiting += random.permutation(len(pixels)).tolist()
        chosen, waiting = waiting[:BATCH], waiting[BATCH:]
        yield np.stack([augment(pixels[i], random) for i in chosen])


def augment(crop: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Mirror, shift, brighten and flatten a crop; its edge is repeated where it was moved away from."""
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
