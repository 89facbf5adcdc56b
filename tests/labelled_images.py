"""Generated images of subjects: each subject is a random pattern of coarse blocks, each image adds noise to it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 96


def pattern(subject: int) -> np.ndarray:
    """Draw the pattern of a subject, shape (96, 96, 3), uint8."""
    blocks = np.random.default_rng(subject).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return blocks.repeat(12, axis=0).repeat(12, axis=1)


def photo(subject: int, number: int, *, noise: float = 40.0) -> np.ndarray:
    """Draw one image of a subject; the noise is per block, so that pooling does not remove it."""
    rng = np.random.default_rng([subject, number])
    disturbed = rng.normal(0, noise, (8, 8, 3)).repeat(12, axis=0).repeat(12, axis=1)
    return np.clip(pattern(subject) + disturbed, 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """Encode an image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def contents(subjects: int, images: int, *, noise: float = 40.0) -> dict[str, bytes]:
    """Draw image files by name, in the form of LFW: `s00/s00_0001.png`."""
    return {
        f"s{s:02d}/s{s:02d}_{k:04d}.png": png(photo(s, k, noise=noise))
        for s in range(subjects)
        for k in range(1, images + 1)
    }


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
