"""From five landmarks to an aligned crop: a similarity transform and a warp."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.inference.card import InputContract
from edge_sdk.inference.templates import arcface
from edge_sdk.perception.images import check_face
from edge_sdk.perception.resize import resize
from edge_sdk.types import Float64Array, UInt8Array

Points = Sequence[Sequence[float]] | Float64Array
_BITS = 7
_ONE = 1 << _BITS
#: Landmarks nearer together than this are one point: there is no face to turn.
_MIN_SPREAD_PX = 1.0


def similarity(points: Points, template: Points) -> Float64Array:
    """The rotation, scale and shift that bring points nearest to a template.

    Least squares over similarities without reflection (Umeyama 1991, doi 10.1109/34.88573), in closed form: in
    the plane such a transform is one complex factor and one complex shift.

    Args:
        points: Shape (n, 2), (x, y), n of 2 or more.
        template: Shape (n, 2).

    Returns:
        Shape (2, 3), float64: ``template ~ matrix @ (x, y, 1)``.

    Raises:
        InputError: Not two lists of as many finite points.
        AcquisitionError: The points are all in one place, or as far off as no face is.
    """
    source, target = np.asarray(points, np.float64), np.asarray(template, np.float64)
    if source.ndim != 2 or source.shape != target.shape or source.shape[1] != 2 or len(source) < 2:
        raise InputError(
            f"expected as many points (x, y) as the template has, found {list(source.shape)} for {list(target.shape)}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("expected finite landmarks, found NaN or infinity")
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    away = source - middle
    spread = float((away**2).sum())
    if not _MIN_SPREAD_PX <= spread < np.inf:
        raise AcquisitionError(
            "the landmarks lie in one place: no face to align", reason="landmarks", hint="look at the camera"
        )
    # conj(z) w summed, over |z|^2 summed.
    dot = float((away * (target - goal)).sum())
    cross = float((away[:, 0] * (target - goal)[:, 1] - away[:, 1] * (target - goal)[:, 0]).sum())
    a, b = dot / spread, cross / spread
    matrix = np.array([[a, -b, 0.0], [b, a, 0.0]])
    matrix[:, 2] = goal - matrix[:, :2] @ middle
    return matrix


def warp(image: UInt8Array, matrix: Float64Array, height: int, width: int) -> UInt8Array:
    """Carry an image over by an affine transform, bilinearly; beyond its edge is black.

    Only the pixels that the result shows are read.

    Args:
        image: Shape (H, W, 3), uint8.
        matrix: Shape (2, 3): from the image's (x, y) to the result's.
        height: Of the result.
        width: Of the result.

    Returns:
        Shape (height, width, 3), uint8; within two levels of OpenCV's ``warpAffine``.

    Raises:
        InputError: The matrix cannot be turned round.
    """
    linear = matrix[:, :2]
    if not np.isfinite(matrix).all() or abs(float(np.linalg.det(linear))) < 1e-12:
        raise InputError("expected a transform that can be turned round, found one that flattens the image")
    back = np.linalg.inv(linear)
    shift = back @ matrix[:, 2]
    columns, rows = np.arange(width), np.arange(height)[:, None]
    x = back[0, 0] * columns + back[0, 1] * rows - shift[0]
    y = back[1, 0] * columns + back[1, 1] * rows - shift[1]
    return _sample(image, x, y)


def _sample(image: UInt8Array, x: Float64Array, y: Float64Array) -> UInt8Array:
    """Bilinear in 1/128 of a pixel, so that a sum of four products stays in 32 bits."""
    part, x, y = _framed(image, x, y)
    width, channels = part.shape[1:]
    pixels = part.reshape(-1, channels)
    left, right_share = _split(x)
    top, bottom_share = _split(y)
    first = (top * width + left).ravel()
    # Flat, one weight for each value: a last axis of three would be numpy's inner loop.
    down = np.repeat(bottom_share.ravel().astype(np.uint16), channels)
    across = np.repeat(right_share.ravel().astype(np.uint32), channels)
    sides = []
    for column in (first, first + 1):
        side = pixels.take(column, axis=0).ravel() * (_ONE - down)
        side += pixels.take(column + width, axis=0).ravel() * down
        sides.append(side)
    mixed = sides[0] * (_ONE - across)
    mixed += sides[1] * across
    mixed += 1 << (2 * _BITS - 1)
    mixed >>= 2 * _BITS
    result: UInt8Array = mixed.astype(np.uint8).reshape(*x.shape, channels)
    return result


def _framed(
    image: UInt8Array, x: Float64Array, y: Float64Array
) -> tuple[UInt8Array, Float64Array, Float64Array]:
    """The part of an image that places lie in, with black around it, and the places in that part."""
    rows, columns, channels = image.shape
    # What lies further out than the first black pixel is as black.
    x, y = x.clip(-1, columns), y.clip(-1, rows)
    left, top = math.floor(x.min()), math.floor(y.min())
    # One more than the neighbour: a place may be rounded up to the next pixel.
    right, bottom = math.floor(x.max()) + 3, math.floor(y.max()) + 3
    part = np.zeros((bottom - top, right - left, channels), np.uint8)
    inside_y, inside_x = slice(max(top, 0), min(bottom, rows)), slice(max(left, 0), min(right, columns))
    seen = image[inside_y, inside_x]
    part[
        inside_y.start - top : inside_y.start - top + seen.shape[0],
        inside_x.start - left : inside_x.start - left + seen.shape[1],
    ] = seen
    return part, x - left, y - top


def _split(place: Float64Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixel before each place, and how far behind it the place lies in 1/128."""
    fixed = np.rint(place * _ONE).astype(np.intp)
    return fixed >> _BITS, fixed & (_ONE - 1)


