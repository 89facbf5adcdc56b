"""Photographs in an archive, for benchmarks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_sdk.vision.images import read_image


def photographs(archive: Path, rng: np.random.Generator | None = None) -> Iterator[np.ndarray]:
    """Yield the .jpg files of a .tar as RGB images: by name, or in a random order."""
    with tarfile.open(archive) as files:
        names = sorted(name for name in files.getnames() if name.endswith(".jpg"))
        for name in names if rng is None else rng.permutation(names).tolist():
            file = files.extractfile(name)
            if file is not None:
                yield read_image(io.BytesIO(file.read()), name=name)
