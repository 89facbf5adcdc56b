"""Crops of people for re-identification, from the boxes of any person detector."""

from __future__ import annotations

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.resize import fit

_SMALLEST = 16


def person_crop(
    image: UInt8Array, box: tuple[float, float, float, float], *, height: int = 256, width: int = 128
) -> UInt8Array:
    """Cut a person out of a picture in the aspect ratio of a re-identification network.

    The shorter side of the box grows around its centre, so that the person is not stretched. Parts outside the picture repeat its edge.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        box: Left, top, right and bottom in pixels, as a detector states them; it may reach over the edge of the picture.
        height: Height of the crop, as in the model card.
        width: Width of the crop.

    Returns:
        Shape (height, width, 3), uint8.

    Raises:
        InputError: The picture is not (H, W, 3) uint8, or less than 16 x 16 pixels of the box lie inside it.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"expected a picture of shape (H, W, 3), uint8, found {image.shape}, {image.dtype}")
    rows, columns = image.shape[:2]
    left, top, right, bottom = box
    inside_x = min(right, columns) - max(left, 0)
    inside_y = min(bottom, rows) - max(top, 0)
    if not (inside_x >= _SMALLEST and inside_y >= _SMALLEST):
        raise InputError(
            f"expected a box (left, top, right, bottom) with {_SMALLEST} x {_SMALLEST} pixels or more in a picture of"
            f" {columns} x {rows}, found {tuple(box)}"
        )
    tall = max(bottom - top, (right - left) * height / width)
    wide = tall * width / height
    y, x = (top + bottom) / 2, (left + right) / 2
    ys = np.arange(round(y - tall / 2), round(y + tall / 2)).clip(0, rows - 1)
    xs = np.arange(round(x - wide / 2), round(x + wide / 2)).clip(0, columns - 1)
    return fit(image[np.ix_(ys, xs)], height, width)
