"""Embeddings drawn at random around the centres of subjects."""

from __future__ import annotations

import numpy as np

from edge_sdk.types import FloatArray


def unit_rows(rows: np.ndarray) -> FloatArray:
    """Divide each row by its L2 norm; float32."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def scattered(
    rng: np.random.Generator,
    subjects: int,
    codes: np.ndarray,
    noise: float | np.ndarray,
    *,
    dimension: int = 32,
) -> FloatArray:
    """Draw one embedding for each subject number of `codes`, with `noise` around the centre of the subject."""
    centres = rng.normal(size=(subjects, dimension))
    return unit_rows(centres[codes] + noise * rng.normal(size=(codes.size, dimension)))
