"""Change of light and of the camera's response: exposure, colour temperature, light gradient, contrast, gamma, noise."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

# Weights of ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)
#: Standard deviation of a uniform number of -1..1.
_UNIFORM_DEVIATION = 3**-0.5


def light(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Apply exposure, colour temperature, a light gradient and contrast.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255; C is 1 or 3.
        draws: Random numbers.
        ranges: Widths of the random changes.

    Returns:
        The same shape; values may lie outside 0..255.
    """
    height, width, channels = (int(side) for side in pixels.shape[1:])
    gain = tf.exp(draws.symmetric(ranges.exposure, 1, 1, 1))
    if channels == 3 and ranges.temperature:
        warmth, tint = draws.symmetric(ranges.temperature), draws.symmetric(ranges.temperature / 4)
        gain *= tf.exp(tf.stack([warmth, tint, -warmth], axis=1))[:, None, None, :]
    # Contrast around the middle grey of the exposed image.
    contrast = tf.exp(draws.symmetric(ranges.contrast, 1, 1, 1))
    pixels = pixels * (gain * contrast) + 127.5 * (1 - contrast)
    if channels == 3 and ranges.saturation:
        gray = tf.tensordot(pixels, tf.constant(_LUMA), 1)[..., None]
        pixels = gray + (pixels - gray) * tf.exp(draws.symmetric(ranges.saturation, 1, 1, 1))
    if ranges.gradient:
        slope = draws.symmetric(ranges.gradient, 2)
        x, y = tf.linspace(-1.0, 1.0, width), tf.linspace(-1.0, 1.0, height)
        field = 1 + slope[:, 0, None, None] * x + slope[:, 1, None, None] * y[:, None]
        pixels = pixels * field[..., None]
    return pixels


def gamma(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Bend the tone curve: u + g u (1 - u), which is close to a power and much cheaper; returns 0..255."""
    unit = tf.clip_by_value(pixels / 255.0, 0.0, 1.0)
    return 255.0 * unit * (1 + draws.symmetric(ranges.gamma, 1, 1, 1) * (1 - unit))


def sensor_noise(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Add read noise and shot noise, the variance of which is proportional to the pixel value.

    The noise is uniform instead of normal: after quantization the difference is small, and it costs a third.
    """
    read = draws.uniform(0.0, ranges.read_noise, 1, 1, 1)
    shot = draws.uniform(0.0, ranges.shot_noise, 1, 1, 1)
    deviation = read + shot * tf.sqrt(tf.maximum(pixels, 0.0))
    return pixels + draws.symmetric(1 / _UNIFORM_DEVIATION, *pixels.shape[1:]) * deviation
