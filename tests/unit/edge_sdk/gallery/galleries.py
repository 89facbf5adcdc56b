"""Keys and embeddings for tests with small galleries, and a function that lists the subjects of one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.gallery import Gallery, InMemoryKey

MODEL = hashlib.sha256(b"model").digest()
KEY, OTHER, THIRD = (InMemoryKey(bytes([n]) * 32) for n in (1, 2, 3))
QUICK = {"memory_kib": 64, "passes": 1, "lanes": 1}
D = 32


def embeddings(seed: int, count: int = 1, dimension: int = D) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def names(path: Path, key: Any, **options: Any) -> list[str]:
    return [s.name for s in Gallery.open(path, key=key, **options).subjects()]
