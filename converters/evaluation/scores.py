"""Comparison scores of embeddings: exact, in tiles, and what is kept of them.

Embeddings are rounded to multiples of 2^-26, which leaves every product and partial sum of a dot
product of unit vectors exact in float64. So a score does not depend on block size, BLAS or threads.
It is then rounded once, to float32, the type in which a device compares it with its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray, Float64Array

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GRID = 2.0**26
BINS_PER_UNIT = 2**15
BINS = 2 * BINS_PER_UNIT + 1
NORM_TOLERANCE = 1e-3
KEEP_ALL = 2**25
KEEP_SHARE = 0.1
MAX_KEPT = 2**27
MAX_IMAGES = 1_000_000
MAX_DIMENSION = 16_384
TILE_COLUMNS = 8192
DEFAULT_BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """The scores of one evaluation; made by `all_pairs` or `from_scores`.

    Attributes:
        mated: Shape (M,), float32, ascending: every mated score.
        tail: Shape (K,), float32, ascending: the K highest non-mated scores; all of them where
            `complete`.
        non_mated_trials: Number of non-mated comparisons, >= K.
        histogram: Shape (65537,), int64: non-mated scores per bin of width 2^-15 from -1; the last
            bin holds scores >= 1. The edges are exact.
        non_mated_mean: Mean of all non-mated scores; None without any.
        non_mated_sd: Their standard deviation (population); None without any.
    """

    mated: FloatArray
    tail: FloatArray
    non_mated_trials: int
    histogram: IntArray
    non_mated_mean: float | None
    non_mated_sd: float | None

    @property
    def mated_trials(self) -> int:
        """Number of mated comparisons."""
        return int(self.mated.size)

    @property
    def complete(self) -> bool:
        """Whether every non-mated score is kept."""
        return self.tail.size == self.non_mated_trials

    def false_matches(self, thresholds: Float64Array) -> IntArray:
        """Count non-mated scores >= each threshold.

        Exact above the lowest kept score and at bin edges; in between below the kept scores the
        count at the bin edge just below is given, so that a rate is never understated.

        Args:
            thresholds: Shape (T,), any order; float32 values are compared as they are.

        Returns:
            Shape (T,), int64, 0..non_mated_trials.
        """
        wanted = np.asarray(thresholds, dtype=np.float64)
        counts = self.tail.size - _first_at_least(self.tail, wanted)
        if self.complete:
            return counts
        above_edge = np.append(np.cumsum(self.histogram[::-1])[::-1], 0)
        clipped = np.clip(wanted, -2.0, 2.0)
        edges = np.clip(np.floor((clipped + 1.0) * BINS_PER_UNIT), 0, BINS).astype(np.int64)
        edges[wanted > 1.0] = BINS - 1
        return np.where(wanted > self.tail[0], counts, above_edge[edges]).astype(np.int64)

    def false_non_matches(self, thresholds: Float64Array) -> IntArray:
        """Count mated scores < each threshold; shape (T,) in, shape (T,) int64 out, exact."""
        return _first_at_least(self.mated, np.asarray(thresholds, dtype=np.float64))

    def score_at_rank(self, rank: int) -> float:
        """Give the non-mated score of a rank (1 is the highest), or a lower bound of it.

        The bound is the lower edge of its bin, where the score itself is no longer kept.

        Raises:
            InputError: rank outside 1..non_mated_trials.
        """
        if not 1 <= rank <= self.non_mated_trials:
            raise InputError(
                f"expected a rank in 1..{self.non_mated_trials} (non-mated comparisons), found {rank}",
                hint="evaluate on images of at least two subjects",
            )
        if rank <= self.tail.size:
            return float(self.tail[self.tail.size - rank])
        from_top = np.cumsum(self.histogram[::-1])
        above = int(np.searchsorted(from_top, rank))
        return (BINS - 1 - above) / BINS_PER_UNIT - 1.0


@dataclass(frozen=True, eq=False)
class Tile:
    """One rectangle of the comparison matrix, each pair of images at most once.

    Attributes:
        rows: First image of each row; shape (r,), int64.
        columns: Second image of each column; shape (c,), int64.
        scores: Shape (r, c), float32.
        mated: Shape (r, c) bool, or None where the whole tile is non-mated.
        non_mated: Shape (r, c) bool, or None where the whole tile is non-mated. A cell in neither
            mask is a pair that another cell holds, or an image with itself.
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
        InputError: another shape or dtype, not finite, not of unit norm, or too large.
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
            hint="evaluate a sample of the images",
        )
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise InputError(
            f"expected finite embeddings, found NaN or infinity in row {row}",
            hint="the model file is broken for that image; look at its activations",
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
        count: Number of images that the labels have to cover.

    Returns:
        Shape (count,), int64.

    Raises:
        InputError: another number of labels, or labels that are neither str nor int.
    """
    labels = np.asarray(subjects)
    if labels.shape != (count,) or labels.dtype.kind not in "USiu":
        raise InputError(
            f"expected {count} subject labels (str or int), found {labels.shape} {labels.dtype}",
            hint="give one subject label per embedding, in the same order",
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64).reshape(count)


def on_grid(vectors: FloatArray) -> Float64Array:
    """Round unit vectors to multiples of 2^-26, so that float64 dot products of them are exact."""
    scaled: Float64Array = np.rint(vectors.astype(np.float64) * GRID)
    scaled /= GRID
    return scaled


def listed_scores(vectors: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Score listed comparisons, bit for bit as `all_pairs` does.

    Args:
        vectors: Shape (n, D), unit norm.
        first: Shape (P,), row of the first image.
        second: Shape (P,), row of the second image.

    Returns:
        Shape (P,), float32.

    Raises:
        InputError: bad vectors, or a row outside 0..n-1.
    """
    grid = on_grid(check_vectors(vectors))
    left, right = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    rows = np.concatenate([left.ravel(), right.ravel()])
    if left.ndim != 1 or left.shape != right.shape or (rows.size and not 0 <= rows.min() <= rows.max() < len(grid)):
        raise InputError(
            f"expected two equal lists of rows in 0..{len(grid) - 1}, found {left.shape} and {right.shape}",
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
    """Score all pairs of images, one rectangle at a time, every pair once.

    Args:
        vectors: Shape (n, D), from `check_vectors`.
        codes: Shape (n,), subject numbers from `subject_codes`.
        block_rows: Rows per tile, 1..4096; has no influence on any score.

    Raises:
        InputError: block_rows outside its range.
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


def all_pairs(
    vectors: FloatArray,
    subjects: Sequence[str] | IntArray,
    *,
    block_rows: int = DEFAULT_BLOCK_ROWS,
    keep: int | None = None,
) -> ScoreSet:
    """Compare every image with every other once (ISO/IEC 19795-1, full cross-comparison).

    Args:
        vectors: Shape (n, D), float32, unit norm; n >= 2.
        subjects: One label per image; equal labels are mated.
        block_rows: Rows per tile, 1..4096; the result is the same for each.
        keep: Number of highest non-mated scores to keep exactly; by default all up to 2^25 and the
            highest tenth beyond, which is what FMR 1e-1 and lower need.

    Returns:
        The score set; one of its halves may be empty (one subject, or one image each).

    Raises:
        InputError: bad vectors or labels, fewer than two images, or too many scores to keep.
    """
    checked = check_vectors(vectors)
    if len(checked) < 2:
        raise InputError(f"expected at least two images to compare, found {len(checked)}", hint="add images")
    codes = subject_codes(subjects, len(checked))
    mated_total, non_mated_total = pair_counts(codes)
    wanted = keep
    if wanted is None:
        wanted = non_mated_total if non_mated_total <= KEEP_ALL else int(non_mated_total * KEEP_SHARE) + 1
    wanted = min(wanted, non_mated_total)
    if wanted < 0 or max(wanted, mated_total) > MAX_KEPT:
        raise InputError(
            f"expected at most {MAX_KEPT} scores to keep, found {mated_total} mated and {wanted} non-mated",
            hint="evaluate a sample of the images, or give keep=",
        )
    mated = np.empty(mated_total, dtype=np.float32)
    filled = 0
    top = _TopScores(wanted)
    histogram = np.zeros(BINS, dtype=np.int64)
    for tile in tiles(checked, codes, block_rows=block_rows):
        if tile.mated is None or tile.non_mated is None:
            outside = tile.scores.ravel()
        else:
            own = tile.scores[tile.mated]
            mated[filled : filled + own.size] = own
            filled += own.size
            outside = tile.scores[tile.non_mated]
        if outside.size:
            histogram += np.bincount(bin_of(outside), minlength=BINS)
            top.add(outside)
    mated.sort()
    mean, deviation = _non_mated_moments(checked, mated, non_mated_total)
    return ScoreSet(mated, top.sorted(), non_mated_total, histogram, mean, deviation)


def from_scores(mated: FloatArray, non_mated: FloatArray) -> ScoreSet:
    """Make a score set of listed comparisons.

    Args:
        mated: Shape (M,), finite, within -1.01..1.01; may be empty.
        non_mated: Shape (N,), the same.

    Raises:
        InputError: another shape, not finite, outside the range, or both empty.
    """
    halves = []
    for name, values in (("mated", mated), ("non-mated", non_mated)):
        array = np.asarray(values, dtype=np.float32)
        if array.ndim != 1 or array.size > MAX_KEPT or not (np.abs(array) <= 1.01).all():
            raise InputError(
                f"expected {name} scores (n,) within -1..1, found shape {array.shape}, "
                f"{int((~(np.abs(array) <= 1.01)).sum())} outside",
                hint="scores are cosines of unit embeddings",
            )
        halves.append(np.sort(array))
    own, other = halves
    if own.size + other.size == 0:
        raise InputError("expected at least one comparison, found none", hint="check the list of pairs")
    wide = other.astype(np.float64)
    mean = float(wide.mean()) if other.size else None
    deviation = float(wide.std()) if other.size else None
    histogram = np.bincount(bin_of(other), minlength=BINS).astype(np.int64)
    return ScoreSet(own, other, int(other.size), histogram, mean, deviation)


def bin_of(scores: FloatArray) -> IntArray:
    """Number of the histogram bin of each score: floor((score + 1) * 2^15), limited to 0..65536."""
    position = scores.astype(np.float64)
    position += 1.0
    position *= BINS_PER_UNIT
    np.clip(position, 0, BINS - 1, out=position)
    return position.astype(np.int64)


class _TopScores:
    """The `count` highest of the scores added; memory under twice `count` plus one tile."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept = np.empty(0, dtype=np.float32)
        self._new: list[FloatArray] = []
        self._new_size = 0

    def add(self, scores: FloatArray) -> None:
        if self._count == 0:
            return
        if self._kept.size == self._count:
            scores = scores[scores > self._kept[0]]
        self._new.append(np.array(scores, copy=True))
        self._new_size += scores.size
        if self._kept.size + self._new_size >= self._count + max(self._count // 4, 2**20):
            self._shrink()

    def _shrink(self) -> None:
        merged = np.concatenate([self._kept, *self._new])
        self._new, self._new_size = [], 0
        if merged.size > self._count:
            merged.partition(merged.size - self._count)
            merged = merged[merged.size - self._count :].copy()
        self._kept = merged

    def sorted(self) -> FloatArray:
        self._shrink()
        self._kept.sort()
        return self._kept


def _first_at_least(ascending: FloatArray, thresholds: Float64Array) -> IntArray:
    """Index of the first score >= each threshold, compared in float64 without copying the scores."""
    rounded = thresholds.astype(np.float32)
    # a float64 threshold between two float32 values rejects the lower one
    raised = np.where(rounded.astype(np.float64) < thresholds, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return np.searchsorted(ascending, raised.astype(np.float32), side="left").astype(np.int64)


def _column_spans(start: int, mixed_end: int, end: int) -> Iterator[tuple[int, int]]:
    for first, last in ((start, mixed_end), (mixed_end, end)):
        for left in range(first, last, TILE_COLUMNS):
            yield left, min(left + TILE_COLUMNS, last)


def _non_mated_moments(
    vectors: FloatArray, mated: FloatArray, non_mated_trials: int
) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the non-mated scores from sums over images, not over pairs.

    Sum of x_i.x_j over all i, j is |sum x|^2, and of its square the squared Frobenius norm of X'X.
    """
    if non_mated_trials == 0:
        return None, None
    grid = on_grid(vectors)
    own = np.einsum("ij,ij->i", grid, grid)
    total = grid.sum(axis=0)
    gram = grid.T @ grid
    wide = mated.astype(np.float64)
    summed = (float(total @ total) - float(own.sum())) / 2 - float(wide.sum())
    squared = (float((gram * gram).sum()) - float((own * own).sum())) / 2 - float((wide * wide).sum())
    mean = summed / non_mated_trials
    return mean, max(squared / non_mated_trials - mean * mean, 0.0) ** 0.5
