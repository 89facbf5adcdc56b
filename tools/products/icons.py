"""Flavour icons, such as fruit and leaves, drawn with ellipses and polygons."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

from tools.products.catalogue import Colour

_SIDE = 120  # every icon is drawn on a square this wide, then scaled


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` moved towards `second` by `share` in 0..1."""
    return tuple(int(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (20, 16, 14)
_GREEN: Colour = (74, 140, 60)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _citrus(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    _circle(draw, 60, 60, 54, colour)
    _circle(draw, 60, 60, 46, mix(colour, _WHITE, 0.75))
    for wedge in range(8):
        start = wedge * 45 + 4
        draw.pieslice((18, 18, 102, 102), start, start + 37, fill=mix(colour, _WHITE, 0.2))


def _berries(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for x, y in ((36, 46), (78, 40), (56, 78), (92, 82), (24, 88)):
        _circle(draw, x, y, 24, mix(colour, _BLACK, 0.15))
        _circle(draw, x - 3, y - 3, 20, colour)
        _circle(draw, x - 9, y - 9, 6, mix(colour, _WHITE, 0.6))
    draw.polygon(((60, 20), (88, 2), (84, 22)), fill=_GREEN)


def _cherry(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.line((38, 80, 70, 12), fill=_GREEN, width=6)
    draw.line((86, 84, 70, 12), fill=_GREEN, width=6)
    draw.ellipse((66, 4, 112, 26), fill=_GREEN)
    for x, y in ((36, 84), (86, 88)):
        _circle(draw, x, y, 27, colour)
        _circle(draw, x - 9, y - 10, 7, mix(colour, _WHITE, 0.6))


def _apple(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    _circle(draw, 44, 70, 36, colour)
    _circle(draw, 76, 70, 36, mix(colour, _BLACK, 0.1))
    draw.ellipse((24, 40, 96, 110), fill=mix(colour, _WHITE, 0.1))
    draw.line((60, 42, 66, 12), fill=(90, 60, 40), width=7)
    draw.ellipse((66, 10, 104, 32), fill=_GREEN)


def _leaf(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for turn, size in ((0.0, 1.0), (0.9, 0.75), (-0.9, 0.75)):
        points = []
        for step in range(25):
            along = step / 12 if step <= 12 else 2 - step / 12
            width = 20 * math.sin(math.pi * along) * (1 if step <= 12 else -1)
            x, y = width * size, -along * 88 * size
            points.append(
                (60 + x * math.cos(turn) - y * math.sin(turn), 108 + x * math.sin(turn) + y * math.cos(turn))
            )
        draw.polygon(points, fill=mix(colour, _BLACK, 0.12 * abs(turn)))
        tip = (60 + 80 * size * math.sin(turn), 108 - 80 * size * math.cos(turn))
        draw.line(((60, 108), tip), fill=mix(colour, _WHITE, 0.5), width=3)


def _flower(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for petal in range(6):
        angle = petal * math.pi / 3
        _circle(draw, 60 + 32 * math.cos(angle), 60 + 32 * math.sin(angle), 23, colour)
        _circle(draw, 60 + 38 * math.cos(angle), 60 + 38 * math.sin(angle), 11, mix(colour, _WHITE, 0.35))
    _circle(draw, 60, 60, 17, (240, 190, 60))


def _bean(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for x, y in ((8, 30), (56, 4), (50, 62)):
        draw.ellipse((x, y, x + 56, y + 42), fill=colour)
        draw.arc((x + 6, y - 12, x + 50, y + 26), 20, 160, fill=mix(colour, _WHITE, 0.55), width=5)


def _nut(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.polygon(((14, 56), (60, 118), (106, 56)), fill=colour)
    draw.pieslice((14, 10, 106, 102), 180, 360, fill=mix(colour, _BLACK, 0.35))
    draw.ellipse((26, 52, 94, 82), fill=colour)
    draw.line((60, 12, 68, 0), fill=_BLACK, width=6)


def _drop(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.polygon(((60, 2), (92, 66), (28, 66)), fill=colour)
    _circle(draw, 60, 76, 36, colour)
    draw.arc((36, 52, 84, 100), 90, 170, fill=mix(colour, _WHITE, 0.7), width=7)


def _comb(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for place, (x, y) in enumerate(((60, 60), (60, 18), (96, 39), (96, 81), (60, 102), (24, 81), (24, 39))):
        fill = mix(colour, _WHITE if place % 2 else _BLACK, 0.2)
        draw.regular_polygon((x, y, 22), 6, rotation=30, fill=fill)


def _star(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    points = []
    for step in range(10):
        radius = 58 if step % 2 == 0 else 25
        angle = step * math.pi / 5 - math.pi / 2
        points.append((60 + radius * math.cos(angle), 62 + radius * math.sin(angle)))
    draw.polygon(points, fill=colour)


def _sun(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for ray in range(12):
        angle = ray * math.pi / 6
        draw.line((60, 60, 60 + 57 * math.cos(angle), 60 + 57 * math.sin(angle)), fill=colour, width=8)
    _circle(draw, 60, 60, 34, mix(colour, _WHITE, 0.15))


def _moon(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    _circle(draw, 56, 60, 52, colour)
    draw.ellipse((38, 0, 126, 88), fill=mix(colour, _WHITE, 0.75))
    for x, y in ((76, 34), (98, 60), (66, 58)):
        _circle(draw, x, y, 5, colour)


def _wave(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for row in range(4):
        points = [(x, 24 + row * 26 + 10 * math.sin(x / 12 + row)) for x in range(2, 120, 4)]
        draw.line(points, fill=mix(colour, _WHITE, 0.18 * row), width=12)


def _mountain(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.polygon(((46, 40), (84, 18), (120, 108), (30, 108)), fill=mix(colour, _BLACK, 0.3))
    draw.polygon(((0, 108), (44, 30), (90, 108)), fill=colour)
    draw.polygon(((28, 60), (44, 30), (60, 58), (50, 52), (42, 64)), fill=_WHITE)


def _tree(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.rectangle((52, 90, 68, 118), fill=(96, 64, 40))
    for top, half in ((4, 28), (30, 38), (56, 48)):
        draw.polygon(
            ((60, top), (60 - half, top + 42), (60 + half, top + 42)), fill=mix(colour, _WHITE, top / 300)
        )


def _wheat(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for stem in (30, 60, 90):
        draw.line((stem, 118, stem, 20), fill=mix(colour, _BLACK, 0.3), width=4)
        for y in range(12, 76, 16):
            draw.ellipse((stem - 15, y, stem - 1, y + 20), fill=colour)
            draw.ellipse((stem + 1, y, stem + 15, y + 20), fill=mix(colour, _BLACK, 0.15))


def _flame(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    draw.polygon(
        ((60, 0), (98, 56), (90, 100), (60, 118), (30, 100), (22, 62), (40, 70), (44, 34)), fill=colour
    )
    draw.polygon(((62, 44), (80, 82), (60, 112), (42, 88)), fill=mix(colour, (255, 220, 90), 0.7))


def _disc(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    _circle(draw, 60, 60, 54, (110, 76, 52))
    _circle(draw, 60, 60, 45, mix(colour, _WHITE, 0.6))
    _circle(draw, 60, 64, 28, mix(colour, _BLACK, 0.12))


ICONS: dict[str, Callable[[ImageDraw.ImageDraw, Colour], None]] = {
    "citrus": _citrus,
    "berries": _berries,
    "cherry": _cherry,
    "apple": _apple,
    "leaf": _leaf,
    "flower": _flower,
    "bean": _bean,
    "nut": _nut,
    "drop": _drop,
    "comb": _comb,
    "star": _star,
    "sun": _sun,
    "moon": _moon,
    "wave": _wave,
    "mountain": _mountain,
    "tree": _tree,
    "wheat": _wheat,
    "flame": _flame,
    "disc": _disc,
}


def draw_icon(name: str, colour: Colour, side_px: int) -> Image.Image:
    """Return icon `name` as an RGBA image of `side_px` x `side_px` pixels on a transparent background."""
    icon = Image.new("RGBA", (_SIDE, _SIDE), (*colour, 0))
    ICONS[name](ImageDraw.Draw(icon), colour)
    return icon.resize((side_px, side_px), Image.Resampling.LANCZOS)
