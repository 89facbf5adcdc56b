"""Resizing of images, with one function for each purpose.

- `fit` brings crops and photographs to a network's input size. It keeps the aspect ratio and is antialiased, as
  Pillow's ``BILINEAR`` filter. Use it wherever an image reaches an embedder or a calibration set.
- `resize_fast` brings camera frames to a detector's size. It uses integer arithmetic and little memory, and is
  several times faster than `fit`. Small errors do not matter to a detector.
- `resize_bilinear` samples without smoothing, as OpenCV's ``INTER_LINEAR``. Use it only for networks that were
  trained on such images.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_sdk.types import FloatArray, UInt8Array

# Number of values converted to float32 at a time (16 MiB) if a large photograph is reduced.
_BLOCK_VALUES = 1 << 22
_BITS = 7
_ONE = 1 << _BITS
#: Largest number of pixels of a row or column that are averaged; of a larger block only this many are used.
_MAX_MEAN = 4
#: Number of result rows that are computed at a time.
_STRIP = 48


def fit(image: UInt8Array, height: int, width: int) -> UInt8Array:
    """Crop an image to a size's aspect ratio and resize it, antialiased.

    The crop is the largest centred part with that aspect ratio: a 112x112 crop in ArcFace's alignment becomes the
    112x96 crop. An image that already has the size is returned without a copy.

    Args:
        image: Shape (H, W, C), uint8.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        Shape (height, width, C), uint8.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    cut_rows = min(rows, max(1, round(columns * height / width)))
    cut_columns = min(columns, max(1, round(rows * width / height)))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    image = image[top : top + cut_rows, left : left + cut_columns]
    if image.shape[:2] == (height, width):
        return image
    vertical = _triangle_filter(image.shape[0], height)
    horizontal = _triangle_filter(image.shape[1], width)
    rows_done = np.empty((height, *image.shape[1:]), np.float32)
    step = max(1, _BLOCK_VALUES // (image.shape[0] * image.shape[2]))
    for start in range(0, image.shape[1], step):
        block = image[:, start : start + step].astype(np.float32)
        rows_done[:, start : start + step] = np.tensordot(vertical, block, axes=(1, 0))
    resized = np.einsum("hwc,xw->hxc", rows_done, horizontal, optimize=True)
    pixels: UInt8Array = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return pixels


def _triangle_filter(source: int, target: int) -> FloatArray:
    """Compute weights (target, source): bilinear if enlarged, antialiased if reduced, half-pixel centres."""
    ratio = source / target
    support = max(ratio, 1.0)
    centres = (np.arange(target) + 0.5) * ratio - 0.5
    distance = np.abs(np.arange(source)[None, :] - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distance)
    normalized: FloatArray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalized


def resize_fast(image: UInt8Array, height: int, width: int, *, out: UInt8Array | None = None) -> UInt8Array:
    """Resize by averaging whole blocks of pixels and sampling the averages bilinearly, half-pixel centres.

    Args:
        image: Shape (H, W, 3), uint8; may be a view into a larger frame.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        out: Array for the result, shape (height, width, 3), uint8; a new array if None.

    Returns:
        Shape (height, width, 3), uint8, the same object as ``out`` if given. Within two levels of the exact result
        if the image is enlarged or is reduced by a whole number.
    """
    rows, columns = image.shape[:2]
    if out is None:
        if (rows, columns) == (height, width):
            return image
        out = np.empty((height, width, image.shape[2]), np.uint8)
    block_y, block_x = max(1, rows // height), max(1, columns // width)
    # Distance between result pixels, in pixels of the averaged image.
    step_y, step_x = rows / height / block_y, columns / width / block_x
    # Whole blocks of rows are independent of each other; a strip of them stays in the processor's cache.
    strip = _STRIP if step_y == 1 else height
    for top in range(0, height, strip):
        bottom = min(top + strip, height)
        part = image[top * block_y : bottom * block_y] if step_y == 1 else image
        part = _mean_rows(part, block_y)
        part = _bilinear_rows(part, bottom - top, step_y)
        part = _mean_columns(part, block_x)
        out[top:bottom] = _bilinear_columns(part, width, step_x)
    return out


def resize_bilinear(image: UInt8Array, height: int, width: int) -> UInt8Array:
    """Resize by bilinear sampling without smoothing, half-pixel centres.

    Args:
        image: Shape (H, W, 3), uint8; may be a view into a larger frame.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        Shape (height, width, 3), uint8, a new array unless the image already has the size.
    """
    rows, columns = image.shape[:2]
    return _bilinear_columns(_bilinear_rows(image, height, rows / height), width, columns / width)


def _mean_rows(image: UInt8Array, block: int) -> UInt8Array:
    if block == 1:
        return image
    count = image.shape[0] // block
    if block == 2:
        return _average(image[: count * 2 : 2], image[1 : count * 2 : 2])
    offsets = _averaged_offsets(block)
    total = image[offsets[0] : count * block : block].astype(np.uint16)
    for offset in offsets[1:]:
        total += image[offset : count * block : block]
    total += len(offsets) // 2
    total //= len(offsets)
    return total.astype(np.uint8)


def _mean_columns(image: UInt8Array, block: int) -> UInt8Array:
    if block == 1:
        return image
    if block == 2:
        return _mean_pairs(image)
    count = image.shape[1] // block
    offsets = _averaged_offsets(block)
    first, second, *others = offsets
    # Convert once if every pixel is used: numpy would convert a strided view value by value.
    wide = image.astype(np.uint16) if block <= _MAX_MEAN else image
    total = np.empty((image.shape[0], count, image.shape[2]), np.uint16)
    # Process one channel at a time: otherwise numpy's inner loop covers only the channels of one pixel.
    for channel in range(image.shape[2]):
        plane, sums = wide[:, : count * block, channel], total[..., channel]
        np.add(plane[:, first::block], plane[:, second::block], out=sums, dtype=np.uint16)
        for offset in others:
            sums += plane[:, offset::block]
    total += len(offsets) // 2
    total //= len(offsets)
    return total.astype(np.uint8)


def _mean_pairs(image: UInt8Array) -> UInt8Array:
    """Average every two neighbouring pixels of a row."""
    rows, columns, channels = image.shape
    flat = image.reshape(rows, -1)
    # Average each pixel with the next, although half of the means are dropped: numpy vectorizes contiguous operands,
    # but not strided ones.
    means = _average(flat[:, :-channels], flat[:, channels:]).reshape(rows, columns - 1, channels)
    result = np.empty((rows, columns // 2, channels), np.uint8)
    for channel in range(channels):
        result[..., channel] = means[:, ::2, channel]
    return result


def _average(first: UInt8Array, second: UInt8Array) -> UInt8Array:
    """Compute (a + b + 1) // 2 in eight bits, as (a | b) - ((a ^ b) >> 1)."""
    excess = first ^ second
    excess >>= 1
    both: UInt8Array = first | second
    both -= excess
    return both


def _averaged_offsets(block: int) -> list[int]:
    """Choose the pixels of a block that are averaged: all, or a few evenly spaced around its centre."""
    if block <= _MAX_MEAN:
        return list(range(block))
    return [int((i + 0.5) * block / _MAX_MEAN) for i in range(_MAX_MEAN)]


@lru_cache(maxsize=16)
def _neighbours(
    count: int, step: float, available: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint16]]:
    """Compute each result pixel's two neighbours and the second one's weight in 1/128.

    The result is cached, because consecutive frames have the same size.
    """
    centres = (np.arange(count) + 0.5) * step - 0.5
    centres = centres.clip(0, available - 1)
    first = np.floor(centres).astype(np.intp)
    second = np.minimum(first + 1, available - 1)
    return first, second, np.rint((centres - first) * _ONE).astype(np.uint16)


def _bilinear_rows(image: UInt8Array, height: int, step: float) -> UInt8Array:
    if image.shape[0] == height and step == 1:
        return image
    first, second, weight = _neighbours(height, step, image.shape[0])
    flat, weight = image.reshape(len(image), -1), weight[:, None]
    mixed = flat.take(first, axis=0) * (_ONE - weight)
    mixed += flat.take(second, axis=0) * weight
    mixed += _ONE // 2
    mixed >>= _BITS
    return mixed.astype(np.uint8).reshape(height, *image.shape[1:])


def _bilinear_columns(image: UInt8Array, width: int, step: float) -> UInt8Array:
    if image.shape[1] == width and step == 1:
        return image
    rows, columns, channels = image.shape
    first, second, weight = _neighbours_of_values(width, step, columns, channels)
    flat = image.reshape(rows, -1)
    mixed = flat.take(first, axis=1) * (_ONE - weight)
    mixed += flat.take(second, axis=1) * weight
    mixed += _ONE // 2
    mixed >>= _BITS
    return mixed.astype(np.uint8).reshape(rows, width, channels)


@lru_cache(maxsize=16)
def _neighbours_of_values(
    count: int, step: float, available: int, channels: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint16]]:
    """Expand `_neighbours` to each value of a row, so that numpy's inner loop covers a row instead of a pixel."""
    first, second, weight = _neighbours(count, step, available)
    each = np.arange(channels)
    return (
        (first[:, None] * channels + each).ravel(),
        (second[:, None] * channels + each).ravel(),
        np.repeat(weight, channels),
    )
