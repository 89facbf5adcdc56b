"""Photograph a product: pose it in front of a scene, light it and take an imperfect picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from tools.products import camera, scenes
from tools.products.catalogue import Product, product
from tools.products.packages import PROFILES, aspect_of, pose_package
from tools.products.projection import Pose

SIZE_PX = 96
MEAN, SCALE = 127.5, 128.0  # the input contract (pixel - MEAN) / SCALE is applied outside the network
_CANVAS_PX = 2 * SIZE_PX
# A separate catalogue, so that neighbouring packages are never a class of a data set.
_NEIGHBOURS_SEED = 90_001
_NEIGHBOURS = 40


@dataclass(frozen=True)
class Care:
    """Quality of a photo. All values except `stream` and `extent` are factors, 0..1; 1 is the roughest.

    Attributes:
        stream: Part of the seed: the same photo number gives another photo with another care.
        pose: Factor for rotation and offset of the package.
        light: Factor for the deviation from neutral light.
        noise: Factor for the sensor's noise.
        blur: Factor for the width of blur; 0 is sharp.
        clutter: Factor for the probability of neighbours, fingers, shadows and reflections.
        extent: Smallest and largest size of the package, as a share of the picture.
    """

    stream: int
    pose: float
    light: float
    noise: float
    blur: float
    clutter: float
    extent: tuple[float, float]


ROUGH = Care(0, 1.0, 1.0, 1.0, 1.0, 1.0, (0.72, 1.0))  # for training: worse conditions than in use
EVERYDAY = Care(2, 0.6, 0.7, 0.6, 0.5, 0.35, (0.78, 0.94))  # for probes and measurements
CAREFUL = Care(1, 0.35, 0.5, 0.4, 0.0, 0.0, (0.78, 0.88))  # for enrolment


def _pose(subject: Product, rng: np.random.Generator, care: Care) -> Pose:
    """Draw a random pose of the package relative to the camera."""
    spread = care.pose
    turned = subject.family.package in PROFILES
    yaw = float(np.clip(rng.normal(0, 0.3 * spread), -0.7, 0.7))
    pitch = float(np.clip(rng.normal(0.14, 0.15 * spread), -0.25, 0.5))
    return Pose(
        yaw=yaw,
        pitch=max(0.0, pitch) if turned else pitch,
        roll=float(rng.normal(0, 0.12 * spread)),
        extent=float(rng.uniform(*care.extent)),
        centre=(float(rng.normal(0.5, 0.045 * spread)), float(rng.normal(0.5, 0.045 * spread))),
        light=float(rng.uniform(-1.1, 1.1)),
    )


def _stand(canvas: Image.Image, package: Image.Image, light: float, rng: np.random.Generator) -> Image.Image:
    """Paste `package` and its shadow on `canvas`, in place, and return the canvas."""
    shadow = package.getchannel("A").filter(ImageFilter.GaussianBlur(float(rng.uniform(3, 9))))
    depth = float(rng.uniform(0.25, 0.7))
    shadow = shadow.point([int(level * depth) for level in range(256)])
    offset = (int(-9 * np.sin(light)), int(rng.uniform(2, 8)))
    canvas.paste((12, 10, 10), offset, shadow)
    canvas.paste(package, (0, 0), package)
    return canvas


def _neighbour(rng: np.random.Generator, pose: Pose, aspect: float) -> Image.Image:
    """Draw another package next to the subject, partly outside the picture."""
    other = product(_NEIGHBOURS_SEED, int(rng.integers(_NEIGHBOURS)), int(rng.integers(3)))
    side = -1.0 if rng.random() < 0.5 else 1.0
    gap = pose.extent * (min(1.0, aspect) + min(1.0, aspect_of(other))) / 2 + float(rng.uniform(-0.03, 0.1))
    beside = Pose(
        float(rng.normal(0, 0.3)),
        max(0.0, pose.pitch),
        pose.roll + float(rng.normal(0, 0.05)),
        pose.extent * float(rng.uniform(0.8, 1.1)),
        (pose.centre[0] + side * gap, pose.centre[1] + float(rng.normal(0, 0.04))),
        pose.light,
    )
    return pose_package(other, beside, _CANVAS_PX, rng)


def take_photo(subject: Product, seed: int, *, care: Care = ROUGH) -> bytes:
    """Photograph `subject`; the same product and seed give the same picture.

    Args:
        subject: Product to photograph.
        seed: Number of the photo.
        care: Quality of the photo.

    Returns:
        A JPEG file, SIZE_PX square; `develop` decodes it.
    """
    rng = np.random.default_rng([subject.family.style_seed, subject.variant, seed, care.stream])
    pose = _pose(subject, rng, care)
    canvas = Image.fromarray(scenes.background(rng, _CANVAS_PX).astype(np.uint8))
    if care.clutter and rng.random() < 0.3 * care.clutter:
        canvas = _stand(canvas, _neighbour(rng, pose, aspect_of(subject)), pose.light, rng)
    canvas = _stand(canvas, pose_package(subject, pose, _CANVAS_PX, rng), pose.light, rng)
    if care.clutter and rng.random() < 0.25 * care.clutter:
        hand = scenes.finger(rng, _CANVAS_PX)
        canvas.paste(hand, (0, 0), hand)
    image = np.asarray(canvas.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX), np.float32)

    image = camera.light(image, rng, spread=care.light)
    if care.clutter and rng.random() < 0.3 * care.clutter:
        image = camera.cast_shadow(image, rng)
    if care.clutter and rng.random() < 0.3 * care.clutter:
        image = camera.highlight(image, rng)
    if care.blur:
        image = camera.blur(image, rng, strength=care.blur)
    return camera.jpeg(camera.expose(image, rng, noise=care.noise), rng)


def develop(photo: bytes) -> np.ndarray:
    """Decode a photo: shape (SIZE_PX, SIZE_PX, 3), uint8, RGB."""
    return np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
