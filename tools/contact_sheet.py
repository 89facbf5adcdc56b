"""Contact sheet of an identification run: references on the left, each probe with its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from edge_sdk.types import UInt8Array

if TYPE_CHECKING:
    from tools.demo import Outcome

TILE_PX, GAP_PX, FRAME_PX, LABEL_PX = 96, 10, 4, 20
# Extra width for a product's name below its reference.
NAME_PX = 60
# Palette of Okabe and Ito, distinguishable with most kinds of colour vision.
RIGHT, REJECTED, WRONG = "#009e73", "#e69f00", "#d55e00"
INK, PAPER = "#222222", "#ffffff"


def draw_contact_sheet(references: Mapping[str, UInt8Array], outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw the sheet and write it as a PNG file.

    Args:
        references: The enrolled image of each subject, shape (H, W, 3), uint8.
        outcomes: Results of all probes.
        path: PNG file to write.
    """
    rows = {name: [o for o in outcomes if o.truth == name] for name in references}
    strangers = [o for o in outcomes if o.truth is None]
    half = -(-len(rows) // 2)
    probes = max(map(len, rows.values()), default=0)
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + LABEL_PX + GAP_PX
    column_px = (probes + 1) * step_x + NAME_PX + 2 * GAP_PX
    width = 2 * column_px + GAP_PX
    per_row = max(1, (width - GAP_PX) // step_x)
    stranger_rows = -(-len(strangers) // per_row)
    top = 40
    height = top + half * step_y + 40 + stranger_rows * step_y + GAP_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title, small = ImageFont.load_default(16), ImageFont.load_default(12)
    draw.text((GAP_PX, 10), "enrolled with one image (left); results for other photos", INK, title)
    for number, (name, probes_of_name) in enumerate(rows.items()):
        x = GAP_PX + (number // half) * column_px
        y = top + (number % half) * step_y
        _paste(sheet, references[name], x, y)
        for place, outcome in enumerate(probes_of_name):
            _framed(sheet, draw, outcome, x + (place + 1) * step_x + NAME_PX, y, small)
        draw.text((x, y + TILE_PX + 2), name, INK, small)
    y = top + half * step_y + 8
    draw.text((GAP_PX, y), "strangers: all of them should be rejected", INK, title)
    for number, outcome in enumerate(strangers):
        row, column = divmod(number, per_row)
        _framed(sheet, draw, outcome, GAP_PX + column * step_x, y + 32 + row * step_y, small)
    sheet.save(path)


def _paste(sheet: Image.Image, image: UInt8Array, x: int, y: int) -> None:
    sheet.paste(Image.fromarray(image).resize((TILE_PX, TILE_PX)), (x, y))


def _framed(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    outcome: Outcome,
    x: int,
    y: int,
    font: ImageFont.FreeTypeFont,
) -> None:
    _paste(sheet, outcome.image, x, y)
    box = (x - FRAME_PX // 2, y - FRAME_PX // 2, x + TILE_PX + FRAME_PX // 2, y + TILE_PX + FRAME_PX // 2)
    draw.rectangle(box, outline=_colour(outcome), width=FRAME_PX)
    draw.text((x, y + TILE_PX + 2), _label(outcome), _colour(outcome), font)


def _colour(outcome: Outcome) -> str:
    if outcome.right:
        return RIGHT
    return REJECTED if outcome.answer is None else WRONG


def _label(outcome: Outcome) -> str:
    if outcome.right:
        return "identified" if outcome.truth else "rejected"
    if outcome.answer is None:
        return "not recognized"
    return f"as {outcome.answer}"[:18]
