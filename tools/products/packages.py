"""Wrap a label around a package in a pose: cuboids, gabled cartons, pouches and bodies of revolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from tools.products.catalogue import Colour, Product
from tools.products.labels import Artwork, draw_label
from tools.products.projection import Pose, paste_quad, project, rotation
from tools.products.scenes import smooth_noise

_METAL: Colour = (186, 190, 194)
_WRAP_HALF = 1.3  # half of the angle that the front of a round label covers, radians
_ROUND_PX = 150  # height at which bodies of revolution are shaded before posing


@dataclass(frozen=True)
class Profile:
    """A body of revolution.

    Attributes:
        radii: (height 0..1 from the top, radius 0..1) from top to bottom, connected by straight lines.
        label: Top and bottom of the label, 0..1 of the height.
        lid: Bottom of the lid or cap, 0..1 of the height.
        gloss: Strength of the highlight, 0..1.
    """

    radii: tuple[tuple[float, float], ...]
    label: tuple[float, float]
    lid: float
    gloss: float


PROFILES = {
    "bottle": Profile(
        (
            (0, 0.40),
            (0.10, 0.42),
            (0.101, 0.34),
            (0.19, 0.36),
            (0.26, 0.62),
            (0.33, 0.92),
            (0.38, 1),
            (0.96, 1),
            (1, 0.94),
        ),
        (0.40, 0.93),
        0.10,
        0.55,
    ),
    "can": Profile(((0, 0.84), (0.06, 1), (0.94, 1), (1, 0.86)), (0.05, 0.95), 0.045, 0.8),
    "tin": Profile(((0, 1), (0.03, 0.98), (0.97, 0.98), (1, 1)), (0.05, 0.95), 0.05, 0.5),
    "jar": Profile(
        ((0, 0.86), (0.17, 0.88), (0.171, 0.8), (0.2, 0.84), (0.28, 1), (0.94, 1), (1, 0.92)),
        (0.36, 0.86),
        0.17,
        0.6,
    ),
    "cup": Profile(((0, 1), (0.03, 1), (0.031, 0.96), (0.98, 0.76), (1, 0.72)), (0.07, 0.96), 0.03, 0.25),
}


def _lit(texture: np.ndarray, light: float) -> np.ndarray:
    return np.clip(texture.astype(np.float32) * light, 0, 255).astype(np.uint8)


def _cuboid(
    canvas: Image.Image, art: Artwork, size: tuple[float, float, float], pose: Pose, *, gable: bool
) -> None:
    """Wrap the label around a box of `size` (width, height, depth); with a gable it is a carton."""
    half_w, half_h, half_d = (side / 2 for side in size)
    top = -half_h + (0.16 * size[1] if gable else 0.0)
    flat = np.full((8, 8, 3), art.side[2, 2], np.uint8)

    def corners(*points: tuple[float, float, float]) -> np.ndarray:
        return np.array([(x * half_w, top if y < 0 else y * half_h, z * half_d) for x, y, z in points])

    faces = [
        (corners((-1, -1, -1), (1, -1, -1), (1, 1, -1), (-1, 1, -1)), art.front, (0, 0, -1)),
        (corners((1, -1, -1), (1, -1, 1), (1, 1, 1), (1, 1, -1)), art.side, (1, 0, 0)),
        (corners((-1, -1, 1), (-1, -1, -1), (-1, 1, -1), (-1, 1, 1)), art.side, (-1, 0, 0)),
        (corners((-1, 1, -1), (1, 1, -1), (1, 1, 1), (-1, 1, 1)), flat, (0, 1, 0)),
    ]
    if gable:
        accent = np.full((8, 8, 3), art.accent, np.uint8)
        ridge_y = -half_h + 0.05 * size[1]
        ridge = np.array([[-half_w, ridge_y, 0], [half_w, ridge_y, 0]])
        front = np.array([[-half_w, top, -half_d], [half_w, top, -half_d]])
        back = np.array([[-half_w, top, half_d], [half_w, top, half_d]])
        fin = ridge - [0, 0.05 * size[1], 0]
        faces.append((np.vstack([ridge[:1], ridge[1:], front[1:], front[:1]]), accent, (0, -0.7, -0.7)))
        faces.append((np.vstack([ridge[1:], ridge[:1], back[:1], back[1:]]), accent, (0, -0.7, 0.7)))
        faces.append((np.vstack([fin[:1], fin[1:], ridge[1:], ridge[:1]]), accent, (0, 0, -1)))
        for side, normal in ((1, (1, 0, 0)), (0, (-1, 0, 0))):
            pair = (front[side], back[side]) if side else (back[side], front[side])
            middle = ridge[side]
            # Draw the triangle as a quad with two nearly equal corners, so that `paste_quad` can paste it.
            faces.append((np.array([middle, middle + 1e-3, pair[1], pair[0]]), accent, normal))
    else:
        faces.append((corners((-1, -1, 1), (1, -1, 1), (1, -1, -1), (-1, -1, -1)), flat, (0, -1, 0)))

    turn = rotation(pose)
    light = np.array([np.sin(pose.light), -0.45, -np.cos(pose.light)])
    light /= np.linalg.norm(light)
    order = sorted(faces, key=lambda face: -float((face[0] @ turn.T)[:, 2].mean()))
    for points, texture, normal in order:
        pixels = project(points, pose, canvas.width)
        edge, other = pixels[1] - pixels[0], pixels[3] - pixels[0]
        diagonal, across = pixels[2] - pixels[0], pixels[3] - pixels[1]
        if diagonal[0] * across[1] - diagonal[1] * across[0] <= 1:
            continue  # faces away from the camera
        if abs(edge[0] * other[1] - edge[1] * other[0]) < 1e-6:
            continue
        strength = 0.5 + 0.55 * max(0.0, float(np.asarray(normal) @ turn.T @ light))
        if len({tuple(p) for p in np.round(pixels).astype(int)}) < 4:
            colour = tuple(int(c) for c in _lit(texture[0, 0], strength))
            ImageDraw.Draw(canvas).polygon([tuple(p) for p in pixels], fill=(*colour, 255))
            continue
        paste_quad(canvas, _lit(texture, strength), pixels)


def _creases(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return soft light and dark creases with mean about 0, shape `shape`, float32."""
    return 0.08 * smooth_noise(rng, shape, (7, 5)) + 0.05 * smooth_noise(rng, shape, (16, 9))


