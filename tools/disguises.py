"""Draw disguises and camera faults on photographs of faces, placed by the landmarks of the face.

Each disguise has several styles, which differ in colour, size, shape and strength, so that a limit is not fitted to one
drawing. Within one style all faces look alike, as two people with the same glasses do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.faces import LEFT_EYE, RIGHT_EYE

#: A drawing: photograph, landmarks of the face, random generator.
Draw = Callable[[UInt8Array, Float64Array, np.random.Generator], UInt8Array]
Color = tuple[int, int, int]
_OVERSAMPLING = 4


@dataclass(frozen=True)
class Disguise:
    """A kind of disguise or camera fault.

    Args:
        styles: The drawing of each style.
        control: True for a harmless appearance that enrolment should not refuse.
    """

    styles: Mapping[str, Draw]
    control: bool = False


class _FaceFrame:
    """Coordinates of a face: origin between the eyes, unit is the distance between them, y points to the chin."""

    def __init__(self, landmarks: Float64Array) -> None:
        left, right = landmarks[LEFT_EYE], landmarks[RIGHT_EYE]
        self.origin = (left + right) / 2
        self.across = right - left
        self.down = np.array([-self.across[1], self.across[0]])
        # The mouth is 1.15 below the eyes in the template; a longer or nodding face moves what is below the eyes.
        mouth = landmarks[3:].mean(axis=0) - self.origin
        self.length = float(np.clip(mouth @ self.down / (self.down @ self.down) / 1.15, 0.6, 1.5))
        nose = (landmarks[2] - self.origin) @ self.across / (self.across @ self.across)
        self.turn = float(np.clip(nose, -0.4, 0.4))

    def places(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Convert points of the face to pixels of the photograph."""
        places = []
        for x, y in points:
            below = y * self.length if y > 0 else y
            place = self.origin + (x + self.turn * 0.5) * self.across + below * self.down
            places.append((float(place[0]), float(place[1])))
        return places


def _paint(
    photograph: UInt8Array,
    shapes: Sequence[tuple[Sequence[tuple[float, float]], Color, float]],
    *,
    texture: Float64Array | None = None,
) -> UInt8Array:
    """Fill polygons, given in pixels, with a colour and an opacity; edges are smooth."""
    result = photograph.astype(np.float64)
    for polygon, color, opacity in shapes:
        part, cover = _cover(photograph, polygon)
        cover = cover * opacity
        fill = np.array(color, np.float64)
        if texture is not None:
            fill = fill + texture[part][..., None]
        result[part] = result[part] * (1 - cover) + fill * cover
    return _to_uint8(result)


def _cover(
    photograph: UInt8Array, polygon: Sequence[tuple[float, float]]
) -> tuple[tuple[slice, slice], Float64Array]:
    """Compute which share of each pixel a polygon covers: the part of the photograph, and shares of shape (h, w, 1)."""
    points = np.array(polygon)
    size = np.array(photograph.shape[1::-1])
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - 2, 0, size - 1)
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 3, 1, size)
    width, height = max(1, right - left), max(1, bottom - top)
    mask = Image.new("L", (int(width) * _OVERSAMPLING, int(height) * _OVERSAMPLING))
    inner = ((points - [left, top]) * _OVERSAMPLING).tolist()
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in inner], fill=255)
    small = mask.resize((int(width), int(height)), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.4))
    part = slice(int(top), int(top + height)), slice(int(left), int(left + width))
    return part, np.asarray(small, np.float64)[..., None] / 255


