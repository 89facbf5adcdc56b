"""Cosines of embeddings, bit-exact, one tile of the comparison matrix at a time.

Embeddings are rounded to multiples of 2^-26, so that every product and partial sum of a dot
product of unit vectors is exact in float64. A score does not depend on block size, BLAS or threads.
It is then rounded once, to float32, the type in which a device compares it with its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GRID = 2.0**26
NORM_TOLERANCE = 1e-3
MAX_IMAGES = 1_000_000
MAX_DIMENSION = 16_384
TILE_COLUMNS = 8192
DEFAULT_BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class Tile:
    """One rectangle of the comparison matrix; it contains each pair of images at most once.

    Attributes:
        rows: First image of each row; shape (r,), int64.
        columns: Second image of each column; shape (c,), int64.
        scores: Shape (r, c), float32.
        mated: Shape (r, c) bool; None if the whole tile is non-mated.
        non_mated: Shape (r, c) bool; None if the whole tile is non-mated. A cell that is False in both
            masks is a pair that another cell contains, or an image paired with itself.
    """

    rows: IntArray
    columns: IntArray
    scores: FloatArray
    mated: BoolArray | None
    non_mated: BoolArray | None


def check_vectors(vectors: FloatArray) -> FloatArray:
    """Check embeddings before they are compared.

    Args:
        vectors: Shape (n, D), float32 or float64, L2 norm 1 within 1e-3.

    Returns:
        The same values, float32.

    Raises:
        InputError: The shape or dtype is wrong, a value is not finite, a norm is not 1, or there are too many values.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] < 1 or array.dtype not in (np.float32, np.float64):
        raise InputError(
            f"expected embeddings (n, D) float32, found {array.shape} {array.dtype}",
            hint="dequantize the model's output and stack one row per image",
        )
    if array.shape[0] > MAX_IMAGES or array.shape[1] > MAX_DIMENSION:
        raise InputError(
            f"expected at most {MAX_IMAGES} embeddings of {MAX_DIMENSION} values, found {array.shape}",
            hint="evaluate fewer images",
        )
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise InputError(
            f"expected finite embeddings, found NaN or infinity in row {row}",
            hint="the model overflows on that image; inspect its activations",
        )
    off = np.abs(norms - 1.0)
    if off.size and off.max() > NORM_TOLERANCE:
        row = int(off.argmax())
        raise InputError(
            f"expected unit embeddings (L2 norm 1 within {NORM_TOLERANCE:g}), "
            f"found norm {norms[row]:.4g} in row {row}",
            hint="divide each embedding by its L2 norm",
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def subject_codes(subjects: Sequence[str] | IntArray, count: int) -> IntArray:
    """Number the subjects 0..S-1 in sorted order.

    Args:
        subjects: One label per image, str or int.
        count: Number of images.

    Returns:
        Shape (count,), int64.

    Raises:
        InputError: The number of labels differs, or the labels are neither str nor int.
    """
    labels = np.asarray(subjects)
    if labels.shape != (count,) or labels.dtype.kind not in "USiu":
        raise InputError(
            f"expected {count} subject labels (str or int), found {labels.shape} {labels.dtype}",
            hint="give one subject label per embedding, in the same order",
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64).reshape(count)


def on_grid(vectors: FloatArray) -> Float64Array:
    """Round unit vectors to multiples of 2^-26, so that their float64 dot products are exact."""
    scaled: Float64Array = np.rint(vectors.astype(np.float64) * GRID)
    scaled /= GRID
    return scaled


def listed_scores(vectors: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Score listed comparisons, bit for bit like `all_pairs`.

    Args:
        vectors: Shape (n, D), unit norm.
        first: Shape (P,), row of the first image.
        second: Shape (P,), row of the second image.

    Returns:
        Shape (P,), float32.

    Raises:
        InputError: The vectors are invalid (see `check_vectors`), or a row is outside 0..n-1.
    """
    grid = on_grid(check_vectors(vectors))
    left, right = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    rows = np.concatenate([left.ravel(), right.ravel()])
    if (
        left.ndim != 1
        or left.shape != right.shape
        or (rows.size and not 0 <= rows.min() <= rows.max() < len(grid))
    ):
        raise InputError(
            f"expected two lists of the same length with rows in 0..{len(grid) - 1}, found {left.shape} and "
            f"{right.shape}" + (f" with rows {rows.min()}..{rows.max()}" if rows.size else ""),
            hint="number the images by their position in the embeddings",
        )
    scores = np.empty(left.size, dtype=np.float32)
    for start in range(0, left.size, 65536):
        part = slice(start, start + 65536)
        scores[part] = np.einsum("ij,ij->i", grid[left[part]], grid[right[part]])
    return scores


def pair_counts(codes: IntArray) -> tuple[int, int]:
    """Count (mated, non-mated) comparisons among all pairs of the images."""
    images = np.bincount(codes)
    mated = int((images * (images - 1) // 2).sum())
    return mated, codes.size * (codes.size - 1) // 2 - mated


def tiles(vectors: FloatArray, codes: IntArray, *, block_rows: int = DEFAULT_BLOCK_ROWS) -> Iterator[Tile]:
    """Score every pair of images once, one rectangle of pairs at a time.

    Args:
        vectors: Shape (n, D), checked by `check_vectors`.
        codes: Shape (n,), subject numbers (`subject_codes`).
        block_rows: Rows per tile, 1..4096; does not change any score.

    Raises:
        InputError: `block_rows` is outside its range.
    """
    if not 1 <= block_rows <= 4096:
        raise InputError(f"expected block_rows in 1..4096, found {block_rows}", hint="leave the default")
    order = np.argsort(codes, kind="stable").astype(np.int64)
    grid, sorted_codes = on_grid(vectors[order]), codes[order]
    subject_end = np.searchsorted(sorted_codes, sorted_codes, side="right")
    for start in range(0, order.size, block_rows):
        stop = min(start + block_rows, order.size)
        mixed_end = int(subject_end[stop - 1])
        for left, right in _column_spans(start, mixed_end, order.size):
            scores = (grid[start:stop] @ grid[left:right].T).astype(np.float32)
            mated = non_mated = None
            if left < mixed_end:
                later = np.arange(left, right)[None, :] > np.arange(start, stop)[:, None]
                same = sorted_codes[start:stop, None] == sorted_codes[None, left:right]
                mated, non_mated = later & same, later & ~same
            yield Tile(order[start:stop], order[left:right], scores, mated, non_mated)


def _column_spans(start: int, mixed_end: int, end: int) -> Iterator[tuple[int, int]]:
    for first, last in ((start, mixed_end), (mixed_end, end)):
        for left in range(first, last, TILE_COLUMNS):
            yield left, min(left + TILE_COLUMNS, last)
