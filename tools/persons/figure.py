"""Draw a walking person from capsules and wrapped cloth, as a camera above eye level sees it.

Coordinates of the body are metres: x to the person's left, y up from the ground, z to the front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.persons.wardrobe import Colour, Garment, Person

FloatArray = np.ndarray
#: Colour at (share of the length 0..1, position across -1..1), both of shape (h, w): shape (h, w, 3).
Paint = Callable[[FloatArray, FloatArray], FloatArray]
_DISTANCE_M = 6.0


@dataclass(frozen=True)
class Pose:
    """Position of a person relative to the camera.

    Attributes:
        yaw: Turn of the person, radians; 0 faces the camera, pi shows the back.
        pitch: Angle of the camera above the horizon, radians.
        phase: Phase of the walk, radians; legs and arms swing with its sine.
        stride: Amplitude of the swing of the legs, radians; 0 stands.
        bend: Bend of the elbows, radians.
        centre: (x, y) of the middle of the person in pixels.
        pixels_per_m: Scale.
        light: Angle of the light, radians; 0 is frontal.
    """

    yaw: float
    pitch: float
    phase: float
    stride: float
    bend: float
    centre: tuple[float, float]
    pixels_per_m: float
    light: float


@dataclass(frozen=True)
class _Part:
    """A part of the figure between two points of the body.

    Attributes:
        start, end: Body coordinates in metres.
        widths: Half widths in metres at equal steps from start to end.
        paint: Colours.
        rounded: Ends are half circles; otherwise they are straight.
        nearer: Added to the depth by which parts are sorted, metres.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    widths: tuple[float, ...]
    paint: Paint
    rounded: bool = True
    nearer: float = 0.0


def draw_person(canvas: FloatArray, person: Person, pose: Pose) -> None:
    """Draw a person on a canvas, in place.

    Args:
        canvas: Shape (H, W, 3), float32, 0..255.
        person: Person to draw.
        pose: Position and direction.
    """
    parts = [*_legs(person, pose), *_trunk(person, pose), *_arms(person, pose), *_head(person, pose)]
    parts += _bag(person, pose)
    turned = [
        (part, *_projected(part.start, person, pose), *_projected(part.end, person, pose)) for part in parts
    ]
    for part, start, near, end, far in sorted(
        turned, key=lambda item: (item[2] + item[4]) / 2 + item[0].nearer
    ):
        scale = pose.pixels_per_m * _DISTANCE_M / (_DISTANCE_M - (near + far) / 2)
        _draw(canvas, start, end, np.array(part.widths) * scale, part, pose.light)


def _projected(
    point: tuple[float, float, float], person: Person, pose: Pose
) -> tuple[tuple[float, float], float]:
    """Return the pixel and the depth (towards the camera, metres) of a body point."""
    x, y, z = point[0], point[1] - person.height_m / 2, point[2]
    sine, cosine = np.sin(pose.yaw), np.cos(pose.yaw)
    x, z = x * cosine + z * sine, z * cosine - x * sine
    sine, cosine = np.sin(pose.pitch), np.cos(pose.pitch)
    y, z = y * cosine - z * sine, y * sine + z * cosine
    scale = pose.pixels_per_m * _DISTANCE_M / (_DISTANCE_M - z)
    return (pose.centre[0] + x * scale, pose.centre[1] - y * scale), float(z)


def _draw(
    canvas: FloatArray,
    start: tuple[float, float],
    end: tuple[float, float],
    widths: FloatArray,
    part: _Part,
    light: float,
) -> None:
    """Draw one part with soft edges, lit from one side."""
    reach = float(widths.max()) + 1.5
    height, width = canvas.shape[:2]
    left, right = (
        max(0, int(min(start[0], end[0]) - reach)),
        min(width, int(max(start[0], end[0]) + reach) + 1),
    )
    top, low = max(0, int(min(start[1], end[1]) - reach)), min(height, int(max(start[1], end[1]) + reach) + 1)
    if left >= right or top >= low:
        return
    y, x = np.mgrid[top:low, left:right].astype(np.float32)
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(1e-3, float(np.hypot(dx, dy)))
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / length
    across = ((x - start[0]) * dy - (y - start[1]) * dx) / length
    share = np.clip(along / length, 0, 1)
    half = np.interp(share, np.linspace(0, 1, len(widths)), widths).astype(np.float32)
    if part.rounded:
        cover = np.clip(half - np.hypot(across, along - share * length) + 0.5, 0, 1)
    else:
        ends = np.clip(np.minimum(along, length - along) + 0.5, 0, 1)
        cover = np.clip(half - np.abs(across) + 0.5, 0, 1) * ends
    side = np.clip(across / np.maximum(half, 0.5), -1, 1)
    shade = 0.72 + 0.33 * np.clip(np.sqrt(1 - side**2) * np.cos(light) + side * np.sin(light), 0, 1)
    colour = part.paint(share, side) * shade[..., None]
    area = canvas[top:low, left:right]
    area += cover[..., None] * (colour - area)