def _to_uint8(values: Float64Array) -> UInt8Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _ellipse(x: float, y: float, a: float, b: float, power: float = 2.0) -> list[tuple[float, float]]:
    """Outline of a superellipse: power 2 is an ellipse, 4 nearly a rectangle."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    c, s = np.cos(angles), np.sin(angles)
    xs = x + a * np.sign(c) * np.abs(c) ** (2 / power)
    ys = y + b * np.sign(s) * np.abs(s) ** (2 / power)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _glasses(
    photograph: UInt8Array,
    landmarks: Float64Array,
    rng: np.random.Generator,
    *,
    color: Color,
    opacity: float,
    width: float = 0.42,
    height: float = 0.32,
    power: float = 2.5,
    drop: float = 0.08,
    shine: float = 0.0,
    gradient: float = 0.0,
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    frame_color = tuple(int(level * 0.5) for level in color)
    edge: Color = (frame_color[0], frame_color[1], frame_color[2])
    shapes: list[tuple[Sequence[tuple[float, float]], Color, float]] = [
        (frame.places(_ellipse(side * 0.5, drop, width + 0.04, height + 0.04, power)), edge, 1.0)
        for side in (-1, 1)
    ]
    for side in (-1, 1):
        arm = [
            (side * (0.5 + width), drop - 0.18),
            (side * 1.15, drop - 0.22),
            (side * 1.15, drop - 0.12),
            (side * (0.5 + width), drop - 0.08),
        ]
        shapes.append((frame.places(arm), edge, 1.0))
    shapes.append(
        (
            frame.places([(-0.1, drop - 0.14), (0.1, drop - 0.14), (0.1, drop - 0.05), (-0.1, drop - 0.05)]),
            edge,
            1.0,
        )
    )
    lens_free = photograph
    result = _paint(photograph, shapes)
    # The rim must not cover what is visible through the lens.
    lenses = [frame.places(_ellipse(side * 0.5, drop, width, height, power)) for side in (-1, 1)]
    result = _copy(lens_free, result, lenses)
    result = _paint(result, [(lens, color, opacity) for lens in lenses])
    if gradient:
        lower = [
            frame.places(_ellipse(side * 0.5, drop + height * 0.5, width * 0.9, height * 0.5, power))
            for side in (-1, 1)
        ]
        result = _copy(photograph, result, lower, opacity=gradient)
    if shine:
        spots = [
            frame.places(_ellipse(side * 0.5 - width * 0.4, drop - height * 0.4, width * 0.25, height * 0.15))
            for side in (-1, 1)
        ]
        result = _paint(result, [(spot, (235, 240, 245), shine) for spot in spots])
    return result


def _copy(
    source: UInt8Array,
    target: UInt8Array,
    polygons: Sequence[Sequence[tuple[float, float]]],
    opacity: float = 1.0,
) -> UInt8Array:
    """Copy the pixels inside of polygons from one picture to another."""
    result = target.astype(np.float64)
    for polygon in polygons:
        part, cover = _cover(target, polygon)
        result[part] += (source[part] - result[part]) * cover * opacity
    return _to_uint8(result)


def _mask(
    photograph: UInt8Array,
    landmarks: Float64Array,
    rng: np.random.Generator,
    *,
    color: Color,
    top: float,
    folds: float,
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    outline = [
        (-1.05, top + 0.1),
        (-0.45, top + 0.02),
        (0.0, top - 0.12),
        (0.45, top + 0.02),
        (1.05, top + 0.1),
        (0.98, 1.0),
        (0.7, 1.55),
        (0.35, 1.85),
        (0.0, 1.92),
        (-0.35, 1.85),
        (-0.7, 1.55),
        (-0.98, 1.0),
    ]
    rows, columns = np.mgrid[: photograph.shape[0], : photograph.shape[1]].astype(np.float64)
    unit = float(np.hypot(*frame.across))
    away = np.stack([columns - frame.origin[0], rows - frame.origin[1]], axis=-1)
    y = away @ frame.down / unit**2
    x = away @ frame.across / unit**2
    shade = folds * np.sin(y * 2 * np.pi / 0.28) - 18 * np.clip(np.abs(x) - 0.3, 0, 1) * 1.5
    return _paint(photograph, [(frame.places(outline), color, 1.0)], texture=shade)


def _cap(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, color: Color, brim: float
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    top = [(-1.2, -0.45), (-1.2, -1.4), (-0.6, -2.0), (0.6, -2.0), (1.2, -1.4), (1.2, -0.45)]
    dark: Color = (color[0] * 6 // 10, color[1] * 6 // 10, color[2] * 6 // 10)
    return _paint(
        photograph,
        [(frame.places(top), color, 1.0), (frame.places(_ellipse(0, -0.55, 1.25, brim)), dark, 1.0)],
    )


def _hand(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, color: Color
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    shapes = [(frame.places(_ellipse(0.1, 1.25, 0.9, 0.45)), color, 1.0)]
    darker: Color = (color[0] * 7 // 10, color[1] * 7 // 10, color[2] * 7 // 10)
    for finger in range(3):
        y = 1.0 + 0.22 * finger
        shapes.append(
            (frame.places([(-0.7, y), (0.8, y - 0.08), (0.8, y - 0.05), (-0.7, y + 0.03)]), darker, 1.0)
        )
    return _paint(photograph, shapes)


def _beard(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, color: Color
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    cheeks = [
        (-0.95, 0.75),
        (-0.6, 0.9),
        (-0.35, 0.82),
        (0, 0.85),
        (0.35, 0.82),
        (0.6, 0.9),
        (0.95, 0.75),
        (0.8, 1.5),
        (0.3, 2.0),
        (-0.3, 2.0),
        (-0.8, 1.5),
    ]
    hair = rng.normal(0, 16, photograph.shape[:2])
    drawn = _paint(photograph, [(frame.places(cheeks), color, 0.85)], texture=hair)
    return _copy(photograph, drawn, [frame.places(_ellipse(0, 1.15, 0.36, 0.12))])


def _line_kernel(length: int, angle_deg: float) -> Float64Array:
    side = length | 1
    kernel = np.zeros((side, side))
    middle = side // 2
    for step in np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * length):
        x = middle + step * np.cos(np.radians(angle_deg))
        y = middle - step * np.sin(np.radians(angle_deg))
        left, top = int(np.floor(x)), int(np.floor(y))
        for row, column, weight in (
            (top, left, (1 - (y - top)) * (1 - (x - left))),
            (top, left + 1, (1 - (y - top)) * (x - left)),
            (top + 1, left, (y - top) * (1 - (x - left))),
            (top + 1, left + 1, (y - top) * (x - left)),
        ):
            if 0 <= row < side and 0 <= column < side:
                kernel[row, column] += weight
    return kernel / kernel.sum()


def _convolve(photograph: UInt8Array, kernel: Float64Array) -> UInt8Array:
    half = kernel.shape[0] // 2
    padded = np.pad(photograph.astype(np.float32), ((half, half), (half, half), (0, 0)), mode="edge")
    result = np.zeros(photograph.shape, np.float32)
    height, width = photograph.shape[:2]
    for (row, column), weight in np.ndenumerate(kernel):
        if weight > 1e-6:
            result += np.float32(weight) * padded[row : row + height, column : column + width]
    return _to_uint8(result.astype(np.float64))


def _motion(
    photograph: UInt8Array,
    landmarks: Float64Array,
    rng: np.random.Generator,
    *,
    length: int,
    angle_deg: float,
) -> UInt8Array:
    return _convolve(photograph, _line_kernel(length, angle_deg))


def _defocus(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, radius: float
) -> UInt8Array:
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disk = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return _convolve(photograph, disk / disk.sum())


def _low_light(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, light: float, noise: float
) -> UInt8Array:
    linear = (photograph / 255.0) ** 2.2 * light
    noisy = linear + rng.normal(0, 1, photograph.shape) * noise * np.sqrt(linear + 0.0005)
    return _to_uint8(np.clip(noisy, 0, 1) ** (1 / 2.2) * 255)


def _overexposed(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, gain: float
) -> UInt8Array:
    return _to_uint8(np.clip((photograph / 255.0) ** 2.2 * gain, 0, 1) ** (1 / 2.2) * 255)


def _jpeg(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, quality: int
) -> UInt8Array:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _low_resolution(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, eyes_px: float
) -> UInt8Array:
    factor = eyes_px / float(np.hypot(*(landmarks[RIGHT_EYE] - landmarks[LEFT_EYE])))
    height, width = photograph.shape[:2]
    small = Image.fromarray(photograph).resize(
        (max(8, round(width * factor)), max(8, round(height * factor))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _side_light(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, side: int, dark: float
) -> UInt8Array:
    frame = _FaceFrame(landmarks)
    rows, columns = np.mgrid[: photograph.shape[0], : photograph.shape[1]].astype(np.float64)
    away = np.stack([columns - frame.origin[0], rows - frame.origin[1]], axis=-1)
    x = away @ frame.across / float(frame.across @ frame.across)
    light = dark + (1 - dark) / (1 + np.exp(-side * (x - frame.turn) / 0.08))
    return _to_uint8(((photograph / 255.0) ** 2.2 * light[..., None]) ** (1 / 2.2) * 255)


def _darker(
    photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator, *, light: float
) -> UInt8Array:
    return _to_uint8(((photograph / 255.0) ** 2.2 * light) ** (1 / 2.2) * 255)


def _then(*draws: Draw) -> Draw:
    def draw(photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator) -> UInt8Array:
        for step in draws:
            photograph = step(photograph, landmarks, rng)
        return photograph

    return draw


def _plain(photograph: UInt8Array, landmarks: Float64Array, rng: np.random.Generator) -> UInt8Array:
    return photograph


_BLACK = partial(_glasses, color=(18, 18, 20), opacity=0.97)
_BROWN = partial(_glasses, color=(60, 40, 28), opacity=0.88, width=0.4, height=0.36, power=2.0, shine=0.5)
_GREEN = partial(_glasses, color=(38, 52, 44), opacity=0.92, width=0.45, height=0.28, power=3.5, drop=0.05)
_MIRROR = partial(_glasses, color=(120, 135, 160), opacity=0.95, width=0.44, height=0.33, shine=0.8)
_LARGE = partial(_glasses, color=(12, 12, 12), opacity=1.0, width=0.47, height=0.42, power=3.0, drop=0.12)
_GRADIENT = partial(_glasses, color=(25, 20, 25), opacity=0.95, width=0.44, height=0.36, gradient=0.35)
_BLUE_MASK = partial(_mask, color=(150, 190, 215), top=0.42, folds=6)
_WHITE_MASK = partial(_mask, color=(228, 228, 222), top=0.36, folds=2)
_BLACK_MASK = partial(_mask, color=(28, 28, 32), top=0.4, folds=3)
_SKIN_SCARF = partial(_mask, color=(165, 125, 100), top=0.5, folds=10)

DISGUISES: Mapping[str, Disguise] = {
    "plain": Disguise({"plain": _plain}, control=True),
    "dark glasses": Disguise(
        {
            "black": _BLACK,
            "brown": _BROWN,
            "green": _GREEN,
            "mirror": _MIRROR,
            "large": _LARGE,
            "gradient": _GRADIENT,
        }
    ),
    "mask": Disguise({"blue": _BLUE_MASK, "white": _WHITE_MASK, "black": _BLACK_MASK, "scarf": _SKIN_SCARF}),
    "mask and dark glasses": Disguise(
        {
            "blue, black": _then(_BLUE_MASK, _BLACK),
            "black, large": _then(_BLACK_MASK, _LARGE),
            "white, brown": _then(_WHITE_MASK, _BROWN),
            "scarf, mirror": _then(_SKIN_SCARF, _MIRROR),
        }
    ),
    "cap and dark glasses": Disguise(
        {
            "blue, black": _then(partial(_cap, color=(40, 50, 110), brim=0.2), _BLACK),
            "white, green": _then(partial(_cap, color=(215, 215, 210), brim=0.3), _GREEN),
        }
    ),
    "hand over the mouth": Disguise(
        {"light": partial(_hand, color=(205, 160, 135)), "dark": partial(_hand, color=(95, 65, 50))}
    ),
    "motion blur": Disguise(
        {
            f"{length} px, {angle} deg": partial(_motion, length=length, angle_deg=angle)
            for length in (9, 15)
            for angle in (0, 45, 90, 135)
        }
        | {
            "21 px, 0 deg": partial(_motion, length=21, angle_deg=0),
            "15 px, 20 deg": partial(_motion, length=15, angle_deg=20),
            "12 px, 70 deg": partial(_motion, length=12, angle_deg=70),
        }
    ),
    "defocus": Disguise({f"{radius} px": partial(_defocus, radius=radius) for radius in (3, 5, 7)}),
    "low light": Disguise(
        {
            "noise": partial(_low_light, light=0.05, noise=0.12),
            "strong noise": partial(_low_light, light=0.03, noise=0.25),
        }
    ),
    "overexposed": Disguise({f"{gain}x": partial(_overexposed, gain=gain) for gain in (3, 6)}),
    "JPEG": Disguise({f"quality {quality}": partial(_jpeg, quality=quality) for quality in (4, 10)}),
    "low resolution": Disguise(
        {f"{eyes} px": partial(_low_resolution, eyes_px=eyes) for eyes in (7, 10, 14)}
    ),
    "half dark": Disguise(
        {"left": partial(_side_light, side=1, dark=0.01), "right": partial(_side_light, side=-1, dark=0.03)}
    ),
    "clear glasses": Disguise(
        {
            "black rim": partial(_glasses, color=(30, 30, 30), opacity=0.04),
            "brown rim, round": partial(
                _glasses, color=(90, 60, 40), opacity=0.04, width=0.36, height=0.34, power=2.0
            ),
            "reflections": partial(_glasses, color=(50, 50, 60), opacity=0.1, shine=0.6),
        },
        control=True,
    ),
    "beard": Disguise(
        {"dark": partial(_beard, color=(45, 35, 30)), "grey": partial(_beard, color=(150, 145, 140))},
        control=True,
    ),
    "darker face": Disguise(
        {"0.4": partial(_darker, light=0.4), "0.2": partial(_darker, light=0.2)}, control=True
    ),
}
