"""Measures of facial detail in an aligned crop: covered eyes, a covered mouth, blur in one direction, one-sided light.

Dark glasses, masks and motion blur remove the same detail from every face, so that an embedder finds strangers alike.
The measures are relative to the brightness of the face: multiplying all pixels by a factor changes nothing. So dark
skin and weak light do not count as a lack of detail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray, UInt8Array

_SIDE = 112
# ITU-R BT.601 luma.
_LUMA = np.array([77, 150, 29], np.float32) / 256
# Rows and columns of the aligned 112x112 crop, less the 2 pixels that smoothing removes at the top and at the left.
_FACE = (slice(29, 105), slice(25, 85))
_EYES = (slice(45, 57), slice(29, 46)), (slice(45, 57), slice(64, 81))
_MOUTH = (slice(83, 101), slice(37, 74))
_INNER = (slice(27, 107), slice(23, 87))
# Added to luma before the logarithm, as a share of the face's mean: it keeps noise in black pixels small.
_OFFSET = 0.2
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class Detail:
    """Detail of one aligned face. Gradients are in percent of luma per pixel of a 112x112 crop.

    Args:
        eyes: Gradient that 60 % of the pixels around an eye exceed, of the eye with less detail. Dark glasses and hair
            lower it.
        mouth: Gradient that 10 % of the pixels around the mouth exceed. A mask, a scarf or a hand lowers it.
        sharpness: RMS of the second difference in the direction in which it is smallest: the geometric mean of the one
            of luma, over the standard deviation of luma, and the one of the logarithm of luma, in percent. Motion blur
            lowers it in its direction, defocus in all directions (after Pech-Pacheco et al. 2000, doi
            10.1109/ICPR.2000.903548).
        side_light: Absolute difference between the logarithms of the median luma of both halves of the face; 0 for
            even light.
    """

    eyes: float
    mouth: float
    sharpness: float
    side_light: float


def measure_detail(crop: UInt8Array) -> Detail:
    """Measure the detail of one face.

    Args:
        crop: Shape (112, 112, 3), uint8, RGB: a face aligned to ArcFace's template.

    Raises:
        InputError: The crop has another shape or type.
    """
    if crop.shape != (_SIDE, _SIDE, 3) or crop.dtype != np.uint8:
        raise InputError(f"expected a uint8 crop of shape (112, 112, 3), found {crop.dtype} {crop.shape}")
    luma = _smooth(np.asarray(crop.astype(np.float32) @ _LUMA, np.float32))
    face = luma[_FACE]
    logarithm = 100 * np.log(luma + max(_OFFSET * float(face.mean()), 1.0))
    gradient = np.hypot(*_central_differences(logarithm))
    left, right = np.median(face[:, :30]), np.median(face[:, 30:])
    return Detail(
        eyes=min(_quantile(gradient[eye], 0.4) for eye in _EYES),
        mouth=_quantile(gradient[_MOUTH], 0.9),
        sharpness=math.sqrt(
            _least_sharpness(luma[_INNER]) / (float(face.std()) + 1) * _least_sharpness(logarithm[_INNER])
        ),
        side_light=abs(math.log((float(left) + 3) / (float(right) + 3))),
    )


def _smooth(luma: FloatArray) -> FloatArray:
    """Reduce noise with the kernel 1-2-1 in both directions; removes one pixel at each edge."""
    down = (luma[:-2] + 2 * luma[1:-1] + luma[2:]) / 4
    return np.asarray((down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4, np.float32)


def _central_differences(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute half the differences of the neighbours across and down, of the same shape; zero at the edges."""
    across, down = np.zeros_like(values), np.zeros_like(values)
    across[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / 2
    down[1:-1] = (values[2:] - values[:-2]) / 2
    return across, down


def _least_sharpness(luma: FloatArray) -> float:
    height, width = luma.shape
    middle = 2 * luma[1:-1, 1:-1]
    levels = []
    for down, across in _DIRECTIONS:
        ahead = luma[1 + down : height - 1 + down, 1 + across : width - 1 + across]
        behind = luma[1 - down : height - 1 - down, 1 - across : width - 1 - across]
        second: Float64Array = (ahead + behind - middle).astype(np.float64)
        levels.append(math.sqrt(float(np.mean(second * second))) / (down * down + across * across))
    return min(levels)


def _quantile(values: FloatArray, share: float) -> float:
    """Return the value that this share of the values is below, without interpolation."""
    flat = values.ravel()
    index = int(share * (flat.size - 1))
    return float(np.partition(flat, index)[index])
