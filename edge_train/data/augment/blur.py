"""Defocus and motion blur; each image has a filter of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

#: Largest side of a filter in pixels, an odd number.
MAX_FILTER_PX = 9
#: Half of the pixel, in standard deviations: the blur of a sharp image.
_SHARP_PX = 0.3


def blur(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Blur images along a random direction and across it, with widths of their own.

    A width of 0 across is motion blur, equal widths are defocus.

    Args:
        pixels: Shape (B, H, W, C), float32.
        draws: Random numbers; B is their count.
        ranges: ``defocus`` and ``motion`` in pixels.
    """
    height, width, channels = (int(side) for side in pixels.shape[1:])
    largest = max(ranges.defocus, ranges.motion)
    side = min(MAX_FILTER_PX, 2 * int(1.5 * largest + 0.5) + 1, 2 * ((min(height, width) - 1) // 2) + 1)
    filters = _filters(draws, ranges, side)
    # Images become channels of one picture, because the convolution has a filter for each channel, not for each image.
    count = draws.count * channels
    stacked = tf.reshape(tf.transpose(pixels, [1, 2, 0, 3]), [1, height, width, count])
    padding = side // 2
    stacked = tf.pad(stacked, [[0, 0], [padding, padding], [padding, padding], [0, 0]], "SYMMETRIC")
    each = tf.repeat(tf.transpose(filters, [1, 2, 0]), channels, axis=2)[..., None]
    blurred = tf.nn.depthwise_conv2d(stacked, each, strides=[1, 1, 1, 1], padding="VALID")
    return tf.transpose(tf.reshape(blurred, [height, width, draws.count, channels]), [2, 0, 1, 3])


def _filters(draws: Draws, ranges: Ranges, side: int) -> Any:
    """Return anisotropic Gaussian filters, shape (B, side, side); each has the sum 1."""
    moving = draws.chance(ranges.motion / (ranges.defocus + ranges.motion), 1, 1)
    across = _SHARP_PX + (1 - moving) * draws.uniform(0.0, ranges.defocus, 1, 1)
    # A line of length L has the standard deviation L / sqrt(12).
    along = tf.where(moving > 0, _SHARP_PX + draws.uniform(0.0, ranges.motion, 1, 1), across)
    turn = draws.uniform(0.0, 3.14159265, 1, 1)
    place = tf.range(side, dtype=tf.float32) - side // 2
    x, y = place[None, None, :], place[None, :, None]
    u, v = x * tf.cos(turn) + y * tf.sin(turn), y * tf.cos(turn) - x * tf.sin(turn)
    values = tf.exp(-0.5 * (tf.square(u / along) + tf.square(v / across)))
    return values / tf.reduce_sum(values, axis=[1, 2], keepdims=True)
