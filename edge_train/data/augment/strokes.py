"""Thicker and thinner strokes of drawings: dark ink on light paper."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges


def change_strokes(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Blend images with their 3x3 minimum (thicker dark strokes) or maximum (thinner ones).

    Args:
        pixels: Shape (B, H, W, C), float32.
        draws: Random numbers.
        ranges: ``stroke_change`` is the largest share of the minimum or maximum.
    """
    amount = draws.symmetric(ranges.stroke_change, 1, 1, 1)
    lightest = tf.nn.max_pool2d(pixels, 3, 1, "SAME")
    darkest = -tf.nn.max_pool2d(-pixels, 3, 1, "SAME")
    # Thinning by a whole pixel on each side would remove thin strokes.
    thinner = pixels + 0.4 * amount * (lightest - pixels)
    return tf.where(amount > 0, thinner, pixels - 0.7 * amount * (darkest - pixels))
