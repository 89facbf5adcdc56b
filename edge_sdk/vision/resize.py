"""Frames to a detector's size: fast rather than fine, in integers, with memory that the result's size bounds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_sdk.types import UInt8Array

_BITS = 7
_ONE = 1 << _BITS
#: Pixels in a row or column that one result pixel is the mean of, at most; beyond, they are sampled.
_MAX_MEAN = 4
#: Result rows at a time.
_STRIP = 48


def resize(image: UInt8Array, height: int, width: int, *, out: UInt8Array | None = None) -> UInt8Array:
    """Resize by means of whole blocks, then bilinearly for the rest, pixel centres at halves.

    Args:
        image: Shape (H, W, 3), uint8; a view into a larger frame will do.
        height: Wanted height in pixels.
        width: Wanted width in pixels.
        out: Where to put the result, shape (height, width, 3), uint8; a new array where None.

    Returns:
        Shape (height, width, 3), uint8; within a level or two of the exact answer where it is enlarged or
        shrunk by whole numbers. ``out``, where given.
    """
    rows, columns = image.shape[:2]
    if out is None:
        if (rows, columns) == (height, width):
            return image
        out = np.empty((height, width, image.shape[2]), np.uint8)
    block_y, block_x = max(1, rows // height), max(1, columns // width)
    # In pixels of the block means: how far apart result pixels are.
    step_y, step_x = rows / height / block_y, columns / width / block_x
    # Rows of whole blocks know nothing of each other: a strip of them stays in the processor's cache.
    strip = _STRIP if step_y == 1 else height
    for top in range(0, height, strip):
        bottom = min(top + strip, height)
        part = image[top * block_y : bottom * block_y] if step_y == 1 else image
        part = _mean_rows(part, block_y)
        part = _bilinear_rows(part, bottom - top, step_y)
        part = _mean_columns(part, block_x)
        out[top:bottom] = _bilinear_columns(part, width, step_x)
    return out


def bilinear(image: UInt8Array, height: int, width: int) -> UInt8Array:
    """Resize by bilinear sampling alone, as OpenCV's ``INTER_LINEAR`` does: pixels in between are skipped.

    For networks that were trained on such images; arguments and result as of ``resize``.
    """
    rows, columns = image.shape[:2]
    return _bilinear_columns(_bilinear_rows(image, height, rows / height), width, columns / width)


def _mean_rows(image: UInt8Array, block: int) -> UInt8Array:
    if block == 1:
        return image
    count = image.shape[0] // block
    if block == 2:
        return _average(image[: count * 2 : 2], image[1 : count * 2 : 2])
    places = _spread(block)
    total = image[places[0] : count * block : block].astype(np.uint16)
    for place in places[1:]:
        total += image[place : count * block : block]
    total += len(places) // 2
    total //= len(places)
    return total.astype(np.uint8)


def _mean_columns(image: UInt8Array, block: int) -> UInt8Array:
    if block == 1:
        return image
    if block == 2:
        return _mean_pairs(image)
    count = image.shape[1] // block
    places = _spread(block)
    first, second, *others = places
    # Widened at once, where all of it is read: numpy would widen steps through memory value by value.
    wide = image.astype(np.uint16) if block <= _MAX_MEAN else image
    total = np.empty((image.shape[0], count, image.shape[2]), np.uint16)
    # One channel at a time: numpy's inner loop would be as short as a pixel otherwise.
    for channel in range(image.shape[2]):
        plane, sums = wide[:, : count * block, channel], total[..., channel]
        np.add(plane[:, first::block], plane[:, second::block], out=sums, dtype=np.uint16)
        for place in others:
            sums += plane[:, place::block]
    total += len(places) // 2
    total //= len(places)
    return total.astype(np.uint8)


def _mean_pairs(image: UInt8Array) -> UInt8Array:
    """The mean of every two pixels of a row."""
    rows, columns, channels = image.shape
    flat = image.reshape(rows, -1)
    # Of each pixel and the next, half of them for nothing: numpy takes many neighbours at a time, and steps one by one.
    beside = _average(flat[:, :-channels], flat[:, channels:]).reshape(rows, columns - 1, channels)
    result = np.empty((rows, columns // 2, channels), np.uint8)
    for channel in range(channels):
        result[..., channel] = beside[:, ::2, channel]
    return result


def _average(first: UInt8Array, second: UInt8Array) -> UInt8Array:
    """(a + b + 1) // 2 in eight bits: what both have is in ``a | b`` once, half of what one has is too much."""
    excess = first ^ second
    excess >>= 1
    both: UInt8Array = first | second
    both -= excess
    return both


def _spread(block: int) -> list[int]:
    """Which pixels of a block its mean is taken of: all, or a few spread evenly around its centre."""
    if block <= _MAX_MEAN:
        return list(range(block))
    return [int((i + 0.5) * block / _MAX_MEAN) for i in range(_MAX_MEAN)]


@lru_cache(maxsize=16)
def _places(
    count: int, step: float, available: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint16]]:
    """Two neighbours of each result pixel and the second one's weight in 1/128; kept, since frames are of one size."""
    centres = (np.arange(count) + 0.5) * step - 0.5
    centres = centres.clip(0, available - 1)
    first = np.floor(centres).astype(np.intp)
    second = np.minimum(first + 1, available - 1)
    return first, second, np.rint((centres - first) * _ONE).astype(np.uint16)


def _bilinear_rows(image: UInt8Array, height: int, step: float) -> UInt8Array:
    if image.shape[0] == height and step == 1:
        return image
    first, second, weight = _places(height, step, image.shape[0])
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
    first, second, weight = _values(width, step, columns, channels)
    flat = image.reshape(rows, -1)
    mixed = flat.take(first, axis=1) * (_ONE - weight)
    mixed += flat.take(second, axis=1) * weight
    mixed += _ONE // 2
    mixed >>= _BITS
    return mixed.astype(np.uint8).reshape(rows, width, channels)


@lru_cache(maxsize=16)
def _values(
    count: int, step: float, available: int, channels: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint16]]:
    """As ``_places``, for each value of a row: a last axis of three would be numpy's inner loop."""
    first, second, weight = _places(count, step, available)
    each = np.arange(channels)
    return (
        (first[:, None] * channels + each).ravel(),
        (second[:, None] * channels + each).ravel(),
        np.repeat(weight, channels),
    )
