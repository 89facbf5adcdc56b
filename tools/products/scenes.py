"""Surroundings of the package: tables, cloths, shelves, walls, and a finger over the label."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FloatImage = np.ndarray  # (S, S, 3), float32, RGB, 0..255


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Return smooth noise of about unit variance with `cells` (rows, columns) grains, shape `shape`, float32."""
    grains = rng.normal(0, 1, cells).astype(np.float32)
    return np.asarray(Image.fromarray(grains).resize(shape[::-1], Image.Resampling.BICUBIC))


def _tone(rng: np.random.Generator, saturation: float, value: tuple[float, float]) -> np.ndarray:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(*value))
    return np.array(rgb, np.float32) * 255


def _wood(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw planks: grain along one axis and dark joints between boards."""
    colour = np.array([rng.uniform(90, 210), 0, 0], np.float32)
    colour[1] = colour[0] * rng.uniform(0.68, 0.82)
    colour[2] = colour[1] * rng.uniform(0.55, 0.8)
    board = int(side * rng.uniform(0.2, 0.6))
    tone = (
        1 + 0.07 * smooth_noise(rng, (side, side), (60, 3)) + 0.06 * smooth_noise(rng, (side, side), (22, 2))
    )
    for start in range(int(rng.integers(board)) - board, side, board):
        tone[max(0, start) : start + board] *= rng.uniform(0.88, 1.1)
        tone[max(0, start) : max(0, start + 2)] *= 0.6
    image = tone[..., None] * colour
    return image if rng.random() < 0.6 else image.transpose(1, 0, 2).copy()


def _cloth(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw a woven cloth with soft folds, sometimes checked."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    pitch = rng.uniform(2.2, 4.5)
    weave = 1 + 0.07 * np.sin(along * 6.28 / pitch) * np.sin(across * 6.28 / pitch)
    folds = 1 + 0.1 * smooth_noise(rng, (side, side), (4, 4))
    image = (weave * folds)[..., None] * _tone(rng, 0.6, (0.3, 0.95))
    if rng.random() < 0.5:
        width = side * rng.uniform(0.08, 0.2)
        check = ((along // width % 2) + (across // width % 2)) / 2
        image = image * (1 - 0.6 * check[..., None]) + (weave * folds * check)[..., None] * 0.6 * _tone(
            rng, 0.5, (0.5, 1.0)
        )
    return image


def _room(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw a wall above a table top, with different light."""
    horizon = int(side * rng.uniform(0.35, 0.8))
    wall = np.linspace(rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.1), side, dtype=np.float32)[:, None, None]
    image = wall * _tone(rng, 0.35, (0.35, 0.95)) * np.ones((side, side, 1), np.float32)
    table = _wood(rng, side) if rng.random() < 0.5 else _stone(rng, side)
    image[horizon:] = table[horizon:]
    image[horizon : horizon + 2] *= 0.75
    return image


def _stone(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw marble or concrete: clouds with veins between them."""
    clouds = smooth_noise(rng, (side, side), (6, 6))
    veins = np.exp(-np.abs(clouds + 0.4 * smooth_noise(rng, (side, side), (20, 20))) * rng.uniform(6, 20))
    grain = rng.normal(0, rng.uniform(0.0, 0.05), (side, side)).astype(np.float32)
    tone = 1 + 0.06 * clouds - rng.uniform(0.0, 0.35) * veins + grain
    return tone[..., None] * _tone(rng, 0.15, (0.3, 0.95))


def _tiles(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw kitchen tiles with joints."""
    pitch = int(side * rng.uniform(0.16, 0.4))
    image = (1 + 0.03 * smooth_noise(rng, (side, side), (9, 9)))[..., None] * _tone(rng, 0.4, (0.5, 1.0))
    joint = _tone(rng, 0.1, (0.4, 0.8))
    line = max(2, side // 80)
    for start in range(int(rng.integers(pitch)), side, pitch):
        image[start : start + line] = joint
        image[:, start : start + line] = joint
    return image


def _shelf(rng: np.random.Generator, side: int) -> FloatImage:
    """Draw a shop shelf: a dark background, coloured goods out of focus, and a board with price labels."""
    image = np.ones((side, side, 1), np.float32) * _tone(rng, 0.2, (0.12, 0.4))
    board = int(side * rng.uniform(0.78, 0.95))
    x = float(rng.uniform(-20, 0))
    while x < side:
        width = side * float(rng.uniform(0.1, 0.28))
        top = int(side * rng.uniform(0.0, 0.45))
        left, right = max(0, int(x)), max(0, int(x + width))
        goods = _tone(rng, 0.85, (0.3, 0.95))
        image[top:board, left:right] = goods
        middle = int(top + (board - top) * rng.uniform(0.2, 0.6))
        image[middle : middle + side // 8, left:right] = _tone(rng, 0.7, (0.3, 1.0))
        image[top:board, left : left + 2] *= 0.6
        x += width + side * float(rng.uniform(0.0, 0.03))
    image[board:] = _tone(rng, 0.15, (0.6, 0.95))
    for x in np.arange(rng.uniform(0, side * 0.4), side, side * 0.4):
        image[board + side // 50 :, int(x) : int(x + side * 0.16)] = 245
    return image


_SCENES = (_wood, _cloth, _room, _stone, _tiles, _shelf)


def background(rng: np.random.Generator, side: int) -> FloatImage:
    """Return a random scene with a random defocus, shape (side, side, 3), float32, 0..255."""
    scene = _SCENES[rng.choice(len(_SCENES), p=(0.2, 0.18, 0.2, 0.12, 0.1, 0.2))]
    image = np.clip(scene(rng, side), 0, 255).astype(np.uint8)
    radius = rng.uniform(1.0, 4.0) if scene is _shelf else rng.uniform(0.2, 2.2)
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)), np.float32)


def finger(rng: np.random.Generator, side: int) -> Image.Image:
    """Return an RGBA image of a finger that reaches from an edge over part of the centre."""
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    skins = np.array([[236, 188, 160], [214, 158, 126], [170, 116, 86], [112, 74, 54]], np.float32)
    skin = skins[rng.integers(4)] * rng.uniform(0.85, 1.05)
    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.2, 0.42)
    tip = np.array([0.5, 0.5]) + reach * np.array([np.cos(angle), np.sin(angle)])
    heading = np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.25, 2)
    width = side * rng.uniform(0.13, 0.2)
    for share in np.linspace(1.0, 0.25, 7):  # from dark rim to lit ridge
        tone = tuple(int(min(255, c)) for c in skin * (0.62 + 0.45 * (1 - share)))
        radius = width / 2 * share
        start, end = tip * side, (tip + heading * 0.9) * side
        draw.line((*start, *end), fill=(*tone, 255), width=max(1, int(2 * radius)))
        draw.ellipse(
            (start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius), fill=(*tone, 255)
        )
    return layer.filter(ImageFilter.GaussianBlur(side / 110))
