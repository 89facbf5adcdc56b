"""Images on the page: thumbnails beside names, and maps of where networks look. Only what a person asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

from converters import number_format
from converters.analyze.occlusion import Attention, OcclusionMap
from converters.report.html import Content, Html, tag
from edge_sdk.types import Float64Array, UInt8Array

_THUMBNAIL_PX = 72
_MAP_PX = 224
# Dark to bright, brightness rising evenly, so that it reads without colour too.
_HEAT = np.array([[48, 52, 59], [122, 59, 105], [213, 96, 76], [252, 211, 107]], np.float64)


def named_image(name: str, thumbnails: Mapping[str, UInt8Array] | None) -> Html:
    """An image's name, with the image where it was asked for."""
    shown = tag("code", name)
    if thumbnails is None or name not in thumbnails:
        return shown
    picture = _picture(thumbnails[name], alt=name, side_px=_THUMBNAIL_PX)
    return tag("span", picture, shown, class_="thumbnail")


def attention(studies: Sequence[Attention]) -> Html:
    """Each image with its maps side by side, one scale for all maps of an image."""
    first = studies[0].maps[0][1]
    text = (
        f"A grey patch of {first.patch_px} px slides over the image in steps of {first.stride_px} px. The brighter a"
        " place, the further the cosine to the unoccluded embedding falls when it is covered."
    )
    return tag(
        "section",
        tag("h2", "Where it looks", id="attention"),
        tag("p", text),
        [_study(study) for study in studies],
    )


def _study(study: Attention) -> Html:
    top = max(float(found.falls.max()) for _, found in study.maps)
    agreement = study.agreement()
    caption: Content = [
        tag("code", study.image),
        ": fall of the cosine 0 ",
        tag("span", class_="scale", role="presentation"),
        f" {top:.2f}.",
        "" if agreement is None else f" Correlation of the first two maps: {agreement:.2f}.",
    ]
    pictures = [tag("div", _picture(study.pixels, alt=study.image, side_px=_MAP_PX), tag("div", "the image"))]
    pictures += [
        tag(
            "div",
            _picture(
                _overlaid(study.pixels, found, top), alt=f"{study.image}, where {name} looks", side_px=_MAP_PX
            ),
            tag("div", f"{name}: most {number_format.signed(-float(found.falls.max()), 2)} of cosine"),
        )
        for name, found in study.maps
    ]
    return tag("figure", tag("div", pictures, class_="strip"), tag("figcaption", caption), class_="study")


def _overlaid(pixels: UInt8Array, found: OcclusionMap, top: float) -> UInt8Array:
    """The map's colours over the image's brightness."""
    grey = pixels.astype(np.float64).mean(axis=2, keepdims=True) / 255
    heat = _colours(_resized(found.falls.astype(np.float64) / max(top, 1e-9), *pixels.shape[:2]))
    return np.asarray((heat * (0.35 + 0.65 * grey)).clip(0, 255), np.uint8)


def _resized(values: Float64Array, height: int, width: int) -> Float64Array:
    """Bilinear, cell centres on cell centres."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height - 0.5).clip(0, values.shape[0] - 1)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width - 0.5).clip(0, values.shape[1] - 1)
    below, beside = np.floor(rows).astype(int), np.floor(columns).astype(int)
    above, right = np.minimum(below + 1, values.shape[0] - 1), np.minimum(beside + 1, values.shape[1] - 1)
    down, along = (rows - below)[:, None], (columns - beside)[None, :]
    upper = values[below][:, beside] * (1 - along) + values[below][:, right] * along
    lower = values[above][:, beside] * (1 - along) + values[above][:, right] * along
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def _colours(values: Float64Array) -> Float64Array:
    place = values.clip(0, 1) * (len(_HEAT) - 1)
    return np.stack([np.interp(place, range(len(_HEAT)), _HEAT[:, c]) for c in range(3)], axis=-1)


def _picture(pixels: UInt8Array, *, alt: str, side_px: int) -> Html:
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if max(image.size) > 2 * side_px:
        image.thumbnail((2 * side_px, 2 * side_px))
    out = io.BytesIO()
    image.save(out, format="PNG")
    shown = side_px / max(image.size)
    return tag(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}",
        alt=alt,
        width=round(image.width * shown),
        height=round(image.height * shown),
    )