def _plain(colour: Colour) -> Paint:
    level = np.array(colour, np.float32)
    return lambda share, side: np.broadcast_to(level, (*share.shape, 3))


def _cloth(garment: Garment, length_m: float, radius_m: float, yaw: float | None) -> Paint:
    """Return the paint of cloth around a trunk or limb.

    Args:
        garment: Colours and pattern.
        length_m: Length of the part.
        radius_m: Radius of the part.
        yaw: Turn of the trunk; None for limbs, which have no print.
    """
    base, accent = np.array(garment.colour, np.float32), np.array(garment.accent, np.float32)
    period = garment.period_m

    def paint(share: FloatArray, side: FloatArray) -> FloatArray:
        angle = np.arcsin(side) + (0.0 if yaw is None else yaw)
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        down, around = share * length_m, angle * radius_m
        mixed = np.zeros_like(share)
        if garment.pattern == "rings":
            mixed = (down % period < period * 0.45).astype(np.float32)
        elif garment.pattern == "pinstripes":
            mixed = (around % (period * 0.7) < period * 0.2).astype(np.float32)
        elif garment.pattern == "checks":
            mixed = ((down % period < period / 2) * 0.5 + (around % period < period / 2) * 0.5).astype(
                np.float32
            )
        elif garment.pattern == "dots":
            cell = np.hypot(down % period - period / 2, around % period - period / 2)
            mixed = (cell < period * 0.28).astype(np.float32)
        elif garment.pattern == "block":
            mixed = (down < period * 2).astype(np.float32)
        elif garment.pattern == "side":
            mixed = (np.abs(np.abs(side) - 0.6) < 0.2).astype(np.float32)
        elif yaw is not None and garment.pattern == "chest":
            mixed = (np.abs(down - 0.18) < period * 0.5).astype(np.float32)
        elif yaw is not None and garment.pattern in ("print", "back"):
            away = np.abs(angle) if garment.pattern == "print" else np.pi - np.abs(angle)
            mixed = ((away < 0.55) & (np.abs(down - 0.2) < period)).astype(np.float32)
        return base + mixed[..., None] * (accent - base)

    return paint


def _trunk(person: Person, pose: Pose) -> list[_Part]:
    height, girth, top, bottom = person.height_m, person.girth, person.top, person.bottom
    shoulder, hip = 0.82 * height, 0.5 * height
    # The trunk is an ellipse seen from above, so that it is narrower from the side.
    narrow = float(np.hypot(np.cos(pose.yaw), 0.62 * np.sin(pose.yaw)))
    radius = 0.185 * girth * narrow
    low = 0.3 * height if top.kind == "coat" else hip - (0.05 if top.kind == "hoodie" else 0.0)
    widths = (
        (0.75, 1.0, 0.98, 0.92, 0.86, 0.86, 0.92)
        if top.kind != "coat"
        else (0.75, 1.0, 0.95, 0.9, 0.92, 0.96, 1.02)
    )
    cloth = _cloth(top, shoulder - low, radius, pose.yaw)
    if top.kind in ("jacket", "coat"):
        cloth = _opened(cloth, person.inner, pose.yaw, 0.42 if top.kind == "jacket" else 0.2)
    parts = [_Part((0, shoulder, 0), (0, low, 0), tuple(radius * w for w in widths), cloth, rounded=False)]
    if bottom.kind == "skirt":
        hem = 0.3 * height
        skirt = _cloth(bottom, hip - hem, radius, pose.yaw)
        around = tuple(radius * w for w in (0.82, 0.95, 1.05, 1.12))
        parts.append(_Part((0, hip + 0.03, 0), (0, hem, 0), around, skirt, rounded=False, nearer=-0.01))
    if top.kind == "hoodie":
        hood = _plain(top.colour)
        parts.append(
            _Part((-0.07, shoulder + 0.03, -0.08), (0.07, shoulder + 0.03, -0.08), (0.07, 0.075, 0.07), hood)
        )
    neck = _plain(person.skin)
    parts.append(
        _Part((0, shoulder - 0.02, 0), (0, shoulder + 0.08, 0.01), (0.06, 0.055), neck, nearer=-0.02)
    )
    return parts


