"""Covered parts: random erasing (arXiv:1708.04896), and bars such as fingers, straps and the frames of glasses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

# Share of the covered images with a rectangle; the others have a bar.
_RECTANGLES = 0.5
#: Longer than any image, as a share of the side.
_ENDLESS = 4.0


def occlude(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Cover a turned rectangle, or a bar that leaves the image on one side, with a colour of its own for each image.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255.
        draws: Random numbers; B is their count.
        ranges: ``erased_area`` and ``bar_width`` are the largest sizes.
    """
    height, width, channels = (int(side) for side in pixels.shape[1:])
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, None, :]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[None, :, None]
    erased = draws.chance(_RECTANGLES, 1, 1) > 0
    area, aspect = draws.uniform(0.02, ranges.erased_area, 1, 1), tf.exp(draws.symmetric(1.0, 1, 1))
    half_length = tf.sqrt(area * aspect) / 2
    half = tf.where(erased, tf.sqrt(area / aspect) / 2, draws.uniform(0.02, ranges.bar_width / 2, 1, 1))
    turn = draws.symmetric(math.pi, 1, 1)
    cosine, sine = tf.cos(turn), tf.sin(turn)
    centre_x, centre_y = draws.symmetric(0.45, 1, 1), draws.symmetric(0.45, 1, 1)
    along = (x - centre_x) * cosine + (y - centre_y) * sine
    across = (y - centre_y) * cosine - (x - centre_x) * sine
    covered = (
        (along > tf.where(erased, -half_length, 0.0))
        & (along < tf.where(erased, half_length, _ENDLESS))
        & (tf.abs(across) < half)
    )
    # A bar is darker towards its edges, as a finger is.
    shade = 1 - tf.where(erased, 0.0, 0.5) * tf.square(across / half)
    return tf.where(covered[..., None], _colours(draws, channels) * shade[..., None], pixels)


def _colours(draws: Draws, channels: int) -> Any:
    """Return a colour for each image, shape (B, 1, 1, C), from cold to warm, as skin, straps and paper have."""
    colour = draws.uniform(10.0, 235.0, 1, 1, 1)
    if channels == 1:
        return colour
    warmth = draws.uniform(-0.1, 0.3)
    return colour * tf.stack([1 + warmth / 2, tf.ones_like(warmth), 1 - warmth], axis=1)[:, None, None, :]
