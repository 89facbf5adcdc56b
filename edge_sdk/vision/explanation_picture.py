"""Picture of an explained comparison: both images, and below them their maps in colour with a scale."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.extras import install_command
from edge_sdk.types import Float64Array, FloatArray, UInt8Array
from edge_sdk.vision.explanation import Method, PairExplanation

if TYPE_CHECKING:
    from PIL import ImageDraw

_SIDE_PX = 288
#: Smallest width of a column; the image of a narrow network is at its left.
_COLUMN_PX = 240
_MARGIN_PX = 14
_LINE_PX = 20
_FONT_PX = 14
#: Largest number of rows and columns of a map whose shares are printed in their cells.
_MAX_PRINTED = 8
_PAPER, _INK, _QUIET = (255, 255, 255), (26, 28, 32), (96, 100, 108)
#: Colours of the smallest and the largest value; their hues stay apart for the common forms of colour blindness.
_LOW, _HIGH = np.array([33.0, 102.0, 172.0]), np.array([230.0, 97.0, 1.0])
_TITLES: dict[Method, str] = {
    "positions": "share of the cosine at each position",
    "occlusion": "decrease of the cosine under a grey patch",
}


def enlarged(values: Float64Array, height: int, width: int) -> Float64Array:
    """Enlarge a map of shape (rows, columns) to (height, width), bilinear, with aligned cell centres."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height - 0.5).clip(0, values.shape[0] - 1)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width - 0.5).clip(0, values.shape[1] - 1)
    below, beside = np.floor(rows).astype(int), np.floor(columns).astype(int)
    above, right = np.minimum(below + 1, values.shape[0] - 1), np.minimum(beside + 1, values.shape[1] - 1)
    down, along = (rows - below)[:, None], (columns - beside)[None, :]
    upper = values[below][:, beside] * (1 - along) + values[below][:, right] * along
    lower = values[above][:, beside] * (1 - along) + values[above][:, right] * along
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def overlay(pixels: UInt8Array, values: FloatArray, top: float) -> UInt8Array:
    """Colour a grey copy of an image by a signed map.

    Args:
        pixels: Shape (H, W, C), uint8.
        values: Shape (rows, columns): the map; it covers the image.
        top: Value of the strongest colour, above 0; larger values are limited.

    Returns:
        Shape (H, W, 3), uint8: orange above 0, blue below 0, grey at 0.
    """
    grey = pixels.astype(np.float64).mean(axis=2, keepdims=True)
    share = (enlarged(values.astype(np.float64), *pixels.shape[:2]) / max(top, 1e-12)).clip(-1, 1)[..., None]
    colour = np.where(share < 0, _LOW, _HIGH) * (0.4 + 0.6 * grey / 255)
    weight = np.abs(share) ** 0.7 * 0.85
    paler = 70 + grey * (185 / 255)
    return np.asarray((paler * (1 - weight) + colour * weight).clip(0, 255), np.uint8)


