"""Small drawn pictures for the tests of folders."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(subject: int, number: int, side: int = 32) -> np.ndarray:
    """Draw a coarse pattern; different subjects and numbers give uncorrelated patterns."""
    blocks = np.random.default_rng([subject, number]).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return blocks.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def encoded(image: np.ndarray, kind: str = "PNG", **settings: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **settings)
    return file.getvalue()


def contents(subjects: int, images: int = 2, prefix: str = "") -> dict[str, bytes]:
    """Draw the files of a data set by name, ``s000/0.png``."""
    return {
        f"{prefix}s{subject:03d}/{number}.png": encoded(pixels(subject, number))
        for subject in range(subjects)
        for number in range(images)
    }


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
