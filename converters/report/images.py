"""Thumbnails and occlusion maps, which a page contains only if requested."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.analyze.occlusion import Attention, OcclusionMap
from converters.report.rendering import PageSection, render
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.explanation_picture import enlarged

_THUMBNAIL_PX = 72
_MAP_PX = 224
# Dark to bright with evenly rising brightness, so that the map can be read without colour.
_HEAT = np.array([[48, 52, 59], [122, 59, 105], [213, 96, 76], [252, 211, 107]], np.float64)


@dataclass(frozen=True)
class Picture:
    """An image for an ``<img>`` element.

    Args:
        source: PNG file as a ``data:`` URI.
        width: Width on the page in CSS pixels.
        height: Height on the page in CSS pixels.
    """

    source: str
    width: int
    height: int


def thumbnail(pixels: UInt8Array) -> Picture:
    """Encode an image of shape (H, W, C), uint8, as a thumbnail with a longer side of 72 CSS pixels."""
    return picture(pixels, _THUMBNAIL_PX)


def section(studies: Sequence[Attention]) -> PageSection:
    """Render each image with its occlusion maps side by side, on one scale per image."""
    first = studies[0].maps[0][1]
    content = render(
        "occlusion.html",
        patch_px=first.patch_px,
        stride_px=first.stride_px,
        studies=[_study(study) for study in studies],
    )
    return PageSection("attention", "Occlusion maps", content)


def _study(study: Attention) -> dict[str, object]:
    falls = [float(occlusion.falls.max()) for _, occlusion in study.maps]
    return {
        "image": study.image,
        "picture": picture(study.pixels, _MAP_PX),
        "top": max(falls),
        "agreement": study.agreement(),
        "maps": [
            (name, fall, picture(_overlaid(study.pixels, occlusion, max(falls)), _MAP_PX))
            for (name, occlusion), fall in zip(study.maps, falls, strict=True)
        ],
    }


def _overlaid(pixels: UInt8Array, occlusion: OcclusionMap, top: float) -> UInt8Array:
    """Show the map's colours with the brightness of the image."""
    grey = pixels.astype(np.float64).mean(axis=2, keepdims=True) / 255
    heat = _colours(enlarged(occlusion.falls.astype(np.float64) / max(top, 1e-9), *pixels.shape[:2]))
    return np.asarray((heat * (0.35 + 0.65 * grey)).clip(0, 255), np.uint8)


def _colours(values: Float64Array) -> Float64Array:
    place = values.clip(0, 1) * (len(_HEAT) - 1)
    return np.stack([np.interp(place, range(len(_HEAT)), _HEAT[:, c]) for c in range(3)], axis=-1)


def picture(pixels: UInt8Array, side_px: int) -> Picture:
    """Encode an image of shape (H, W, C), uint8, with a longer side of `side_px` CSS pixels and at most twice as many of its own."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if max(image.size) > 2 * side_px:
        image.thumbnail((2 * side_px, 2 * side_px))
    out = io.BytesIO()
    image.save(out, format="PNG")
    scale = side_px / max(image.size)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", round(image.width * scale), round(image.height * scale))
