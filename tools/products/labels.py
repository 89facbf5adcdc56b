"""Draw a product's label as flat artwork: brand, kind, flavour, icon and pattern.

Siblings differ only in word, colour and icon, like real variants of a product. The only font is the one included in
Pillow; weight, width, slant and outline vary between brands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tools.products.catalogue import Colour, Family, Flavour, Product, contrasting, luminance
from tools.products.icons import draw_icon, mix
from tools.products.patterns import draw_pattern, draw_zone

LABEL_HEIGHT_PX = 224
_SUPERSAMPLING = 2  # ImageDraw does not support antialiasing

Box = tuple[float, float, float, float]  # left, top, right, bottom in 0..1 of the label


@dataclass(frozen=True, eq=False)
class Artwork:
    """A printed label.

    Attributes:
        front: Shape (LABEL_HEIGHT_PX, W, 3), uint8, RGB, W by the family's aspect.
        side: Shape (LABEL_HEIGHT_PX, LABEL_HEIGHT_PX // 2, 3), uint8, RGB: small print and bar code.
        accent: Colour of the cap, lid or gable.
    """

    front: np.ndarray
    side: np.ndarray
    accent: Colour


@dataclass(frozen=True)
class _Layout:
    """Positions of the words and the icon on a label."""

    brand: Box
    kind: Box
    flavour: Box
    icon: Box


_LAYOUTS = {
    "classic": _Layout(
        (0.08, 0.07, 0.92, 0.24), (0.2, 0.26, 0.8, 0.33), (0.1, 0.74, 0.9, 0.85), (0.22, 0.37, 0.78, 0.71)
    ),
    "low": _Layout(
        (0.07, 0.70, 0.93, 0.87), (0.2, 0.88, 0.8, 0.95), (0.1, 0.54, 0.9, 0.65), (0.2, 0.1, 0.8, 0.5)
    ),
    "badge": _Layout(
        (0.14, 0.19, 0.86, 0.31), (0.25, 0.33, 0.75, 0.39), (0.1, 0.5, 0.9, 0.61), (0.25, 0.64, 0.75, 0.95)
    ),
    "banner": _Layout(
        (0.05, 0.4, 0.95, 0.57), (0.25, 0.60, 0.75, 0.66), (0.08, 0.85, 0.92, 0.95), (0.25, 0.06, 0.75, 0.37)
    ),
    "split": _Layout(
        (0.06, 0.06, 0.94, 0.19), (0.06, 0.21, 0.5, 0.27), (0.06, 0.62, 0.66, 0.72), (0.5, 0.66, 0.97, 0.95)
    ),
    "poster": _Layout(
        (0.2, 0.05, 0.8, 0.14), (0.2, 0.88, 0.8, 0.94), (0.05, 0.16, 0.95, 0.32), (0.12, 0.36, 0.88, 0.84)
    ),
}


@dataclass(frozen=True)
class _Typography:
    """Typography of a brand."""

    upper: bool
    weight: float
    slant: float
    outlined: bool
    spaced: bool


def _draw_typography(rng: np.random.Generator) -> _Typography:
    return _Typography(
        upper=bool(rng.random() < 0.5),
        weight=float(rng.choice([0.0, 0.02, 0.045, 0.07])),
        slant=float(rng.choice([0.0, 0.0, 0.2, -0.12])),
        outlined=bool(rng.random() < 0.2),
        spaced=bool(rng.random() < 0.2),
    )


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]


@lru_cache(maxsize=512)
def _word_mask(word: str, style: _Typography) -> Image.Image:
    """Return `word` as a cropped coverage mask, mode L, about 60 px high."""
    size = 64
    text = word.upper() if style.upper else word.capitalize()
    if style.spaced:
        text = " ".join(text)
    stroke = round(style.weight * size)
    left, top, right, bottom = _font(size).getbbox(text, stroke_width=stroke)
    width, height = int(right - left), int(bottom - top)
    mask = Image.new("L", (width + 2, height + 2), 0)
    ImageDraw.Draw(mask).text((1 - left, 1 - top), text, fill=255, font=_font(size), stroke_width=stroke)
    if style.slant:
        shift = abs(style.slant) * height
        offset = -shift if style.slant > 0 else 0.0
        mask = mask.transform(
            (int(mask.width + shift), mask.height),
            Image.Transform.AFFINE,
            (1, style.slant, offset, 0, 1, 0),
            Image.Resampling.BICUBIC,
        )
    return mask


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    return int(box[0] * width), int(box[1] * height), int(box[2] * width), int(box[3] * height)


def _put_word(image: Image.Image, word: str, style: _Typography, box: Box, colour: Colour) -> None:
    """Fit `word` into `box`, stretched by at most 40 % so that it stays readable."""
    left, top, right, bottom = _pixels(box, image.size)
    mask = _word_mask(word, style)
    scale = min((right - left) / mask.width, (bottom - top) / mask.height)
    width = min(right - left, int(mask.width * scale * 1.4))
    height = min(bottom - top, int(mask.height * scale * 1.4))
    mask = mask.resize((max(2, width), max(2, height)), Image.Resampling.BILINEAR)
    corner = (left + (right - left - mask.width) // 2, top + (bottom - top - mask.height) // 2)
    if style.outlined:
        shadow = (250, 250, 248) if luminance(colour) < 128 else (30, 26, 28)
        gap = max(2, image.height // 140)
        for dx, dy in ((gap, gap), (-gap, 0), (0, -gap)):
            image.paste(shadow, (corner[0] + dx, corner[1] + dy), mask)
    image.paste(colour, corner, mask)


def _under(image: Image.Image, box: Box) -> Colour:
    """Return the mean colour of the image in `box`."""
    mean = np.asarray(image.crop(_pixels(box, image.size)).resize((1, 1), Image.Resampling.BOX))[0, 0]
    return int(mean[0]), int(mean[1]), int(mean[2])


def _put_readable(image: Image.Image, word: str, style: _Typography, box: Box, colour: Colour) -> None:
    """Fit `word` into `box`, in `colour` if it is readable there, otherwise in near-black or near-white."""
    _put_word(image, word, style, box, contrasting(_under(image, box), colour))


def _put_plate(image: Image.Image, shape: int, box: Box, colour: Colour, line: Colour) -> None:
    """Draw a plate behind the brand; shape 0 draws nothing."""
    left, top, right, bottom = _pixels(box, image.size)
    pad = int(0.02 * image.height)
    height = bottom - top
    left, top = max(0, left - pad), max(0, top - pad)
    right, bottom = min(image.width - 1, right + pad), min(image.height - 1, bottom + pad)
    draw = ImageDraw.Draw(image)
    stroke = max(2, image.height // 110)
    if shape == 1:
        box_px = (left, top, right, bottom)
        draw.rounded_rectangle(box_px, radius=pad * 2, fill=colour, outline=line, width=stroke)
    elif shape == 2:
        box_px = (left, top - height // 2, right, bottom + height // 2)
        draw.ellipse(box_px, fill=colour, outline=line, width=stroke)
    elif shape == 3:
        draw.rectangle((0, top, image.width, bottom), fill=colour)
        for y in (top, bottom):
            draw.line((0, y, image.width, y), fill=line, width=stroke)
    elif shape == 4:
        notches = ((right - height // 3, (top + bottom) // 2), (left + height // 3, (top + bottom) // 2))
        corners = ((left, top), (right, top), notches[0], (right, bottom), (left, bottom), notches[1])
        draw.polygon(corners, fill=colour)


def _put_icons(image: Image.Image, flavour: Flavour, box: Box, arrangement: int) -> None:
    """Draw the flavour's icon in `box`: once, three in a row, or three in a heap."""
    left, top, right, bottom = _pixels(box, image.size)
    width, height = right - left, bottom - top
    if arrangement == 0:
        side = min(width, height)
        places = [(left + (width - side) // 2, top + (height - side) // 2, side)]
    elif arrangement == 1:
        side = min(width // 3, height)
        places = [
            (left + (width - 3 * side) // 2 + i * side, top + (height - side) // 2, side) for i in range(3)
        ]
    else:
        side = int(min(width, height) * 0.6)
        places = [
            (left + int(x * (width - side)), top + int(y * (height - side)), side)
            for x, y in ((0.1, 0.9), (0.9, 0.85), (0.5, 0.2))
        ]
    for x, y, extent in places:
        icon = draw_icon(flavour.icon, flavour.colour, extent)
        image.paste(icon, (x, y), icon)


def _small_print(image: Image.Image, box: Box, colour: Colour, rng: np.random.Generator, lines: int) -> None:
    """Draw dashed lines that look like unreadably small text."""
    left, top, right, bottom = _pixels(box, image.size)
    draw = ImageDraw.Draw(image)
    for y in np.linspace(top, bottom, lines):
        x = float(left)
        while x < right:
            step = float(rng.uniform(0.03, 0.12)) * image.height
            draw.line((x, y, min(x + step, right), y), fill=colour, width=max(2, image.height // 130))
            x += step + 0.02 * image.height


def _front(family: Family, flavour: Flavour) -> Image.Image:
    """Draw the front at the supersampled size; only `flavour` differs between siblings."""
    rng = np.random.default_rng([family.style_seed, 0])
    height = LABEL_HEIGHT_PX * _SUPERSAMPLING
    image = Image.new("RGB", (round(height * family.aspect), height), family.ground)
    layout = _LAYOUTS[family.layout]
    zone_last = family.zone != "ground"
    if not zone_last:
        draw_zone(image, family.zone, flavour.colour, rng)
    print_colour = mix(flavour.colour, (255, 255, 255), 0.25) if not zone_last else family.second
    draw_pattern(image, family.pattern, print_colour, rng)
    if zone_last:
        draw_zone(image, family.zone, flavour.colour, rng)

    plate = int(rng.integers(5))
    plate_colour = contrasting(family.ink, family.second if rng.random() < 0.5 else family.ground)
    plate_line = family.ink if rng.random() < 0.6 else flavour.colour
    icon_ground = rng.random()
    arrangement = int(rng.integers(3))
    if icon_ground < 0.45:  # a light area behind the icon
        light = mix(family.ground, (255, 255, 255), 0.6)
        ImageDraw.Draw(image).ellipse(_pixels(layout.icon, image.size), fill=light)
    _put_icons(image, flavour, layout.icon, arrangement)

    brand_style, word_style = _draw_typography(rng), _draw_typography(rng)
    _put_plate(image, plate, layout.brand, plate_colour, plate_line)
    _put_readable(image, family.brand, brand_style, layout.brand, family.ink)
    _put_readable(image, family.kind, word_style, layout.kind, family.ink)
    if rng.random() < 0.35:
        _put_plate(image, 1, layout.flavour, (250, 249, 244), flavour.colour)
    _put_readable(image, flavour.word, word_style, layout.flavour, mix(flavour.colour, (0, 0, 0), 0.3))
    foot = (0.3, 0.965, 0.7, 0.985)
    _small_print(image, foot, contrasting(_under(image, foot), family.ink), rng, 2)
    return image


def _side(family: Family, flavour: Flavour) -> Image.Image:
    """Draw the side: a stripe in the flavour's colour, small print and a bar code."""
    rng = np.random.default_rng([family.style_seed, 1])
    height = LABEL_HEIGHT_PX * _SUPERSAMPLING
    ground = flavour.colour if family.zone == "ground" else family.ground
    image = Image.new("RGB", (height // 2, height), ground)
    ImageDraw.Draw(image).rectangle((0, height * 0.05, height, height * 0.16), fill=flavour.colour)
    style = _Typography(True, 0.03, 0.0, False, False)
    _put_word(image, family.brand, style, (0.15, 0.19, 0.85, 0.28), contrasting(ground, family.ink))
    _small_print(image, (0.12, 0.36, 0.88, 0.66), contrasting(ground, mix(family.ink, ground, 0.3)), rng, 9)
    draw = ImageDraw.Draw(image)
    draw.rectangle((height * 0.1, height * 0.74, height * 0.4, height * 0.93), fill=(250, 250, 250))
    x = height * 0.12
    while x < height * 0.38:
        bar = float(rng.uniform(2, 6))
        draw.rectangle((x, height * 0.76, x + bar, height * 0.90), fill=(20, 20, 20))
        x += bar + float(rng.uniform(2, 5))
    return image


def _reduced(image: Image.Image) -> np.ndarray:
    size = (image.width // _SUPERSAMPLING, image.height // _SUPERSAMPLING)
    return np.asarray(image.resize(size, Image.Resampling.BOX))


@lru_cache(maxsize=96)
def draw_label(product: Product) -> Artwork:
    """Draw the artwork of `product`; the result is deterministic."""
    family, flavour = product.family, product.flavour
    accent = flavour.colour if family.style_seed % 2 else mix(family.ink, (255, 255, 255), 0.15)
    return Artwork(_reduced(_front(family, flavour)), _reduced(_side(family, flavour)), accent)
