"""Surroundings of persons: streets, lawns, shops, garages and corridors, and objects that hide a part of a person."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.products.scenes import smooth_noise

FloatImage = np.ndarray  # (H, W, 3), float32, RGB, 0..255


def _tone(rng: np.random.Generator, saturation: float, value: tuple[float, float]) -> np.ndarray:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(*value))
    return np.array(rgb, np.float32) * 255


def _ground(
    rng: np.random.Generator, shape: tuple[int, int], horizon: float, colours: tuple[np.ndarray, np.ndarray]
) -> FloatImage:
    """Draw a wall above a floor, both with soft structure."""
    rows, columns = shape
    image = np.empty((rows, columns, 3), np.float32)
    edge = int(np.clip(horizon + rng.normal(0, 0.05), 0.05, 0.95) * rows)
    image[:edge], image[edge:] = colours
    structure = 1 + 0.06 * smooth_noise(rng, shape, (14, 8)) + 0.03 * smooth_noise(rng, shape, (60, 30))
    return image * structure[..., None]


def _street(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw a pavement with a house front, and sometimes a parked car."""
    image = _ground(rng, shape, 0.42, (_tone(rng, 0.3, (0.35, 0.75)), _tone(rng, 0.06, (0.4, 0.6))))
    rows, columns = shape
    edge = int(0.4 * rows)
    for _ in range(int(rng.integers(0, 3))):
        left, top = int(rng.integers(-20, columns)), int(rng.integers(0, edge))
        image[top : top + rows // 6, max(0, left) : max(0, left + columns // 4)] = _tone(
            rng, 0.2, (0.1, 0.35)
        )
    if rng.random() < 0.4:
        left = int(rng.integers(-columns // 2, columns))
        body = slice(max(0, left), max(0, left + columns))
        image[edge - rows // 12 : edge + rows // 12, body] = _tone(rng, 0.8, (0.15, 0.9))
        image[edge - rows // 7 : edge - rows // 12, body] = _tone(rng, 0.2, (0.1, 0.3))
    return image


def _lawn(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw grass, a path and bushes."""
    image = _ground(
        rng, shape, 0.22, (np.array([62, 84, 52], np.float32), np.array([104, 128, 70], np.float32))
    )
    rows, columns = shape
    image *= (1 + 0.14 * smooth_noise(rng, shape, (rows // 4, columns // 4)))[..., None]
    if rng.random() < 0.6:
        y, x = np.mgrid[0:rows, 0:columns]
        path = (
            np.abs(x - columns * (rng.uniform(0.2, 0.8) + (y / rows - 0.5) * rng.normal(0, 0.8)))
            < columns * 0.22
        )
        image[path & (y > rows * 0.25)] = (176, 164, 144)
    return image


def _shop(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw shelves with coloured goods above a bright floor."""
    image = _ground(rng, shape, 0.62, (_tone(rng, 0.1, (0.5, 0.8)), _tone(rng, 0.08, (0.7, 0.9))))
    rows, columns = shape
    for top in range(int(rng.integers(-20, 10)), int(0.55 * rows), rows // 8):
        x = int(rng.integers(-20, 0))
        while x < columns:
            wide = int(rng.integers(columns // 12, columns // 5))
            image[max(0, top) : max(0, top + rows // 10), max(0, x) : max(0, x + wide - 2)] = _tone(
                rng, 0.8, (0.3, 0.95)
            )
            x += wide
    return image


def _garage(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw a dark concrete hall with pillars and floor markings."""
    image = _ground(
        rng, shape, 0.35, (np.array([92, 92, 88], np.float32), np.array([74, 74, 76], np.float32))
    )
    rows, columns = shape
    for _ in range(int(rng.integers(0, 3))):
        left = int(rng.integers(0, columns))
        image[: int(rng.uniform(0.3, 0.7) * rows), left : left + columns // 6] *= rng.uniform(0.6, 1.3)
    line = int(rng.integers(0, columns))
    image[int(0.6 * rows) :, line : line + 6] = (200, 190, 110)
    return image


def _corridor(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw a corridor with doors and a shining floor."""
    image = _ground(rng, shape, 0.55, (_tone(rng, 0.12, (0.7, 0.92)), _tone(rng, 0.25, (0.35, 0.6))))
    rows, columns = shape
    if rng.random() < 0.6:
        left = int(rng.integers(-columns // 4, columns))
        image[int(0.08 * rows) : int(0.55 * rows), max(0, left) : max(0, left + columns // 3)] = _tone(
            rng, 0.4, (0.3, 0.6)
        )
    return image


def _plaza(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw paving slabs seen from above."""
    image = _ground(rng, shape, 0.1, (_tone(rng, 0.1, (0.6, 0.8)), _tone(rng, 0.12, (0.55, 0.8))))
    columns = shape[1]
    step, start = columns // 5, int(rng.integers(0, columns // 5))
    image[:, start::step] *= 0.85
    image[start::step] *= 0.85
    return image


SCENES: dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatImage]] = {
    "street": _street,
    "lawn": _lawn,
    "shop": _shop,
    "garage": _garage,
    "corridor": _corridor,
    "plaza": _plaza,
}


def background(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Return a scene of a kind in ``SCENES``, slightly out of focus, shape (H, W, 3), float32, 0..255."""
    image = np.clip(SCENES[kind](rng, shape), 0, 255).astype(np.uint8)
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(rng.uniform(0.8, 3.0))))
    return np.array(blurred, np.float32)


def ground_shadow(canvas: FloatImage, feet: tuple[float, float], width: float, strength: float) -> None:
    """Darken the ground below the feet, in place.

    Args:
        canvas: Shape (H, W, 3), float32.
        feet: (x, y) of the feet in pixels.
        width: Half width of the shadow in pixels.
        strength: Share of the light that is taken away, 0..1.
    """
    y, x = np.mgrid[0 : canvas.shape[0], 0 : canvas.shape[1]].astype(np.float32)
    distance = ((x - feet[0]) / width) ** 2 + ((y - feet[1]) / (0.28 * width)) ** 2
    canvas *= (1 - strength * np.exp(-distance))[..., None]


def hide_a_part(canvas: FloatImage, rng: np.random.Generator) -> None:
    """Put an object before a person, in place: a pole, a bench, a leaf branch, a sign or a bicycle basket."""
    rows, columns = canvas.shape[:2]
    layer = Image.new("RGBA", (columns, rows), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    colour = tuple(int(level) for level in _tone(rng, 0.5, (0.15, 0.8)))
    kind = int(rng.integers(4))
    if kind == 0:  # pole
        x, wide = rng.uniform(0.15, 0.85) * columns, rng.uniform(0.05, 0.12) * columns
        draw.rectangle((x, 0, x + wide, rows), fill=(*colour, 255))
    elif kind == 1:  # bench, bonnet of a car or counter
        top = rng.uniform(0.62, 0.82) * rows
        draw.rounded_rectangle((-20, top, columns + 20, rows + 20), 12, fill=(*colour, 255))
        draw.rectangle((0, top + 0.04 * rows, columns, top + 0.055 * rows), fill=(20, 20, 20, 255))
    elif kind == 2:  # branch with leaves
        x, y = rng.choice([0.0, 1.0]) * columns, rng.uniform(0.2, 0.8) * rows
        for _ in range(24):
            left, top = x + rng.normal(0, 0.22 * columns), y + rng.normal(0, 0.14 * rows)
            green = (int(rng.integers(40, 90)), int(rng.integers(80, 140)), int(rng.integers(30, 70)), 255)
            draw.ellipse((left, top, left + 0.14 * columns, top + 0.05 * rows), fill=green)
    else:  # sign or box
        left, top = rng.uniform(-0.2, 0.8) * columns, rng.uniform(0.35, 0.75) * rows
        draw.rectangle((left, top, left + 0.4 * columns, top + 0.2 * rows), fill=(*colour, 255))
    over = np.asarray(layer.filter(ImageFilter.GaussianBlur(1.0)), np.float32)
    canvas += over[..., 3:] / 255 * (over[..., :3] - canvas)