def template_of(contract: InputContract) -> Float64Array:
    """The landmarks of a contract's aligned crop: its own, or ArcFace's at its size where it names none."""
    return np.asarray(contract.alignment or arcface(contract.height, contract.width), np.float64)


def align(frame: UInt8Array, landmarks: Points, contract: InputContract) -> UInt8Array:
    """Cut a face out of a frame as the embedder wants to see it.

    A face more than twice as large as in the crop is first shrunk by block means: bilinear sampling alone would
    skip pixels and turn noise and texture into patterns.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        landmarks: Shape (5, 2), in the frame's pixels, in the order of the template.
        contract: The embedder's input contract.

    Returns:
        Shape (height, width, 3), uint8, RGB, as the contract says.

    Raises:
        InputError: Not a frame, or not five finite landmarks.
        AcquisitionError: The landmarks are no face's.
    """
    check_face(frame, 3)
    matrix = similarity(landmarks, template_of(contract))
    shrink = int(1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6))
    if shrink < 2:
        return warp(frame, matrix, contract.height, contract.width)
    top, left, rows, columns = _needed(matrix, contract, frame.shape[0], frame.shape[1])
    rows, columns = max(1, rows // shrink), max(1, columns // shrink)
    part = resize(frame[top : top + rows * shrink, left : left + columns * shrink], rows, columns)
    # Pixel i of the part is the mean of `shrink` pixels from left + i * shrink on.
    inner = np.array([[shrink, 0, left + (shrink - 1) / 2], [0, shrink, top + (shrink - 1) / 2], [0, 0, 1]])
    return warp(part, matrix @ inner, contract.height, contract.width)


def _needed(
    matrix: Float64Array, contract: InputContract, rows: int, columns: int
) -> tuple[int, int, int, int]:
    """The part of a frame that a crop shows: top, left, height, width; at least a pixel."""
    corners = np.array([(x, y) for x in (0, contract.width) for y in (0, contract.height)], np.float64)
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = seen.min(axis=0) - 2, seen.max(axis=0) + 2
    left, top = (int(low[0].clip(0, columns - 1)), int(low[1].clip(0, rows - 1)))
    right, bottom = (int(high[0].clip(left + 1, columns)), int(high[1].clip(top + 1, rows)))
    return top, left, bottom - top, right - left