def _opened(cloth: Paint, inner: Colour, yaw: float, half_angle: float) -> Paint:
    """Return the paint of an open jacket, which shows the shirt at the front."""

    def paint(share: FloatArray, side: FloatArray) -> FloatArray:
        angle = (np.arcsin(side) + yaw + np.pi) % (2 * np.pi) - np.pi
        shown = (np.abs(angle) < half_angle * (0.5 + share))[..., None]
        return np.where(shown, np.array(inner, np.float32), cloth(share, side))

    return paint


def _legs(person: Person, pose: Pose) -> list[_Part]:
    height, girth, bottom = person.height_m, person.girth, person.bottom
    parts = []
    for side in (1, -1):
        swing = pose.stride * float(np.sin(pose.phase)) * side
        lifted = 0.5 * pose.stride * max(0.0, float(np.cos(pose.phase)) * side)
        hip = (side * 0.085 * girth, 0.51 * height, 0.0)
        upper, lower = 0.245 * height, 0.225 * height
        knee = (hip[0], hip[1] - upper * np.cos(swing), upper * np.sin(swing))
        shin = swing - lifted - 0.1 * abs(swing)
        ankle = (hip[0], knee[1] - lower * np.cos(shin), knee[2] + lower * np.sin(shin))
        toe = (ankle[0] * 1.2, ankle[1] - 0.02, ankle[2] + 0.15)
        cloth = _cloth(bottom, upper + lower, 0.08, None)
        skin = _plain(person.skin)
        bare = {"trousers": (False, False), "shorts": (False, True), "skirt": (True, True)}[bottom.kind]
        thigh, calf = (
            (0.095 * girth, 0.082 * girth, 0.066 * girth),
            (0.062 * girth, 0.06 * girth, 0.045 * girth),
        )
        if bare[1]:
            calf = (0.05 * girth, 0.055 * girth, 0.036 * girth)
        parts.append(_Part(ankle, toe, (0.048, 0.042), _plain(person.shoes)))
        parts.append(_Part(knee, ankle, calf, skin if bare[1] else cloth, nearer=0.005))
        parts.append(_Part(hip, knee, thigh, skin if bare[0] else cloth, nearer=0.01))
    return parts


def _arms(person: Person, pose: Pose) -> list[_Part]:
    height, girth, top = person.height_m, person.girth, person.top
    parts = []
    for side in (1, -1):
        swing = -0.8 * pose.stride * float(np.sin(pose.phase)) * side
        shoulder = (side * 0.175 * girth, 0.782 * height, 0.0)
        upper, lower = 0.165 * height, 0.15 * height
        elbow = (
            shoulder[0] + side * 0.03,
            shoulder[1] - upper * np.cos(swing),
            upper * np.sin(swing),
        )
        fore = swing + pose.bend
        wrist = (elbow[0] + side * 0.005, elbow[1] - lower * np.cos(fore), elbow[2] + lower * np.sin(fore))
        hand = (wrist[0], wrist[1] - 0.06 * np.cos(fore), wrist[2] + 0.06 * np.sin(fore))
        thick = 1.15 if top.kind in ("jacket", "coat", "hoodie") else 1.0
        cloth, skin = _cloth(top, upper + lower, 0.05, None), _plain(person.skin)
        sleeve = skin if top.kind == "t-shirt" else cloth
        narrow = 0.75 if top.kind == "t-shirt" else 1.0
        fore_arm = tuple(w * girth * thick * narrow for w in (0.052, 0.048, 0.04))
        upper_arm = tuple(w * girth * thick for w in (0.055, 0.058, 0.052))
        parts.append(_Part(wrist, hand, (0.036, 0.03), skin, nearer=0.02))
        parts.append(_Part(elbow, wrist, fore_arm, sleeve, nearer=0.025))
        parts.append(_Part(shoulder, elbow, upper_arm, cloth, nearer=0.03))
    return parts


