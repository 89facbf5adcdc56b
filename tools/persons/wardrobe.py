"""Persons as data: build, hair, clothes and bags, which stay the same in every picture of a person."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

#: Colours of clothes and their weights; most people wear dark, gray or blue clothes, so colours alone say little.
_UPPER = (
    ((26, 26, 30), 6),
    ((70, 72, 76), 4),
    ((140, 142, 146), 3),
    ((228, 228, 224), 5),
    ((30, 40, 82), 4),
    ((52, 92, 170), 3),
    ((130, 176, 220), 2),
    ((176, 34, 40), 3),
    ((104, 26, 44), 2),
    ((38, 110, 70), 2),
    ((96, 100, 56), 2),
    ((196, 176, 140), 3),
    ((104, 72, 50), 2),
    ((232, 196, 60), 1),
    ((226, 120, 44), 1),
    ((226, 140, 170), 2),
    ((110, 60, 140), 1),
    ((40, 140, 150), 1),
)
_LOWER = (
    ((28, 28, 32), 6),
    ((34, 46, 86), 4),
    ((64, 92, 140), 4),
    ((112, 140, 182), 2),
    ((92, 94, 98), 3),
    ((190, 172, 138), 2),
    ((98, 70, 50), 1),
    ((220, 220, 214), 1),
    ((90, 96, 60), 1),
)
_SKIN: tuple[Colour, ...] = ((238, 196, 168), (222, 170, 136), (188, 132, 98), (138, 92, 66), (92, 60, 44))
_HAIR: tuple[Colour, ...] = (
    (24, 20, 20),
    (58, 40, 28),
    (104, 70, 40),
    (190, 150, 88),
    (150, 146, 142),
    (128, 52, 28),
)
PATTERNS = ("plain", "rings", "pinstripes", "checks", "dots", "block", "chest", "print", "back")
TOPS = ("t-shirt", "pullover", "jacket", "coat", "hoodie")
BOTTOMS = ("trousers", "shorts", "skirt")
HAIRSTYLES = ("short", "long", "bun", "bald", "cap")
BAGS = ("none", "backpack", "shoulder", "handbag")


@dataclass(frozen=True)
class Garment:
    """A piece of clothing.

    Attributes:
        kind: One of ``TOPS`` or ``BOTTOMS``.
        colour, accent: Colours of the cloth and of its pattern.
        pattern: One of ``PATTERNS``; ``print`` is a picture on the chest, ``back`` on the back, ``chest`` a wide band.
        period_m: Repetition length of the pattern in metres.
    """

    kind: str
    colour: Colour
    accent: Colour
    pattern: str
    period_m: float


@dataclass(frozen=True)
class Person:
    """A subject with one set of clothes.

    Attributes:
        number: Number of the person, from 0.
        height_m: Height in metres.
        girth: Factor for the width of trunk and limbs.
        skin, hair, shoes, bag_colour, inner: Colours; ``inner`` is the shirt under an open jacket.
        hairstyle: One of ``HAIRSTYLES``.
        top, bottom: Clothes.
        bag: One of ``BAGS``.
        bag_side: 1 or -1.
    """

    number: int
    height_m: float
    girth: float
    skin: Colour
    hair: Colour
    hairstyle: str
    top: Garment
    bottom: Garment
    inner: Colour
    shoes: Colour
    bag: str
    bag_colour: Colour
    bag_side: int

    @property
    def name(self) -> str:
        """Name of the subject's folder, such as ``0002``."""
        return f"{self.number + 1:04d}"


def person(seed: int, number: int) -> Person:
    """Return a person; the same seed and number give the same person.

    Every second person (odd numbers) is a look-alike: the colours of the clothes and of the skin are those of the person before,
    and the pattern, hair, bag and shoes differ.
    """
    rng = np.random.default_rng([seed, 11, number])
    pattern = _pattern(rng)
    if number % 2:
        model = person(seed, number - 1)
        skin = model.skin
        upper, lower = _varied(rng, model.top.colour, 0.04), _varied(rng, model.bottom.colour, 0.04)
        while pattern == model.top.pattern:
            pattern = str(rng.choice(PATTERNS))
        bag = str(rng.choice([bag for bag in BAGS if bag != model.bag]))
    else:
        skin = _SKIN[rng.integers(len(_SKIN))]
        upper, lower = _colour(rng, _UPPER), _colour(rng, _LOWER)
        bag = str(rng.choice(BAGS, p=(0.4, 0.25, 0.2, 0.15)))
    top = Garment(
        kind=str(rng.choice(TOPS, p=(0.3, 0.22, 0.2, 0.12, 0.16))),
        colour=upper,
        accent=_contrasting(rng, upper),
        pattern=pattern,
        period_m=float(rng.uniform(0.07, 0.16)),
    )
    bottom = Garment(
        kind=str(rng.choice(BOTTOMS, p=(0.68, 0.16, 0.16))),
        colour=lower,
        accent=_contrasting(rng, lower),
        pattern=str(rng.choice(("plain", "side", "checks"), p=(0.8, 0.12, 0.08))),
        period_m=float(rng.uniform(0.07, 0.14)),
    )
    return Person(
        number=number,
        height_m=float(np.clip(rng.normal(1.71, 0.09), 1.5, 1.95)),
        girth=float(np.clip(rng.normal(1.0, 0.1), 0.82, 1.3)),
        skin=_varied(rng, skin, 0.03),
        hair=_HAIR[rng.integers(len(_HAIR))],
        hairstyle=str(rng.choice(HAIRSTYLES, p=(0.4, 0.28, 0.1, 0.07, 0.15))),
        top=top,
        bottom=bottom,
        inner=_colour(rng, _UPPER),
        shoes=_colour(rng, _UPPER),
        bag=bag,
        bag_colour=_colour(rng, _UPPER),
        bag_side=1 if rng.random() < 0.5 else -1,
    )


def _pattern(rng: np.random.Generator) -> str:
    return str(rng.choice(PATTERNS, p=(0.3, 0.12, 0.06, 0.1, 0.06, 0.1, 0.06, 0.12, 0.08)))


def _colour(rng: np.random.Generator, table: tuple[tuple[Colour, int], ...]) -> Colour:
    weights = np.array([weight for _, weight in table], float)
    return _varied(rng, table[rng.choice(len(table), p=weights / weights.sum())][0], 0.06)


def _varied(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return a colour close to another: hue, saturation and value change by about ``spread``."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
    hue += rng.normal(0, spread * 0.25)
    saturation = float(np.clip(saturation * (1 + rng.normal(0, spread)), 0, 1))
    value = float(np.clip(value * (1 + rng.normal(0, spread)), 0.05, 1))
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """Return a colour of the table that differs visibly from another."""
    far = [other for other, _ in _UPPER if sum(abs(a - b) for a, b in zip(colour, other, strict=True)) > 150]
    return _varied(rng, far[rng.integers(len(far))], 0.06)
