"""Alignment of a face: a similarity transform from five landmarks, and a warp to the crop."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.images import check_image
from edge_sdk.vision.resize import resize_fast

Points = Sequence[Sequence[float]] | Float64Array
#: One row of an affine transform: its factors of x and y, and its shift.
_Axis = tuple[float, float, float]
_BITS = 7
_ONE = 1 << _BITS
#: Sum of squared distances below which the landmarks count as one point, which defines no rotation.
_MIN_SPREAD_PX = 1.0
#: Smallest determinant of a transform that can be inverted.
_LEAST_AREA = 1e-12


def similarity(points: Points, template: Points) -> Float64Array:
    """Compute the rotation, scale and shift that map points to a template with the least squared error.

    The transform is a similarity without reflection (Umeyama 1991, doi 10.1109/34.88573). It has a closed form: in
    the plane it is one complex factor and one complex shift.

    Args:
        points: Shape (n, 2), (x, y), n of 2 or more.
        template: Shape (n, 2), (x, y).

    Returns:
        Shape (2, 3), float64: ``template ~ matrix @ (x, y, 1)``.

    Raises:
        InputError: The points are not finite, fewer than 2, or not as many as those of the template.
        AcquisitionError: All points are in one place, or so far apart that the squares overflow.
    """
    factor, shift = nearest_similarity(as_complex(points), as_complex(template))
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]], np.float64
    )


def as_complex(points: Points) -> list[complex]:
    """Convert points (x, y) to complex numbers x + iy; raises InputError for anything else."""
    rows = points.tolist() if isinstance(points, np.ndarray) else points
    try:
        return [complex(x, y) for x, y in rows]
    except (TypeError, ValueError):
        raise InputError(f"expected points (x, y), found {points!r:.80}") from None


def nearest_similarity(places: list[complex], goals: list[complex]) -> tuple[complex, complex]:
    """Compute the transform of ``similarity`` as a factor and a shift: ``goals ~ factor * places + shift``.

    Uses plain Python, because for five points a call of numpy takes longer than the arithmetic.
    """
    count = len(places)
    if count < 2 or count != len(goals):
        raise InputError(
            f"expected as many points (x, y) as the template has, found {count} for {len(goals)}"
        )
    if not (all(map(cmath.isfinite, places)) and all(map(cmath.isfinite, goals))):
        raise InputError("expected finite landmarks, found NaN or infinity")
    middle, goal = sum(places) / count, sum(goals) / count
    spread, factor = 0.0, 0j
    for place, target in zip(places, goals, strict=True):
        away = place - middle
        spread += away.real * away.real + away.imag * away.imag
        factor += away.conjugate() * (target - goal)
    if not _MIN_SPREAD_PX <= spread < math.inf:
        raise AcquisitionError(
            "the landmarks are in one place: no face to align", reason="landmarks", hint="look at the camera"
        )
    factor /= spread
    return factor, goal - factor * middle


def warp(image: UInt8Array, matrix: Float64Array, height: int, width: int) -> UInt8Array:
    """Transform an image by an affine map with bilinear interpolation; pixels outside the image are black.

    Only the part of the image that is visible in the result is read.

    Args:
        image: Shape (H, W, 3), uint8.
        matrix: Shape (2, 3), maps (x, y) of the image to (x, y) of the result.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        Shape (height, width, 3), uint8; within two levels of OpenCV's ``warpAffine``.

    Raises:
        InputError: The matrix cannot be inverted.
    """
    (a, b, c), (d, e, f) = matrix.tolist()
    flat = a * e - b * d
    refusal = InputError("expected a transform that can be inverted, found one that flattens the image")
    if not _LEAST_AREA <= abs(flat) < math.inf:
        raise refusal
    # Inverse transform: from (x, y) of the result to (x, y) of the image.
    back = (
        (e / flat, -b / flat, (b * f - e * c) / flat),
        (-d / flat, a / flat, (d * c - a * f) / flat),
    )
    if not all(map(math.isfinite, (*back[0], *back[1]))):
        raise refusal
    return _sample(*_framed(image, back, height, width))


def _framed(
    image: UInt8Array, back: tuple[_Axis, _Axis], height: int, width: int
) -> tuple[UInt8Array, NDArray[np.int32]]:
    """Cut out the part of an image that is visible in the result, with a black border, and locate the result in it.

    Returns:
        The part; and for each pixel of the result, its position (x, y) in the part, in 1/128 of a pixel, shape
        (2, height, width).
    """
    rows, columns, channels = image.shape
    # Limit positions to the first pixel outside the image: all pixels beyond it are black too.
    (left, right), (top, bottom) = spans = [
        [math.floor(min(max(place, -1), length)) for place in _extremes(axis, height, width)]
        for axis, length in zip(back, (columns, rows), strict=True)
    ]
    # Interpolation reads the next pixel, and rounding may move a position to the next pixel: add both.
    part = np.zeros((bottom + 3 - top, right + 3 - left, channels), np.uint8)
    seen = image[max(top, 0) : bottom + 3, max(left, 0) : right + 3]
    part[max(-top, 0) : max(-top, 0) + len(seen), max(-left, 0) : max(-left, 0) + seen.shape[1]] = seen
    fixed = np.array(back) * _ONE
    # Add half a step, so that truncation to integers below rounds to nearest.
    fixed[:, 2] += 0.5 - np.array([left, top]) * _ONE
    across = fixed[:, :1] * np.arange(width)
    down = fixed[:, 1:2] * np.arange(height) + fixed[:, 2:]
    places = down[:, :, None] + across[:, None, :]
    if min(left, top) < 0 or right == columns or bottom == rows:
        for axis, (first, last) in zip(places, spans, strict=True):
            np.clip(axis, 0, (last + 1 - first) * _ONE, out=axis)
    return part, places.astype(np.int32)


def _extremes(axis: _Axis, height: int, width: int) -> tuple[float, float]:
    """Compute the smallest and the largest position along an axis, which are at corners of the result."""
    across, down = axis[0] * (width - 1), axis[1] * (height - 1)
    return axis[2] + min(across, 0.0) + min(down, 0.0), axis[2] + max(across, 0.0) + max(down, 0.0)


def _sample(part: UInt8Array, places: NDArray[np.int32]) -> UInt8Array:
    """Interpolate bilinearly in 1/128 of a pixel, so that a sum of four products fits into 32 bits."""
    width, channels = part.shape[1:]
    pixels = part.reshape(-1, channels)
    left, top = places >> _BITS
    first = (top * width + left).ravel().astype(np.intp)
    # Repeat the weights for each channel: otherwise numpy's inner loop covers only the channels of one pixel.
    weights = np.empty((2, first.size, channels), np.uint16)
    behind = (places & (_ONE - 1)).reshape(2, -1)
    for channel in range(channels):
        weights[..., channel] = behind
    across, down = weights
    up = _ONE - down
    sides = []
    for beside in (0, 1):
        side = pixels[beside:].take(first, axis=0) * up
        side += pixels[beside + width :].take(first, axis=0) * down
        sides.append(side)
    wide = across.astype(np.uint32)
    mixed = sides[1] * wide
    mixed += sides[0] * (_ONE - wide)
    mixed += 1 << (2 * _BITS - 1)
    mixed >>= 2 * _BITS
    result: UInt8Array = mixed.astype(np.uint8).reshape(*left.shape, channels)
    return result


def template_of(contract: InputContract) -> Float64Array:
    """Return the landmarks of a contract's aligned crop: its own, or ArcFace's at its size if it has none."""
    return np.asarray(contract.alignment or arcface(contract.height, contract.width), np.float64)


def align(frame: UInt8Array, landmarks: Points, contract: InputContract) -> UInt8Array:
    """Cut an aligned face out of a frame, as the embedder expects it.

    A face more than twice as large as in the crop is first reduced by block means, because bilinear sampling alone
    would skip pixels and cause aliasing.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        landmarks: Shape (5, 2), in the frame's pixels, in the order of the template.
        contract: The embedder's input contract.

    Returns:
        Shape (height, width, 3), uint8, RGB; the contract's height and width.

    Raises:
        InputError: The frame is malformed, or the landmarks are not five finite points.
        AcquisitionError: The landmarks are not those of a face.
    """
    check_image(frame, 3)
    matrix = similarity(landmarks, template_of(contract))
    shrink = int(1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6))
    if shrink < 2:
        return warp(frame, matrix, contract.height, contract.width)
    top, left, rows, columns = _needed(matrix, contract, frame.shape[0], frame.shape[1])
    rows, columns = max(1, rows // shrink), max(1, columns // shrink)
    part = resize_fast(frame[top : top + rows * shrink, left : left + columns * shrink], rows, columns)
    # Pixel i of the part is the mean of `shrink` pixels that start at left + i * shrink.
    inner = np.array([[shrink, 0, left + (shrink - 1) / 2], [0, shrink, top + (shrink - 1) / 2], [0, 0, 1]])
    return warp(part, matrix @ inner, contract.height, contract.width)


def _needed(
    matrix: Float64Array, contract: InputContract, rows: int, columns: int
) -> tuple[int, int, int, int]:
    """Compute the part of a frame that is visible in a crop: top, left, height, width; at least one pixel."""
    corners = np.array([(x, y) for x in (0, contract.width) for y in (0, contract.height)], np.float64)
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = seen.min(axis=0) - 2, seen.max(axis=0) + 2
    left, top = (int(low[0].clip(0, columns - 1)), int(low[1].clip(0, rows - 1)))
    right, bottom = (int(high[0].clip(left + 1, columns)), int(high[1].clip(top + 1, rows)))
    return top, left, bottom - top, right - left