def _head(person: Person, pose: Pose) -> list[_Part]:
    height = person.height_m
    chin, crown = 0.885 * height, 0.975 * height
    colours = {"skin": np.array(person.skin, np.float32), "hair": np.array(person.hair, np.float32)}
    cap = np.array(person.bag_colour, np.float32)

    def paint(share: FloatArray, side: FloatArray) -> FloatArray:
        angle = (np.arcsin(side) + pose.yaw + np.pi) % (2 * np.pi) - np.pi
        away = np.abs(angle)
        limit = {"bald": 9.0, "short": 1.35, "cap": 1.5}.get(person.hairstyle, 1.0)
        hairy = (away > limit) | ((share > 0.78) & (person.hairstyle != "bald"))
        hairy &= ~((away > limit) & (share < 0.15) & (person.hairstyle in ("short", "cap")))
        colour = np.where(hairy[..., None], colours["hair"], colours["skin"])
        eyes = (np.abs(away - 0.4) < 0.2) & (np.abs(share - 0.52) < 0.08)
        colour = np.where(eyes[..., None], colour * 0.45, colour)
        if person.hairstyle == "cap":
            colour = np.where((share > 0.7)[..., None], cap, colour)
        return colour

    parts = [_Part((0, chin, 0.02), (0, crown, 0.01), (0.07, 0.088, 0.092, 0.085), paint, nearer=0.04)]
    if person.hairstyle == "long":
        parts.append(
            _Part(
                (0, 0.95 * height, -0.06),
                (0, 0.77 * height, -0.11),
                (0.09, 0.1, 0.095),
                _plain(person.hair),
                nearer=0.02,
            )
        )
    elif person.hairstyle == "bun":
        parts.append(
            _Part(
                (0, 0.985 * height, -0.06),
                (0, 0.99 * height, -0.07),
                (0.045, 0.045),
                _plain(person.hair),
                nearer=0.05,
            )
        )
    elif person.hairstyle == "cap":
        visor = _plain((person.bag_colour[0] // 2, person.bag_colour[1] // 2, person.bag_colour[2] // 2))
        parts.append(
            _Part((0, 0.955 * height, 0.08), (0, 0.95 * height, 0.15), (0.07, 0.055), visor, nearer=0.05)
        )
    return parts


def _bag(person: Person, pose: Pose) -> list[_Part]:
    if person.bag == "none":
        return []
    height, side = person.height_m, person.bag_side
    leather = _plain(person.bag_colour)
    dark = _plain((person.bag_colour[0] // 2, person.bag_colour[1] // 2, person.bag_colour[2] // 2))
    if person.bag == "backpack":
        # A box on the back, seen at full depth from the side.
        broad = float(np.hypot(0.15 * np.cos(pose.yaw), 0.1 * np.sin(pose.yaw)))
        body = _Part(
            (0, 0.81 * height, -0.2),
            (0, 0.56 * height, -0.2),
            (0.8 * broad, broad, broad, 0.9 * broad),
            leather,
        )
        straps = [
            _Part(
                (s * 0.1, 0.83 * height, 0.05),
                (s * 0.12, 0.66 * height, 0.1),
                (0.022, 0.022),
                dark,
                nearer=0.06,
            )
            for s in (1, -1)
        ]
        return [body, *straps]
    if person.bag == "shoulder":
        x = side * 0.24 * person.girth
        strap = [
            _Part(
                (-side * 0.1, 0.83 * height, z),
                (side * 0.16, 0.56 * height, z),
                (0.02, 0.02),
                dark,
                nearer=0.08 * np.sign(z),
            )
            for z in (0.1, -0.1)
        ]
        body = _Part(
            (x, 0.56 * height, -0.02), (x, 0.46 * height, -0.02), (0.1, 0.12, 0.12), leather, nearer=0.06
        )
        return [*strap, body]
    x = side * 0.26 * person.girth
    body = _Part((x, 0.4 * height, 0.02), (x, 0.31 * height, 0.02), (0.08, 0.12, 0.13), leather, False, 0.05)
    handle = _Part((x, 0.46 * height, 0.02), (x, 0.4 * height, 0.02), (0.012, 0.04), dark, nearer=0.04)
    return [body, handle]
