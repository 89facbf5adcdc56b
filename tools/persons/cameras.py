"""Six cameras, and the picture that a camera takes of a person."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tools.persons.figure import Pose, draw_person
from tools.persons.surroundings import background, ground_shadow, hide_a_part
from tools.persons.wardrobe import Person, person
from tools.products import camera as optics

#: Size of the pictures: (height, width) in pixels.
SIZE_PX = (128, 64)
_SUPERSAMPLING = 2
# Persons who walk beside a subject are no class of a data set.
_PASSERS_BY_SEED = 70_001


@dataclass(frozen=True)
class Camera:
    """A fixed camera.

    Attributes:
        name: Number of the camera in file names.
        scene: Kind of the surroundings.
        pitch: Mean angle above the horizon, radians.
        yaw: Mean direction in which people walk past, radians; 0 is towards the camera.
        yaw_spread: Standard deviation of the direction.
        gains: Factors for red, green and blue.
        exposure: Factor for the brightness.
        saturation: Factor for the distance of colours from gray.
        haze: Level that is added to black, 0..255.
        detail: Share of the pixels that the sensor resolves, 0..1.
        noise: Factor for the noise of the sensor.
        blur: Factor for the width of blur.
        quality: Lowest and highest JPEG quality.
    """

    name: str
    scene: str
    pitch: float
    yaw: float
    yaw_spread: float
    gains: tuple[float, float, float]
    exposure: float
    saturation: float
    haze: float
    detail: float
    noise: float
    blur: float
    quality: tuple[int, int]


CAMERAS = (
    Camera("1", "street", 0.15, 0.0, 0.5, (1.0, 1.0, 1.0), 1.0, 1.0, 0, 0.95, 0.5, 0.4, (70, 92)),
    Camera("2", "garage", 0.40, 2.9, 0.5, (1.16, 1.0, 0.72), 0.62, 0.75, 6, 0.6, 1.5, 0.7, (45, 70)),
    Camera("3", "shop", 0.30, 1.3, 0.7, (0.9, 1.0, 1.14), 1.12, 0.9, 14, 0.7, 0.8, 0.5, (55, 80)),
    Camera("4", "lawn", 0.05, -1.2, 0.9, (0.96, 1.06, 0.92), 1.1, 1.12, 4, 0.75, 0.6, 0.6, (60, 85)),
    Camera("5", "corridor", 0.25, 3.1, 0.8, (1.1, 1.0, 0.84), 0.85, 0.85, 10, 0.55, 1.1, 0.8, (40, 65)),
    Camera("6", "plaza", 0.55, -2.0, 1.2, (0.92, 0.98, 1.1), 1.0, 0.8, 22, 0.65, 0.8, 0.6, (50, 75)),
)


def take_picture(seed: int, subject: Person, camera: Camera, number: int) -> bytes:
    """Take a picture of a person; the same arguments give the same picture.

    Args:
        seed: Seed of the data set.
        subject: Person in the middle.
        camera: Camera that takes the picture.
        number: Number of the picture of this person at this camera.

    Returns:
        A JPEG file of ``SIZE_PX``; ``develop`` decodes it.
    """
    rng = np.random.default_rng([seed, 12, subject.number, int(camera.name), number])
    height, width = (side * _SUPERSAMPLING for side in SIZE_PX)
    canvas = background(camera.scene, rng, (height, width))
    pose = _pose(rng, camera, subject, (height, width))
    passes_by = rng.random()
    if passes_by < 0.2:
        other = person(_PASSERS_BY_SEED, int(rng.integers(400)))
        shift = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.38, 0.6))
        beside = _pose(rng, camera, other, (height, width), shift)
    if passes_by < 0.12:
        draw_person(canvas, other, beside)
    feet = (pose.centre[0], pose.centre[1] + 0.49 * subject.height_m * pose.pixels_per_m * np.cos(pose.pitch))
    ground_shadow(canvas, feet, 0.34 * pose.pixels_per_m, float(rng.uniform(0.15, 0.5)))
    draw_person(canvas, subject, pose)
    if 0.12 <= passes_by < 0.2:
        draw_person(canvas, other, beside)
    if rng.random() < 0.2:
        hide_a_part(canvas, rng)
    return _expose(canvas, rng, camera)


def _pose(
    rng: np.random.Generator, camera: Camera, subject: Person, shape: tuple[int, int], shift: float = 0.0
) -> Pose:
    """Draw a random pose in an imprecise box of a detector; ``shift`` moves the person, in widths of the picture."""
    height, width = shape
    walks = rng.random() < 0.8
    return Pose(
        yaw=camera.yaw + float(rng.normal(0, camera.yaw_spread)),
        pitch=camera.pitch + float(rng.normal(0, 0.04)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0.25, 0.5)) if walks else 0.05,
        bend=float(rng.uniform(0.05, 0.9)),
        centre=(
            width * (0.5 + shift) + float(rng.normal(0, 0.045)) * width,
            height * (0.5 + float(rng.normal(0, 0.025))),
        ),
        pixels_per_m=height / subject.height_m * float(rng.uniform(0.84, 1.02)),
        light=float(rng.uniform(-1.0, 1.0)),
    )


def _expose(canvas: np.ndarray, rng: np.random.Generator, camera: Camera) -> bytes:
    """Turn the scene into the JPEG file that a camera writes."""
    height, width = SIZE_PX
    scene = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    resolved = (round(width * camera.detail), round(height * camera.detail))
    image = np.asarray(
        scene.resize(resolved, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR),
        np.float32,
    )
    gray = image.mean(axis=2, keepdims=True)
    image = gray + camera.saturation * (image - gray)
    image = image * np.array(camera.gains, np.float32) * camera.exposure + camera.haze
    image = optics.light(image, rng, spread=0.5)
    if rng.random() < 0.2:
        image = optics.cast_shadow(image, rng)
    image = optics.blur(image, rng, strength=camera.blur)
    return optics.jpeg(optics.expose(image, rng, noise=camera.noise), rng, quality=camera.quality)


def develop(picture: bytes) -> np.ndarray:
    """Decode a picture: shape (H, W, 3), uint8, RGB."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
