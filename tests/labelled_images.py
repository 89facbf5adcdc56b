"""Drawn subjects: each a random pattern of coarse blocks, each image of it the pattern with noise."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 96


def pattern(subject: int) -> np.ndarray:
    """Shape (96, 96, 3), uint8."""
    blocks = np.random.default_rng(subject).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return blocks.repeat(12, axis=0).repeat(12, axis=1)


def photo(subject: int, number: int, *, noise: float = 40.0) -> np.ndarray:
    """One image of a subject; the noise is of blocks, so that pooling does not take it out."""
    rng = np.random.default_rng([subject, number])
    disturbed = rng.normal(0, noise, (8, 8, 3)).repeat(12, axis=0).repeat(12, axis=1)
    return np.clip(pattern(subject) + disturbed, 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """The image as a file."""
    made = io.BytesIO()
    Image.fromarray(image).save(made, "PNG")
    return made.getvalue()


def contents(subjects: int, images: int, *, noise: float = 40.0) -> dict[str, bytes]:
    """Files by name, LFW's way: `s00/s00_0001.png`."""
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