def explanation_picture(explanation: PairExplanation, *, names: tuple[str, str] = ("A", "B")) -> UInt8Array:
    """Draw an explained comparison.

    Args:
        explanation: The explanation.
        names: Names of the two images; long ones are shortened.

    Returns:
        Shape (H, W, 3), uint8, RGB: the two images side by side with the cosine, and a row for each map. Orange places make
        the images more alike, blue ones less.

    Raises:
        InputError: Pillow is not installed.
    """
    pillow, draw_module = _pillow()
    height, width = _shown_size(explanation.first)
    maps = explanation.maps()
    column = max(width, _COLUMN_PX)
    columns = (_MARGIN_PX, 2 * _MARGIN_PX + column)
    first_row, row = (height + lines * _LINE_PX + _MARGIN_PX for lines in (1, 2))
    size = (columns[1] + column + _MARGIN_PX, _LINE_PX + _MARGIN_PX + first_row + row * len(maps))
    canvas = pillow.new("RGB", size, _PAPER)
    draw = draw_module.Draw(canvas)
    draw.text((_MARGIN_PX, _MARGIN_PX // 2), f"cosine {explanation.cosine:+.3f}", _INK, _font(_FONT_PX + 2))
    y = _MARGIN_PX + _LINE_PX
    below = first_row
    for x, crop, name in zip(columns, (explanation.first, explanation.second), names, strict=True):
        _paste(canvas, crop, (x, y), (width, height))
        _line(draw, (x, y + height + 2), name, column)
    for method, first, second in maps:
        y, below = y + below, row
        top = float(max(np.abs(first).max(), np.abs(second).max()))
        for x, crop, values in zip(
            columns, (explanation.first, explanation.second), (first, second), strict=True
        ):
            _paste(
                canvas, overlay(_enlarged_image(crop, width, height), values, top), (x, y), (width, height)
            )
            if max(values.shape) <= _MAX_PRINTED:
                _print_values(draw, values, (x, y), (width, height))
        _line(draw, (columns[0], y + height + 2), _title(explanation, method), column * 2)
        _scale(canvas, draw, (columns[0], y + height + 4 + _LINE_PX), column, top)
        _line(draw, (columns[1], y + height + 2 + _LINE_PX), _remark(explanation, method), column)
    return np.asarray(canvas, np.uint8)


def png(pixels: UInt8Array) -> bytes:
    """Encode a picture of shape (H, W, 3), uint8, as a PNG file; raises InputError without Pillow."""
    pillow, _ = _pillow()
    out = io.BytesIO()
    pillow.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise InputError("drawing a picture needs Pillow", hint=install_command("images")) from error
    return Image, ImageDraw


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _shown_size(crop: UInt8Array) -> tuple[int, int]:
    """Return (height, width) of an image on the picture: its longer side has 288 px."""
    longer = max(crop.shape[:2])
    return round(crop.shape[0] * _SIDE_PX / longer), round(crop.shape[1] * _SIDE_PX / longer)


def _enlarged_image(crop: UInt8Array, width: int, height: int) -> UInt8Array:
    pillow, _ = _pillow()
    image = pillow.fromarray(crop[..., 0] if crop.shape[2] == 1 else crop).convert("RGB")
    return np.asarray(image.resize((width, height), pillow.Resampling.BICUBIC), np.uint8)


def _paste(canvas: Any, pixels: UInt8Array, at: tuple[int, int], size: tuple[int, int]) -> None:
    pillow, _ = _pillow()
    canvas.paste(pillow.fromarray(_enlarged_image(pixels, *size)), at)


def _line(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int) -> None:
    """Write one line, shortened in the middle if it is longer than the width."""
    font = _font(_FONT_PX)
    cut = len(text)
    shown = text
    while cut > 8 and font.getlength(shown) > width:
        cut -= 1
        shown = f"{text[: cut // 2]}…{text[-(cut - cut // 2) :]}"
    draw.text(at, shown, _QUIET, font)


def _print_values(
    draw: ImageDraw.ImageDraw, values: FloatArray, at: tuple[int, int], size: tuple[int, int]
) -> None:
    """Print each share in hundredths in the middle of its cell; shares that round to 0 are left out."""
    font = _font(12)
    rows, columns = values.shape
    for (row, column), value in np.ndenumerate(values):
        hundredths = round(float(value) * 100)
        if hundredths:
            middle = (at[0] + (column + 0.5) * size[0] / columns, at[1] + (row + 0.5) * size[1] / rows)
            draw.text(middle, f"{hundredths:+d}", _PAPER, font, anchor="mm", stroke_width=2, stroke_fill=_INK)


def _title(explanation: PairExplanation, method: Method) -> str:
    shape = next(first.shape for name, first, _ in explanation.maps() if name == method)
    digits = ", in hundredths" if max(shape) <= _MAX_PRINTED else ""
    return f"{_TITLES[method]}, {shape[0]}x{shape[1]}{digits}"


def _remark(explanation: PairExplanation, method: Method) -> str:
    if method == "occlusion" or explanation.positions is None:
        return ""
    return f"and {explanation.positions[0].constant:+.3f} of constants (A), {explanation.positions[1].constant:+.3f} (B)"


def _scale(canvas: Any, draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, top: float) -> None:
    """Draw the scale from -top to +top: bar in the middle, numbers at its ends."""
    pillow, _ = _pillow()
    bar = width - 140
    ramp = np.linspace(-top, top, bar, dtype=np.float32)[None]
    colours = overlay(np.full((12, bar, 1), 160, np.uint8), ramp, top)
    canvas.paste(pillow.fromarray(colours), (at[0] + 62, at[1] + 2))
    font = _font(12)
    draw.text((at[0] + 56, at[1] + 8), f"{-top:.3f}", _INK, font, anchor="rm")
    draw.text((at[0] + 68 + bar, at[1] + 8), f"{top:+.3f}", _INK, font, anchor="lm")
