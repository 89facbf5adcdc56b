"""JPEG compression by the real codec, with a quality of its own for each image."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edge_train.data.augment.draws import Draws
from edge_train.data.augment.ranges import Ranges

_HIGHEST_QUALITY = 95.0


def compress(pixels: Any, draws: Draws, ranges: Ranges) -> Any:
    """Encode and decode images as JPEG files of random qualities.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255; C is 1 or 3.
        draws: Random numbers; B is their count.
        ranges: ``jpeg_quality`` is the lowest quality, 1..95; the highest is 95.
    """
    channels = int(pixels.shape[3])
    qualities = tf.cast(draws.uniform(float(ranges.jpeg_quality), _HIGHEST_QUALITY), tf.int32)

    def through_file(item: Any) -> Any:
        image, quality = item
        content = tf.raw_ops.EncodeJpegVariableQuality(images=image, quality=quality)
        return tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")

    whole = tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)
    decoded = tf.map_fn(through_file, (whole, qualities), fn_output_signature=tf.uint8)
    return tf.ensure_shape(tf.cast(decoded, tf.float32), pixels.shape)
