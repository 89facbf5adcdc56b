"""Draw pictures by arithmetic, for calibration without photographs.

Networks for aligned faces get faces at the place of the landmark template. Other networks get a mixture of faces, of shapes that
cover each other (dead leaves, Lee et al. 2001, doi 10.1023/A:1011109015675) and of noise whose amplitude falls with its frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from converters.data.alignment_check import FACE_SIZES
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.alignment import template_of

#: Name of this generator, for cards; another name means that the same seed gives other pictures.
DRAWING = "drawn-pictures/1"

Draw: TypeAlias = Callable[[Generator, InputContract], Float64Array]
#: Ends of the line of skin colours, and colours of hair, 0..1.
_DARK_SKIN, _LIGHT_SKIN = np.array([0.28, 0.17, 0.12]), np.array([0.98, 0.80, 0.70])
_HAIR = np.array(
    [[0.06, 0.05, 0.05], [0.22, 0.13, 0.08], [0.45, 0.30, 0.16], [0.75, 0.62, 0.40], [0.6, 0.6, 0.6]]
)
_EYE, _TEETH = np.array([0.85, 0.82, 0.8]), np.array([0.9, 0.88, 0.84])
_SHAPES = 60
#: Deviation of landmarks, and amount by which a face is deformed, as shares of the eyes' distance.
_JITTER, _DEFORMED = 0.08, 0.15


def draw_pictures(
    contract: InputContract, *, seed: int, first: int, count: int, kinds: Sequence[Draw] = ()
) -> UInt8Array:
    """Draw pictures of the size of a contract.

    Args:
        contract: The input contract.
        seed: Seed of the series of pictures, 0 or more.
        first: Position of the first picture in the series.
        count: Number of pictures.
        kinds: Functions that draw them in turns; those for the contract if empty.

    Returns:
        Shape (n, H, W, C), uint8; the same arguments give the same pictures.
    """
    kinds = kinds or _kinds(contract)
    pixels = np.empty((count, *contract.shape), np.uint8)
    for index in range(count):
        position = first + index
        picture = kinds[position % len(kinds)](np.random.default_rng([seed, position]), contract)
        if contract.channels == 1:
            picture = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
        pixels[index] = np.rint(255 * picture)
    return pixels


def _kinds(contract: InputContract) -> Sequence[Draw]:
    if contract.alignment is not None or (contract.height, contract.width) in FACE_SIZES:
        return (draw_face,)
    return (draw_face, draw_shapes, draw_noise)


def draw_noise(rng: Generator, contract: InputContract) -> Float64Array:
    """Draw coloured noise whose amplitude falls with its frequency; shape (H, W, 3), 0..1."""
    noise = _noise(rng, contract, power=rng.uniform(0.6, 1.6))
    return _exposed(rng, 0.5 + rng.uniform(0.08, 0.3) * noise)


def draw_shapes(rng: Generator, contract: InputContract) -> Float64Array:
    """Draw ellipses and rectangles of many sizes, with shading and texture; shape (H, W, 3), 0..1."""
    y, x = _grid(contract)
    picture = np.zeros((contract.height, contract.width, 3)) + rng.uniform(0, 1, 3)
    diagonal = math.hypot(contract.height, contract.width)
    for _ in range(_SHAPES):
        size = 0.03 * diagonal * rng.uniform(0.01, 1) ** -0.5
        turn = rng.uniform(0, math.pi)
        dx, dy = x - rng.uniform(0, contract.width), y - rng.uniform(0, contract.height)
        across = (dx * math.cos(turn) + dy * math.sin(turn)) / size
        down = (dy * math.cos(turn) - dx * math.sin(turn)) / (rng.uniform(0.3, 1) * size)
        box = rng.random() < 0.5
        away = np.maximum(np.abs(across), np.abs(down)) if box else np.hypot(across, down)
        shading = 1 + rng.uniform(-0.4, 0.4) * across.clip(-1, 1)
        _cover(picture, rng.uniform(0, 1, 3) * shading[..., None], away, rng.uniform(0.5, 2) / size)
    picture += rng.uniform(0, 0.12) * _noise(rng, contract, power=rng.uniform(0.3, 1))
    return _exposed(rng, picture)


def draw_face(rng: Generator, contract: InputContract) -> Float64Array:
    """Draw a face at the place of the landmark template; shape (H, W, 3), 0..1."""
    face = _Face(rng, contract)
    face.draw_head()
    face.draw_eyes()
    face.draw_nose_and_mouth()
    texture = _noise(rng, contract, power=rng.uniform(0, 1))[..., :1]
    picture = face.picture * (1 + rng.uniform(0.02, 0.25) * texture)
    field = _DEFORMED * face.eyes * _noise(rng, contract, power=2.0)
    return _exposed(rng, _moved(picture, field[..., 0], field[..., 1]))


class _Face:
    """A face in the making. Sizes are shares of the distance between the eyes.

    Args:
        rng: Source of all choices.
        contract: The input contract, for size and landmarks.
    """

    def __init__(self, rng: Generator, contract: InputContract) -> None:
        points = template_of(contract)
        self.eyes = math.dist(points[0], points[1])
        points = points + rng.normal(0, _JITTER * self.eyes, points.shape)
        self.left, self.right, self.nose = points[:3]
        self.middle, self.mouth = (self.left + self.right) / 2, (points[3] + points[4]) / 2
        self.rng = rng
        self.tilt = rng.normal(0, 0.03)
        self.y, self.x = _grid(contract)
        self.light_side = rng.uniform(-1, 1)
        light = rng.beta(2, 1.2)
        self.skin = (_DARK_SKIN * (1 - light) + _LIGHT_SKIN * light) * rng.uniform(0.92, 1.08, 3)
        noise = _noise(rng, contract, power=rng.uniform(0.8, 1.6))
        self.picture = (
            (0.5 + rng.uniform(0.05, 0.3) * noise) * rng.uniform(0.3, 1.2) * rng.uniform(0.8, 1.2, 3)
        )

    def draw_head(self) -> None:
        """Draw clothes, neck, hair and the head without features."""
        rng = self.rng
        hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.7, 1.3)
        broad, long = rng.uniform(1.0, 1.2), rng.uniform(1.5, 1.75)
        centre = self._at(self.middle, rng.normal(0, 0.05), 0.35)
        clothes = self._away(self._at(self.mouth, 0, 2.0), rng.uniform(2, 3), 1.1)
        _cover(self.picture, rng.uniform(0, 0.9, 3), clothes, 0.05)
        _cover(self.picture, 0.75 * self.skin, self._away(self._at(self.mouth, 0, 1.0), 0.65, 1.2), 0.08)
        if rng.random() < 0.85:
            length = rng.choice([0.0, 0.2, 0.9])
            place = self._at(centre, 0, length - 0.2)
            around = self._away(place, broad + rng.uniform(0.1, 0.35), long + 0.25 + length / 2)
            _cover(self.picture, hair, around, 0.06)
        head = self._away(centre, broad, long)
        lit = 1 + 0.6 * self.light_side * (self.x - centre[0]) / (broad * self.eyes)
        lit -= 0.35 * rng.uniform(0.3, 1) * head.clip(0, 1.2) ** 2
        _cover(self.picture, self.skin * lit[..., None], head, 0.06)
        if rng.random() < 0.85:
            # The part of the upper head that a lower ellipse leaves free.
            free = self._away(
                self._at(self.middle, rng.uniform(-0.2, 0.2), 0.75), 1.15 * broad, rng.uniform(1.7, 2.05)
            )
            upper = self._away(self._at(self.middle, 0, -0.9), 1.2 * broad, 0.9)
            _cover(self.picture, hair, np.maximum(2 - free, upper), 0.1)
        self._shade(self._at(self.middle, 0, -0.55), 0.7, 0.3, rng.uniform(0.05, 0.3))

    def draw_eyes(self) -> None:
        """Draw cheeks, brows and eyes, sometimes with glasses."""
        rng = self.rng
        socket, lids, brow = rng.uniform(0.15, 0.5), rng.uniform(0.06, 0.13), rng.uniform(0.3, 0.9)
        iris, gaze = _HAIR[rng.integers(3)], rng.normal(0, 0.05)
        glasses = rng.random() < 0.15
        for eye, side in ((self.left, -1), (self.right, 1)):
            self._shade(self._at(eye, side * 0.05, 0.6), 0.3, 0.25, rng.uniform(0.05, 0.25))
            self._shade(eye, 0.4, 0.25, -socket)
            self._shade(self._at(eye, side * 0.05, -0.33), 0.4, 0.09, -brow, side * rng.normal(0.12, 0.08))
            white = _EYE * (0.4 + 0.6 * self.skin.mean())
            _cover(self.picture, white, self._away(eye, 0.24, lids), 0.15)
            place = self._at(eye, gaze, 0)
            _cover(self.picture, iris, self._away(place, 0.11, min(0.11, lids + 0.02)), 0.15)
            self._shade(self._at(eye, 0, -lids), 0.27, 0.05, -0.6)
            if glasses:
                ring = np.abs(self._away(eye, 0.42, 0.34) - 1) / 0.12
                _cover(self.picture, rng.uniform(0, 0.2, 3), ring, 0.4)

    def draw_nose_and_mouth(self) -> None:
        """Draw nose and mouth, sometimes with a beard."""
        rng, side = self.rng, self.light_side
        self._shade(self._at(self.nose, side * 0.05, -0.3), 0.1, 0.4, rng.uniform(0.1, 0.4))
        self._shade(self._at(self.nose, -side * 0.2, -0.1), 0.12, 0.4, -rng.uniform(0.05, 0.35))
        self._shade(self._at(self.nose, 0, 0.14), 0.25, 0.07, -rng.uniform(0.2, 0.6))
        lips = (self.skin * np.array([0.95, 0.6, 0.6]) * rng.uniform(0.7, 1.1)).clip(0, 1)
        wide = rng.uniform(0.38, 0.55)
        _cover(self.picture, lips, self._away(self.mouth, wide, rng.uniform(0.1, 0.2)), 0.3)
        if rng.random() < 0.4:
            _cover(self.picture, _TEETH, self._away(self.mouth, 0.8 * wide, rng.uniform(0.05, 0.12)), 0.2)
        else:
            self._shade(self.mouth, wide, 0.05, -rng.uniform(0.4, 0.8))
        self._shade(self._at(self.mouth, 0, 0.28), 0.35, 0.08, -rng.uniform(0.1, 0.4))
        if rng.random() < 0.25:
            self._shade(self._at(self.mouth, 0, 0.3), 0.8, 0.6, -rng.uniform(0.3, 0.7))

    def _at(self, place: Float64Array, across: float, down: float) -> Float64Array:
        return np.asarray(place + np.array([across, down]) * self.eyes, np.float64)

    def _away(self, centre: Float64Array, across: float, down: float, turn: float = 0.0) -> Float64Array:
        """Distance of each pixel from the centre of an ellipse; 1 on the ellipse."""
        c, s = math.cos(self.tilt + turn), math.sin(self.tilt + turn)
        dx, dy = self.x - centre[0], self.y - centre[1]
        along, beside = (dx * c + dy * s) / (across * self.eyes), (dy * c - dx * s) / (down * self.eyes)
        return np.asarray(np.hypot(along, beside), np.float64)

    def _shade(
        self, centre: Float64Array, across: float, down: float, strength: float, turn: float = 0.0
    ) -> None:
        """Lighten a soft spot, or darken it with a strength below 0."""
        spot = np.exp(-(self._away(centre, across, down, turn) ** 2))
        self.picture *= 1 + strength * spot[..., None]


def _grid(contract: InputContract) -> tuple[Float64Array, Float64Array]:
    y, x = np.mgrid[0 : contract.height, 0 : contract.width].astype(np.float64)
    return y, x


def _cover(picture: Float64Array, color: Float64Array, away: Float64Array, soft: float) -> None:
    """Paint the pixels with a distance below 1, with an edge of this softness."""
    share = (0.5 + (1 - away) / (2 * soft)).clip(0, 1)[..., None]
    picture += share * (color - picture)


def _noise(rng: Generator, contract: InputContract, *, power: float) -> Float64Array:
    """Sum noise of octaves whose amplitude is the size of a cell to this power; deviation about 1, shape (H, W, 3)."""
    height, width = contract.height, contract.width
    total = np.zeros((height, width, 3))
    cell, energy = 1, 0.0
    while cell < 2 * max(height, width):
        shape = height // cell + 2, width // cell + 2
        values = rng.uniform(-1, 1, (*shape, 1)) + 0.35 * rng.uniform(-1, 1, (*shape, 3))
        total += cell**power * _enlarged(values, height, width, cell)
        energy += cell ** (2 * power) / 5
        cell *= 2
    return np.asarray(total / math.sqrt(energy), np.float64)


def _enlarged(values: Float64Array, height: int, width: int, cell: int) -> Float64Array:
    """Interpolate values at the corners of square cells, linearly."""
    for axis, size in ((0, height), (1, width)):
        corner = np.arange(size) // cell
        share = np.expand_dims(np.arange(size) / cell - corner, (1 - axis, 2))
        before, after = np.take(values, corner, axis), np.take(values, corner + 1, axis)
        values = np.asarray(before + share * (after - before), np.float64)
    return values


def _moved(picture: Float64Array, down: Float64Array, across: Float64Array) -> Float64Array:
    """Move each pixel, with bilinear interpolation; pixels from outside repeat the edge."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    y, x = (rows + down).clip(0, height - 1.001), (columns + across).clip(0, width - 1.001)
    row, column = y.astype(np.intp), x.astype(np.intp)
    down, across = (y - row)[..., None], (x - column)[..., None]
    above = picture[row, column] * (1 - across) + picture[row, column + 1] * across
    below = picture[row + 1, column] * (1 - across) + picture[row + 1, column + 1] * across
    return np.asarray(above * (1 - down) + below * down, np.float64)


def _exposed(rng: Generator, picture: Float64Array) -> Float64Array:
    """Vary exposure, contrast and colour of the light, as cameras do."""
    picture = picture.clip(0) * rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    middle = picture.mean()
    return np.asarray((middle + (picture - middle) * rng.uniform(0.8, 1.3)).clip(0, 1), np.float64)