def _pouch(
    canvas: Image.Image, art: Artwork, size: tuple[float, float], pose: Pose, rng: np.random.Generator
) -> None:
    """Draw the label on a filled bag of creased foil, sealed at both ends."""
    texture = art.front.astype(np.float32)
    height, width = texture.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    v, u = v / (height - 1), u / (width - 1) * 2 - 1
    seal = (v < 0.06) | (v > 0.95)
    texture[seal] = texture[seal] * 0.5 + 110
    texture[seal & ((u * 40).astype(int) % 2 == 0)] *= 0.88
    fullness = np.sin(np.pi * np.clip(v, 0.02, 0.98)) ** 0.6
    slope = u**3 * fullness  # the surface curves away at the sides
    shade = 0.86 + 0.22 * np.cos(u * 1.3) - 0.12 + 0.35 * slope * np.sin(pose.light) - 0.18 * np.abs(slope)
    gleam = np.exp(-(((u - 0.75 * np.sin(pose.light)) / 0.16) ** 2)) * fullness * 46
    texture = texture * (shade + _creases(rng, (height, width)))[..., None] + gleam[..., None]
    side = 1 - 0.07 * (1 - np.cos(2 * np.pi * v)) * 0.5 * rng.uniform(0.2, 1.0)
    alpha = np.clip((side - np.abs(u)) * width / 2, 0, 1) * 255
    rgba = np.dstack([np.clip(texture, 0, 255), alpha]).astype(np.uint8)
    half_w, half_h = size[0] / 2, size[1] / 2
    plane = np.array([[-half_w, -half_h, 0], [half_w, -half_h, 0], [half_w, half_h, 0], [-half_w, half_h, 0]])
    paste_quad(canvas, rgba, project(plane, pose, canvas.width))


