"""Embedding to stored template, and probe against stored templates; pure.

The comparison is exact: a probe is rounded to 16-bit integers, stored numbers are integers (int8)
or multiples of 2^-24 (float16 of a unit vector), so every partial sum of a float64 dot product is
exact, in any order, on any machine. Two equal templates tie exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery.content import Content
from edge_sdk.gallery.format import TemplateType
from edge_sdk.types import Float64Array, FloatArray

PROBE_MAX = 32_767
_BLOCK_NUMBERS = 1 << 18  # per block of rows, so that its float64 copy stays in the cache


def unit_rows(embeddings: NDArray[Any], dimension: int) -> Float64Array:
    """Check embeddings and give them length 1.

    Args:
        embeddings: Shape (n, D), float32, finite, no zero vector.
        dimension: D.

    Returns:
        Shape (n, D), float64.

    Raises:
        InputError: another shape or dtype, a number that is not finite, or a zero vector.
    """
    if not isinstance(embeddings, np.ndarray) or embeddings.dtype != np.float32:
        found = getattr(embeddings, "dtype", type(embeddings).__name__)
        raise InputError(f"expected an embedding of float32, found {found}")
    if embeddings.ndim != 2 or embeddings.shape[1] != dimension:
        raise InputError(f"expected embeddings of dimension {dimension}, found shape {embeddings.shape}")
    if not np.isfinite(embeddings).all():
        raise InputError("an embedding holds a number that is not finite")
    rows = embeddings.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if (norms == 0).any():
        raise InputError("an embedding is all zeros and has no direction")
    return np.asarray(rows / norms)


def quantize(rows: Float64Array, template_type: TemplateType) -> tuple[NDArray[Any], FloatArray]:
    """Turn unit vectors into stored templates.

    Args:
        rows: Shape (n, D), float64, length 1, already transformed.
        template_type: How to store them.

    Returns:
        Rows, shape (n, D), int8 in -127..127 or float16; and scales, shape (n,), float32: one over
        the length of each stored row, so row * scale has length 1.
    """
    if template_type is TemplateType.INT8:
        peaks = np.abs(rows).max(axis=1, keepdims=True)
        stored: NDArray[Any] = np.rint(rows * (127.0 / peaks)).astype(np.int8)
    else:
        stored = rows.astype(np.float16)
    return stored, (1.0 / np.linalg.norm(stored.astype(np.float64), axis=1)).astype(np.float32)


def best_scores(content: Content, probe: Float64Array, comparable: NDArray[np.bool_]) -> Float64Array:
    """Each subject's best cosine with a probe.

    Args:
        content: The gallery.
        probe: Shape (D,), float64, length 1, already transformed.
        comparable: Shape (S,), which subjects take part; decided before any comparison.

    Returns:
        Shape (S,), float64; -inf where a subject takes no part.
    """
    best = np.full(len(content.subjects), -np.inf)
    owners = content.templates["subject"]
    chosen = np.arange(len(owners)) if comparable.all() else np.flatnonzero(comparable[owners])
    if chosen.size == 0:
        return best
    integers = np.rint(probe * (PROBE_MAX / np.abs(probe).max()))
    scores = np.empty(chosen.size)
    step = max(1, _BLOCK_NUMBERS // content.matrix.shape[1])
    everyone = chosen.size == len(owners)
    for start in range(0, chosen.size, step):
        stop = min(start + step, chosen.size)
        rows = content.matrix[start:stop] if everyone else content.matrix[chosen[start:stop]]
        scores[start:stop] = rows.astype(np.float64) @ integers
    scores *= content.scales[chosen] / np.linalg.norm(integers)
    np.maximum.at(best, owners[chosen], scores)
    return best


def comparable_subjects(content: Content, now_s: float, revoked_flag: int) -> NDArray[np.bool_]:
    """Who may be accepted at a time: not revoked, valid_from <= now < valid_until.

    Returns:
        Shape (S,), bool.
    """
    subjects = content.subjects
    until = subjects["valid_until"]
    now = np.uint64(max(0, int(now_s)))
    valid: NDArray[np.bool_] = (subjects["valid_from"] <= now) & ((until == 0) | (now < until))
    valid &= (subjects["flags"] & np.uint32(revoked_flag)) == 0
    return valid
