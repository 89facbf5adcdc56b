"""Cosine scores and ranks of unit embeddings, as pure functions.

Scores are for enrolment and evaluation; the answers of a gallery contain no scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray


def scores(probe: FloatArray, references: FloatArray) -> FloatArray:
    """Compare one probe with every reference.

    Args:
        probe: Shape (D,), float32, unit norm.
        references: Shape (N, D), float32, unit norm rows; N may be 0.

    Returns:
        Shape (N,), float32, cosine similarity in -1..1; higher means more similar.

    Raises:
        InputError: The shapes do not fit, or a value is not finite.
    """
    probe, references = _checked(probe, references)
    similarity: FloatArray = np.clip(references @ probe, -1.0, 1.0)
    return similarity


def rank(probe: FloatArray, references: FloatArray, *, count: int = 1) -> tuple[NDArray[np.intp], FloatArray]:
    """Find the references most similar to a probe, best first.

    Args:
        probe: Shape (D,), float32, unit norm.
        references: Shape (N, D), float32, unit norm rows.
        count: Number of references to return, 1 or more; fewer are returned if there are fewer references.

    Returns:
        Indices and their scores, each of shape (min(count, N),); equal scores keep the references' order.

    Raises:
        InputError: The shapes do not fit, a value is not finite, or the count is below 1.
    """
    if count < 1:
        raise InputError(f"expected a count of 1 or more, found {count}")
    similarity = scores(probe, references)
    order = np.argsort(-similarity, kind="stable")[:count]
    return order, similarity[order]


def cosine(a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute the row-wise cosine similarity of two sets of embeddings of any norm.

    Args:
        a: Shape (N, D), float.
        b: Shape (N, D), float.

    Returns:
        Shape (N,), float32, -1..1; computed in float64.

    Raises:
        InputError: The shapes differ, or a row is zero or not finite.
    """
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.ndim != 2 or left.shape != right.shape:
        raise InputError(
            f"expected two arrays of the same shape (N, D), found {left.shape} and {right.shape}"
        )
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise InputError("expected embeddings with a direction, found a row that is zero or not finite")
    similarity: FloatArray = np.clip((left * right).sum(axis=1) / norms, -1.0, 1.0).astype(np.float32)
    return similarity


def _checked(probe: Any, references: Any) -> tuple[FloatArray, FloatArray]:
    probe = np.asarray(probe, np.float32)
    references = np.asarray(references, np.float32)
    if probe.ndim != 1 or references.ndim != 2 or references.shape[1] != probe.shape[0]:
        raise InputError(
            f"expected a probe (D,) and references (N, D), found {probe.shape} and {references.shape}"
        )
    if not (np.isfinite(probe).all() and np.isfinite(references).all()):
        raise InputError("expected finite embeddings, found NaN or infinity")
    return probe, references


def unlike_the_others(rows: NDArray[np.floating[Any]], threshold: float) -> tuple[int, ...]:
    """Return the indices of embeddings that match none of the others.

    Args:
        rows: Shape (n, D), L2 norm 1, n at least 2.
        threshold: A cosine; a comparison matches at or above it.
    """
    scores = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.fill_diagonal(scores, -np.inf)
    return tuple(np.flatnonzero(scores.max(axis=1) < threshold).tolist())