def _round(
    art: Artwork, profile: Profile, aspect: float, pose: Pose, package: str, contents: Colour
) -> np.ndarray:
    """Wrap the label around an upright body of revolution.

    Returns:
        Shape (about _ROUND_PX, W, 4), uint8, RGBA.
    """
    reach = 0.14  # margin above and below for the ellipses seen from a tilted camera
    rows = round(_ROUND_PX * (1 + 2 * reach))
    columns = max(16, round(_ROUND_PX * aspect))
    v, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    v, x = (v + 0.5) / _ROUND_PX - reach, (x + 0.5) / columns * 2 - 1
    heights, radii = (np.array(values) for values in zip(*profile.radii, strict=True))
    sag = float(np.sin(pose.pitch)) * aspect / 2
    radius = np.interp(v, heights, radii)
    bend = np.sqrt(np.clip(1 - (x / radius) ** 2, 0, 1))
    along = v - sag * radius * bend  # height on the body at this pixel
    radius = np.interp(along, heights, radii)
    across = x / radius
    theta = np.arcsin(np.clip(across, -1, 1))
    soft = np.clip((1 - np.abs(across)) * radius * columns / 2, 0, 1)
    alpha = soft * np.clip(np.minimum(along, 1 - along) * _ROUND_PX, 0, 1)

    height = art.front.shape[0]
    back = np.concatenate([art.side, art.side], axis=1)
    front_px = art.front.shape[1]
    back_px = int(front_px * (np.pi - _WRAP_HALF) / _WRAP_HALF)
    back = np.asarray(Image.fromarray(back).resize((back_px, height), Image.Resampling.BOX))
    wrap = np.concatenate([art.front, back], axis=1)
    column = ((theta + pose.yaw + _WRAP_HALF) / (2 * np.pi) * wrap.shape[1]).astype(int) % wrap.shape[1]
    top, bottom = profile.label
    line = np.clip((along - top) / (bottom - top) * height, 0, height - 1).astype(int)
    colour = wrap[line, column].astype(np.float32)

    metal = package in ("can", "tin")
    body = _METAL if metal else contents
    colour[(along < top) | (along > bottom)] = body
    cap = _METAL if metal else art.accent
    colour[along < profile.lid] = cap
    shade = 0.42 + 0.62 * np.clip(np.cos(theta - pose.light), 0, 1) * (0.55 + 0.45 * np.cos(theta))
    gleam = np.exp(-(((theta - 0.7 * pose.light) / 0.13) ** 2)) + 0.5 * np.exp(-(((theta + 0.95) / 0.1) ** 2))
    colour = colour * shade[..., None] + (profile.gloss * 110 * gleam)[..., None]

    rim = radii[0]
    if sag > 0.01:  # the top of the lid, an ellipse above the upper edge
        inside = np.sqrt((x / rim) ** 2 + (v / (sag * rim)) ** 2)
        cover = np.clip((1 - inside) * _ROUND_PX * sag, 0, 1)
        lid = np.array(cap, np.float32) * np.where(inside < 0.86, 0.92, 1.08)[..., None]
        colour = colour * (1 - cover[..., None]) + lid * cover[..., None]
        alpha = np.maximum(alpha, cover)
    return np.dstack([np.clip(colour, 0, 255), alpha * 255]).astype(np.uint8)


def aspect_of(product: Product) -> float:
    """Return width / height of the package, which differs from that of the label if the package is round."""
    family = product.family
    if family.package not in PROFILES:
        return family.aspect
    top, bottom = PROFILES[family.package].label
    return family.aspect * (bottom - top) / _WRAP_HALF


def pose_package(product: Product, pose: Pose, canvas_px: int, rng: np.random.Generator) -> Image.Image:
    """Draw `product` in `pose` on a transparent canvas.

    Args:
        rng: Used only for the creases of a pouch.

    Returns:
        RGBA, `canvas_px` square.
    """
    canvas = Image.new("RGBA", (canvas_px, canvas_px), (0, 0, 0, 0))
    art, family = draw_label(product), product.family
    aspect = aspect_of(product)
    width, height = (aspect, 1.0) if aspect < 1 else (1.0, 1.0 / aspect)
    if family.package in PROFILES:
        shown = _round(art, PROFILES[family.package], aspect, pose, family.package, product.flavour.colour)
        grown = height * shown.shape[0] / _ROUND_PX / 2
        plane = np.array(
            [[-width / 2, -grown, 0], [width / 2, -grown, 0], [width / 2, grown, 0], [-width / 2, grown, 0]]
        )
        # The texture already includes the yaw. Half of the pitch makes its far end narrower.
        flat = Pose(0.0, pose.pitch * 0.5, pose.roll, pose.extent, pose.centre, pose.light)
        paste_quad(canvas, shown, project(plane, flat, canvas_px))
    elif family.package == "pouch":
        _pouch(canvas, art, (width, height), pose, rng)
    elif family.package == "slab":
        _cuboid(canvas, art, (width, height, 0.1), pose, gable=False)
    else:
        depth = width * (0.9 if family.package == "carton" else family.depth)
        _cuboid(canvas, art, (width, height, depth), pose, gable=family.package == "carton")
    return canvas
