"""Catalogue of products: brands (families of products that share a design) and their flavours (variants).

A product is a class. All its properties follow from `(seed, family index, flavour)`, so a set of products is a list
of numbers, and two processes draw the same label.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_HEADS = _words(
    "Nord Al Ber Cala Dori Elva Fjor Gral Halla Isa Jura Kel Lumi Mara Nima Oro Pala Quil Rosa Sol "
    "Tava Ulm Vela Wen Yara Zeph Bram Corva Drei Esko Finn Gilo Hav Ilva Kova Lars Mont Nela Ost Pira"
)
_TAILS = _words(
    "kap dena vik mona ria berg sund lo tana field wyn dal stad nova riva holm ette mar ling quist "
    "by hof ina rup zo fjell ora bay keld una"
)
_KINDS = (  # contents and the package types they are sold in
    ("oat", ("carton",)),
    ("milk", ("carton", "bottle")),
    ("tea", ("box", "tin")),
    ("coffee", ("pouch", "tin")),
    ("muesli", ("box", "pouch")),
    ("crackers", ("box",)),
    ("crisps", ("pouch",)),
    ("soap", ("box", "bottle")),
    ("shampoo", ("bottle",)),
    ("juice", ("carton", "bottle")),
    ("soda", ("can",)),
    ("soup", ("tin", "pouch")),
    ("jam", ("jar",)),
    ("spread", ("jar", "cup")),
    ("yoghurt", ("cup",)),
    ("sauce", ("bottle", "jar")),
    ("biscuits", ("box", "pouch")),
    ("bar", ("slab",)),
    ("chocolate", ("slab", "box")),
    ("pasta", ("box", "pouch")),
)
ASPECTS = {  # package -> (narrowest, widest) label, width / height; a round package shows two thirds of its label
    "box": (0.58, 0.95),
    "carton": (0.46, 0.62),
    "pouch": (0.62, 0.85),
    "slab": (1.25, 1.9),
    "bottle": (0.95, 1.25),
    "can": (0.75, 0.88),
    "tin": (1.0, 1.35),
    "jar": (1.75, 2.3),
    "cup": (1.2, 1.5),
}
PATTERNS = ("plain", "stripes", "dots", "chevrons", "rays", "waves", "fade", "checks", "leaves", "diagonal")
ZONES = ("band", "lower", "slant", "disc", "ground", "column", "frame", "arch")
LAYOUTS = ("classic", "low", "badge", "banner", "split", "poster")


@dataclass(frozen=True)
class Flavour:
    """One variant of a family: a word, a colour and an icon."""

    word: str
    colour: Colour
    icon: str


FLAVOURS = (
    Flavour("vanilla", (240, 214, 130), "flower"),
    Flavour("cocoa", (96, 58, 38), "bean"),
    Flavour("hazelnut", (158, 108, 66), "nut"),
    Flavour("caramel", (205, 132, 48), "drop"),
    Flavour("honey", (236, 170, 40), "comb"),
    Flavour("lemon", (246, 218, 58), "citrus"),
    Flavour("orange", (243, 136, 30), "citrus"),
    Flavour("mango", (250, 166, 50), "apple"),
    Flavour("peach", (246, 168, 128), "apple"),
    Flavour("apple", (136, 184, 52), "apple"),
    Flavour("lime", (166, 206, 60), "citrus"),
    Flavour("mint", (84, 186, 148), "leaf"),
    Flavour("herbs", (70, 122, 62), "leaf"),
    Flavour("cherry", (168, 22, 52), "cherry"),
    Flavour("raspberry", (214, 36, 92), "berries"),
    Flavour("strawberry", (226, 48, 66), "berries"),
    Flavour("tomato", (214, 50, 34), "apple"),
    Flavour("chilli", (190, 32, 28), "flame"),
    Flavour("blueberry", (72, 84, 172), "berries"),
    Flavour("plum", (108, 52, 120), "cherry"),
    Flavour("lavender", (160, 134, 204), "flower"),
    Flavour("rose", (232, 138, 160), "flower"),
    Flavour("coconut", (222, 226, 220), "disc"),
    Flavour("sea salt", (128, 178, 212), "wave"),
    Flavour("ocean", (36, 128, 182), "wave"),
    Flavour("alpine", (96, 150, 190), "mountain"),
    Flavour("forest", (38, 96, 68), "tree"),
    Flavour("classic", (180, 40, 46), "star"),
    Flavour("mild", (190, 206, 160), "sun"),
    Flavour("strong", (44, 44, 52), "flame"),
    Flavour("pepper", (70, 66, 70), "bean"),
    Flavour("barley", (212, 176, 106), "wheat"),
    Flavour("spelt", (194, 150, 90), "wheat"),
    Flavour("night", (38, 46, 96), "moon"),
)


@dataclass(frozen=True)
class Family:
    """The design of a brand, shared by all its variants.

    Attributes:
        style_seed: Seed of all random choices that the labels of the family share.
        flavours: The variants, at least four.
    """

    index: int
    style_seed: int
    brand: str
    kind: str
    package: str
    aspect: float
    pattern: str
    zone: str
    layout: str
    ground: Colour
    second: Colour
    ink: Colour
    depth: float
    flavours: tuple[Flavour, ...]


@dataclass(frozen=True)
class Product:
    """One class: a family and the index of a flavour in it."""

    family: Family
    variant: int

    @property
    def flavour(self) -> Flavour:
        """Flavour of this product, the only difference from its siblings."""
        return self.family.flavours[self.variant]

    @property
    def name(self) -> str:
        """Folder name, such as `nordkap-oat-vanilla`."""
        words = (self.family.brand, self.family.kind, self.flavour.word)
        return "-".join(words).lower().replace(" ", "-")


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def luminance(colour: Colour) -> float:
    """Return the luminance of a colour, 0..255 (ITU-R BT.601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def contrasting(ground: Colour, candidate: Colour) -> Colour:
    """Return `candidate` if it is readable on `ground`, otherwise near-black or near-white."""
    if abs(luminance(ground) - luminance(candidate)) > 70:
        return candidate
    return (250, 248, 242) if luminance(ground) < 140 else (34, 30, 32)


def _palette(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Return ground, second and ink colours of a family."""
    hue = float(rng.random())
    schemes = (
        ((244, 242, 236), _hsv(hue, 0.25, 0.92)),  # white package
        (_hsv(hue, 0.5, 0.2), _hsv(hue + 0.08, 0.45, 0.36)),  # dark
        (_hsv(hue, 0.8, 0.72), _hsv(hue + 0.05, 0.7, 0.9)),  # saturated
        (_hsv(hue, 0.25, 0.93), _hsv(hue + 0.12, 0.3, 0.85)),  # pastel
        ((196, 160, 116), (170, 134, 92)),  # brown paper
        (_hsv(hue, 0.7, 0.55), _hsv(hue + 0.45, 0.65, 0.8)),  # two strong colours
    )
    ground, second = schemes[rng.integers(6)]
    ink = contrasting(
        ground, _hsv(hue + float(rng.choice([0.0, 0.5, 0.33])), 0.8, float(rng.choice([0.25, 0.95])))
    )
    return ground, second, ink


@lru_cache(maxsize=4096)
def family(seed: int, index: int) -> Family:
    """Return family `index` of the catalogue with this seed."""
    rng = np.random.default_rng([seed, 1, index])
    # A fixed permutation of all pairs of head and tail, so that no two families of a catalogue share a brand name.
    place = (index * 709 + seed * 31) % (len(_HEADS) * len(_TAILS))
    brand = _HEADS[place % len(_HEADS)] + _TAILS[place // len(_HEADS)]
    kind, packages = _KINDS[rng.integers(len(_KINDS))]
    package = str(rng.choice(packages))
    low, high = ASPECTS[package]
    ground, second, ink = _palette(rng)
    flavours = tuple(FLAVOURS[i] for i in rng.permutation(len(FLAVOURS))[:6])
    return Family(
        index=index,
        style_seed=int(rng.integers(2**31)),
        brand=brand,
        kind=kind,
        package=package,
        aspect=float(rng.uniform(low, high)),
        pattern=str(rng.choice(PATTERNS)),
        zone=str(rng.choice(ZONES)),
        layout=str(rng.choice(LAYOUTS)),
        ground=ground,
        second=second,
        ink=ink,
        depth=float(rng.uniform(0.25, 0.7)),
        flavours=flavours,
    )


def product(seed: int, family_index: int, variant: int) -> Product:
    """Return one product of the catalogue with this seed."""
    return Product(family(seed, family_index), variant)
