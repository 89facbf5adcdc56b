"""A picture that shows what an augmentation does: each row has an image and its augmented versions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_sdk.escaping import escaped_line
from edge_sdk.types import UInt8Array
from edge_train.data.augment import Augment

_TILE_PX, _GAP_PX, _LABEL_PX, _TITLE_PX = 112, 6, 18, 30
_INK, _SUBDUED, _PAPER = "#222222", "#6b7280", "#ffffff"


def draw_contact_sheet(
    images: Sequence[UInt8Array],
    augment: Augment | None,
    *,
    title: str,
    names: Sequence[str] = (),
    versions: int = 8,
    seed: int = 0,
) -> bytes:
    """Draw the sheet.

    Args:
        images: Images of one shape (H, W, C), uint8; at least one.
        augment: The augmentation, as the training step uses it; None shows the images unchanged.
        title: Text above the sheet, such as the name of the set.
        names: Name of each image; empty for none.
        versions: Number of augmented versions of each image.
        seed: Seed of the first version; version k has the seed (seed, k), as step k of a training has.

    Returns:
        A PNG file.
    """
    batch = np.stack(list(images))
    columns = [batch, *(_augmented(batch, augment, seed, number) for number in range(versions))]
    height, width = batch.shape[1:3]
    scale = _TILE_PX / max(height, width)
    tile = max(1, round(width * scale)), max(1, round(height * scale))
    step_x, step_y = tile[0] + _GAP_PX, tile[1] + _GAP_PX + (_LABEL_PX if names else 0)
    sheet = Image.new(
        "RGB",
        (3 * _GAP_PX + len(columns) * step_x, _TITLE_PX + _LABEL_PX + len(batch) * step_y + _GAP_PX),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((_GAP_PX, 7), title, _INK, large)
    for number, column in enumerate(columns):
        # The original stands a little apart.
        x = _GAP_PX + number * step_x + (_GAP_PX if number else 0)
        draw.text((x, _TITLE_PX), "original" if number == 0 else f"version {number}", _SUBDUED, small)
        for row, pixels in enumerate(column):
            y = _TITLE_PX + _LABEL_PX + row * step_y
            sheet.paste(_tile(pixels, tile), (x, y))
            if names and number == 0:
                draw.text((x, y + tile[1] + 1), _shortened(names[row], draw, small, tile[0]), _SUBDUED, small)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _augmented(batch: UInt8Array, augment: Augment | None, seed: int, number: int) -> UInt8Array:
    if augment is None:
        return batch
    import tensorflow as tf

    changed = augment(tf.constant(batch, tf.float32), tf.constant([seed, number], tf.int32))
    pixels: UInt8Array = np.rint(np.asarray(changed)).astype(np.uint8)
    return pixels


def _tile(pixels: UInt8Array, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    resampling = Image.Resampling.NEAREST if size[0] > image.width else Image.Resampling.BOX
    return image.resize(size, resampling)


def _shortened(name: str, draw: ImageDraw.ImageDraw, font: Any, most_px: int) -> str:
    text = escaped_line(name)
    while len(text) > 2 and draw.textlength(text, font) > most_px:
        text = text[:-2] + "…"
    return text
