"""Change of light and of the camera's response: exposure, colour temperature, light gradient, contrast, gamma, noise.

Each pass over a batch costs about as much as any other, whatever it computes. So the changes of colour are one matrix for each
image, and the noise comes from a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

# Weights of ITU-R BT.601 luma.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_MIDDLE_GRAY = 127.5
# Number of values of the table of noise beyond those of a batch; the place in the table is drawn for each step.
_MORE_NOISE = 1 << 18


def light(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Apply exposure, colour temperature, saturation, contrast and a light gradient.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255; C is 1 or 3.
        draws: Random numbers.
        ranges: Widths of the random changes.

    Returns:
        The same shape; values may lie outside 0..255.
    """
    height, width, channels = (int(side) for side in pixels.shape[1:])
    contrast = tf.exp(draws.symmetric(ranges.contrast, 1, 1, 1))
    gain = tf.exp(draws.symmetric(ranges.exposure, 1, 1, 1)) * contrast
    if channels == 3 and (ranges.temperature or ranges.saturation):
        matrices = _colour_matrices(draws, ranges) * gain[:, :, :, 0]
        flat = tf.matmul(tf.reshape(pixels, [-1, height * width, channels]), matrices)
        pixels = tf.reshape(flat, [-1, height, width, channels])
    else:
        pixels = pixels * gain
    if ranges.gradient:
        slope = draws.symmetric(ranges.gradient, 2)
        x = np.repeat(np.linspace(-1.0, 1.0, width, dtype=np.float32), channels)
        y = np.linspace(-1.0, 1.0, height, dtype=np.float32)
        rows = tf.reshape(pixels, [-1, height, width * channels])
        rows = rows * (1 + slope[:, 0, None, None] * x) * (1 + slope[:, 1, None, None] * y[:, None])
        pixels = tf.reshape(rows, [-1, height, width, channels])
    if ranges.contrast:
        pixels = pixels + _MIDDLE_GRAY * (1 - contrast)
    return pixels


def _colour_matrices(draws: Draws, ranges: Ranges) -> Any:
    """Return matrices that change saturation, then the gains of red, green and blue, shape (B, 3, 3)."""
    warmth, tint = draws.symmetric(ranges.temperature), draws.symmetric(ranges.temperature / 4)
    gains = tf.exp(tf.stack([warmth, tint, -warmth], axis=1))
    colour = tf.exp(draws.symmetric(ranges.saturation, 1, 1))
    saturate = colour * np.eye(3, dtype=np.float32) + (1 - colour) * np.repeat(_LUMA[:, None], 3, axis=1)
    return saturate * gains[:, None, :]


def gamma(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Bend the tone curve: u + g u (1 - u) for u in 0..1, which is close to a power; returns 0..255."""
    bend = draws.symmetric(ranges.gamma, 1, 1, 1)
    pixels = tf.clip_by_value(pixels, 0.0, 255.0)
    return pixels * ((1 + bend) - (bend / 255.0) * pixels)


def sensor_noise(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Add read noise, and shot noise with a variance proportional to the pixel value.

    Args:
        pixels: Shape (B, H, W, C), float32; B is the draws' count.
        draws: Random numbers.
        ranges: ``read_noise`` and ``shot_noise``.
    """
    read = draws.uniform(0.0, ranges.read_noise, 1, 1, 1)
    shot = draws.uniform(0.0, ranges.shot_noise, 1, 1, 1)
    values = int(np.prod(pixels.shape[1:]))
    # Images begin at random places of one table of normal numbers.
    table = tf.constant(np.random.default_rng(0).standard_normal(_MORE_NOISE + values, dtype=np.float32))
    places = tf.random.stateless_uniform([draws.count], draws.new_seed(), 0, _MORE_NOISE, tf.int32)
    noise = tf.map_fn(
        lambda place: tf.slice(table, [place[0]], [values]), places[:, None], fn_output_signature=tf.float32
    )
    deviation = read + shot * tf.sqrt(tf.maximum(pixels, 0.0))
    return pixels + deviation * tf.reshape(noise, tf.shape(pixels))
