"""Covered parts: random erasing (arXiv:1708.04896), and bars such as fingers, straps and the frames of glasses."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

# Share of the covered images with a rectangle; the others have a bar.
_RECTANGLES = 0.5


def occlude(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Cover a rectangle or a bar in each image, with a colour of its own.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255.
        draws: Random numbers; B is their count.
        ranges: ``erased_area`` and ``bar_width`` are the largest sizes.
    """
    height, width, channels = (int(side) for side in pixels.shape[1:])
    x, y = tf.linspace(-0.5, 0.5, width)[None, None, :], tf.linspace(-0.5, 0.5, height)[None, :, None]
    rectangle, rectangle_shade = _rectangle(x, y, draws, ranges)
    bar, bar_shade = _bar(x, y, draws, ranges)
    erased = draws.chance(_RECTANGLES, 1, 1) > 0
    covered = tf.where(erased, rectangle, bar)
    shade = tf.where(erased, rectangle_shade, bar_shade)
    colour = draws.uniform(10.0, 235.0, 1, 1, 1)
    if channels == 3:
        # A slight hue from cold to warm, as skin, straps and paper have.
        warmth = draws.uniform(-0.1, 0.3)
        colour *= tf.stack([1 + warmth / 2, tf.ones_like(warmth), 1 - warmth], axis=1)[:, None, None, :]
    return tf.where(covered[..., None], colour * shade[..., None], pixels)


def _rectangle(x: Any, y: Any, draws: Draws, ranges: Ranges) -> tuple[Any, Any]:
    """Return the places inside a rectangle and their shade, shape (B, H, W); the grain is that of random erasing."""
    area = draws.uniform(0.02, ranges.erased_area, 1, 1)
    aspect = tf.exp(draws.symmetric(1.0, 1, 1))
    from_x, from_y = x - draws.symmetric(0.45, 1, 1), y - draws.symmetric(0.45, 1, 1)
    inside_x = tf.abs(from_x) < tf.sqrt(area * aspect) / 2
    inside_y = tf.abs(from_y) < tf.sqrt(area / aspect) / 2
    grain = draws.uniform(0.0, 0.4, 1, 1) * draws.symmetric(1.0, int(y.shape[1]), int(x.shape[2]))
    return inside_y & inside_x, 1 + grain


def _bar(x: Any, y: Any, draws: Draws, ranges: Ranges) -> tuple[Any, Any]:
    """Return the places inside a bar and their shade; the bar leaves the image on one side and has a round end."""
    half = draws.uniform(0.02, ranges.bar_width / 2, 1, 1)
    turn = draws.symmetric(math.pi, 1, 1)
    from_x, from_y = x - draws.symmetric(0.4, 1, 1), y - draws.symmetric(0.4, 1, 1)
    along = from_x * tf.cos(turn) + from_y * tf.sin(turn)
    across = from_y * tf.cos(turn) - from_x * tf.sin(turn)
    distance = tf.sqrt(tf.square(across) + tf.square(tf.minimum(along, 0.0)))
    return distance < half, 1 - 0.5 * tf.square(across / half)
