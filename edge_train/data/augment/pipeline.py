"""The changes of a set in the order of the physical events: view, obstacles, light, lens, sensor, file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from edge_train.data.augment.blur import blur
from edge_train.data.augment.compression import compress
from edge_train.data.augment.draws import Draws
from edge_train.data.augment.geometric import warp
from edge_train.data.augment.occlusion import occlude
from edge_train.data.augment.photometric import gamma, light, sensor_noise
from edge_train.data.augment.ranges import Ranges
from edge_train.data.augment.strokes import change_strokes

# Side of the images for which the widths of blur are stated.
_SIDE_PX = 96
_PLACE = ("rotation", "scale", "aspect", "shear", "shift", "perspective")
_LIGHT = ("exposure", "temperature", "saturation", "contrast", "gradient")
_Change = Callable[[Any, Draws, Ranges], Any]


def augment_batch(pixels: Any, seed: Any, ranges: Ranges) -> Any:
    """Change a batch of images.

    Args:
        pixels: Shape (B, H, W, C), float32, 0..255; H, W and C are known when the step is compiled.
        seed: Shape (2,), int32.
        ranges: Widths of the random changes.

    Returns:
        The same shape, float32, 0..255.
    """
    draws = Draws(seed, tf.shape(pixels)[0])
    height, width, channels = (int(side) for side in pixels.shape[1:])
    factor = min(height, width) / _SIDE_PX
    ranges = replace(ranges, defocus=ranges.defocus * factor, motion=ranges.motion * factor)
    if ranges.flip or any(getattr(ranges, name) for name in _PLACE):
        pixels = warp(pixels, draws, ranges)
    if ranges.strokes and ranges.stroke_change:
        pixels = _in_subset(change_strokes, pixels, draws, ranges, ranges.strokes)
    if ranges.occluded:
        pixels = _in_subset(occlude, pixels, draws, ranges, ranges.occluded)
    if any(getattr(ranges, name) for name in _LIGHT):
        pixels = light(pixels, draws, ranges)
    if ranges.blurred and ranges.defocus + ranges.motion > 0:
        pixels = _in_subset(blur, pixels, draws, ranges, ranges.blurred)
    if ranges.noisy and ranges.read_noise + ranges.shot_noise > 0:
        pixels = _in_subset(sensor_noise, pixels, draws, ranges, ranges.noisy)
    pixels = gamma(pixels, draws, ranges) if ranges.gamma else tf.clip_by_value(pixels, 0.0, 255.0)
    if ranges.jpeg:
        pixels = _in_subset(compress, pixels, draws, ranges, ranges.jpeg)
    return tf.ensure_shape(pixels, [None, height, width, channels])


def _in_subset(change: _Change, pixels: Any, draws: Draws, ranges: Ranges, share: float) -> Any:
    """Apply a costly change to a random share of the images."""
    places = draws.subset(share)
    own = Draws(draws.new_seed(), tf.size(places))
    changed = change(tf.gather(pixels, places), own, ranges)
    return tf.tensor_scatter_nd_update(pixels, places[:, None], changed)
