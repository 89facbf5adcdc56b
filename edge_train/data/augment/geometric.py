"""Change of place and shape: flip, rotation, scale, shear, shift and perspective in one resampling."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges


def warp(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Resample images bilinearly under a random projective map around their centre.

    Args:
        pixels: Shape (B, H, W, C), float32.
        draws: Random numbers.
        ranges: Widths of the random changes.
    """
    height, width = int(pixels.shape[1]), int(pixels.shape[2])
    maps = _maps(draws, ranges, height, width)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.reshape(maps, [-1, 9])[:, :8] / maps[:, 2, 2, None],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=ranges.fill.upper(),
    )


def _maps(draws: Draws, ranges: Ranges, height: int, width: int) -> Any:
    """Return the maps from a place in the result to a place in the image, (x, y, 1), shape (B, 3, 3)."""
    angle = draws.symmetric(ranges.rotation)
    # A common factor and a change of the aspect ratio; their logarithms are uniform.
    common, aspect = draws.symmetric(ranges.scale), draws.symmetric(ranges.aspect)
    across, down = tf.exp(-common - aspect / 2), tf.exp(-common + aspect / 2)
    if ranges.flip:
        across *= 1 - 2 * draws.chance(0.5)
    shear = draws.symmetric(ranges.shear)
    shift = draws.symmetric(ranges.shift, 2)
    tilt = draws.symmetric(ranges.perspective, 2)
    zero, unit = tf.zeros_like(angle), tf.ones_like(angle)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2

    def matrix(*values: Any) -> Any:
        return tf.reshape(tf.stack(values, axis=1), [-1, 3, 3])

    turn = matrix(tf.cos(angle), -tf.sin(angle), zero, tf.sin(angle), tf.cos(angle), zero, zero, zero, unit)
    stretch = matrix(across, shear * across, zero, zero, down, zero, zero, zero, unit)
    # A tilt of t makes one edge 1 + t times as large and the opposite edge 1 - t times.
    tilted = matrix(
        unit, zero, zero, zero, unit, zero, tilt[:, 0] / (width / 2), tilt[:, 1] / (height / 2), unit
    )
    to_centre = matrix(
        unit,
        zero,
        -centre_x - shift[:, 0] * width,
        zero,
        unit,
        -centre_y - shift[:, 1] * height,
        zero,
        zero,
        unit,
    )
    back = tf.constant([[1, 0, centre_x], [0, 1, centre_y], [0, 0, 1]], tf.float32)
    return tf.linalg.matmul(back, turn @ stretch @ tilted @ to_centre)
