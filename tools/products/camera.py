"""Simulated camera: light, lens, sensor and JPEG compression."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

FloatImage = np.ndarray  # (H, W, 3), float32, RGB, 0..255


def _grid(image: FloatImage) -> np.ndarray:
    """Return the coordinates y and x of the pixels, each -1..1, shape (2, H, W), float32."""
    height, width = image.shape[:2]
    return np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)


def light(image: FloatImage, rng: np.random.Generator, *, spread: float = 1.0) -> FloatImage:
    """Apply exposure, colour temperature, a light gradient and vignetting.

    Args:
        spread: Deviation from neutral light, 0..1; 1 is everyday light, 0 is neutral.
    """
    warmth = float(np.clip(rng.normal(0, 0.08), -0.2, 0.2)) * spread
    tint = float(rng.normal(0, 0.02)) * spread
    gains = np.array([1 + warmth, 1 + tint, 1 - warmth], np.float32)
    exposure = float(np.exp(np.clip(rng.normal(-0.03, 0.22), -0.55, 0.4) * spread))
    y, x = _grid(image)
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.38)
    field = 1 + slope * (x * np.cos(turn) + y * np.sin(turn)) - rng.uniform(0, 0.22) * (x * x + y * y)
    return image * (exposure * field)[..., None] * gains


def cast_shadow(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Darken one side of a soft, slanting edge, such as the shadow of a hand, a shelf or a window frame."""
    y, x = _grid(image)
    turn = rng.uniform(0, 2 * np.pi)
    distance = x * np.cos(turn) + y * np.sin(turn) - rng.uniform(-0.5, 0.5)
    return image * (1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-distance * rng.uniform(8, 40))))[..., None]


def highlight(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Add the blurred reflection of a lamp."""
    y, x = _grid(image)
    turn = rng.uniform(0, np.pi)
    x, y = x - rng.uniform(-0.55, 0.55), y - rng.uniform(-0.55, 0.55)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    spot = np.exp(-((along / rng.uniform(0.12, 0.5)) ** 2) - (across / rng.uniform(0.05, 0.16)) ** 2)
    return image + (rng.uniform(60, 210) * spot)[..., None]


def blur(image: FloatImage, rng: np.random.Generator, *, strength: float = 1.0) -> FloatImage:
    """Apply defocus or motion blur at the final resolution.

    Args:
        strength: Factor for the width of the blur; 1 is up to 4.5 px.
    """
    if rng.random() < 0.3:
        length, turn = rng.uniform(1.0, 4.5) * strength, rng.uniform(0, np.pi)
        steps = np.linspace(-length / 2, length / 2, 7)
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
        height, width = image.shape[:2]
        moved = np.zeros_like(image)
        for step in steps:
            dx, dy = 4 + round(step * np.cos(turn)), 4 + round(step * np.sin(turn))
            moved += padded[dy : dy + height, dx : dx + width]
        return moved / len(steps)
    radius = min(1.4, float(rng.exponential(0.5))) * strength
    blurred = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(radius)
    )
    return np.asarray(blurred, np.float32)


def expose(image: FloatImage, rng: np.random.Generator, *, noise: float = 1.0) -> np.ndarray:
    """Add the sensor's shot and read noise, apply the camera's tone curve and convert to uint8.

    Args:
        noise: Factor for the noise; below 1 in good light.
    """
    gain = rng.uniform(0.0, 0.5)
    deviation = rng.uniform(0.5, 4.5) + gain * np.sqrt(np.clip(image, 0, 255))
    noisy = image + rng.standard_normal(image.shape, np.float32) * deviation * noise
    unit = np.clip(noisy / 255, 0, 1)
    contrast = rng.uniform(-0.1, 0.35)
    unit = unit + contrast * (unit - 0.5) * 4 * unit * (1 - unit)
    return (np.clip(unit, 0, 1) * 255).astype(np.uint8)


def jpeg(image: np.ndarray, rng: np.random.Generator, *, quality: tuple[int, int] = (38, 93)) -> bytes:
    """Encode the image as a JPEG file with a random quality from the first number up to, but not including, the second."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(*quality)), optimize=True)
    return buffer.getvalue()
