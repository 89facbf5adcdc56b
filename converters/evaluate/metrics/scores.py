"""Score sets: all mated scores, the highest non-mated scores, and a histogram of the non-mated scores.

The edges of the histogram are exact, so counts at the edges are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import (
    DEFAULT_BLOCK_ROWS,
    IntArray,
    check_vectors,
    on_grid,
    pair_counts,
    subject_codes,
    tiles,
)
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

BINS_PER_UNIT = 2**15
BINS = 2 * BINS_PER_UNIT + 1
KEEP_ALL = 2**25
KEEP_SHARE = 0.1
MAX_KEPT = 2**27


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """The scores of one evaluation; made by `all_pairs` or `from_scores`.

    Attributes:
        mated: Shape (M,), float32, ascending: every mated score.
        tail: Shape (K,), float32, ascending: the K highest non-mated scores; all of them if
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
        """True if every non-mated score is kept."""
        return self.tail.size == self.non_mated_trials

    def false_matches(self, thresholds: Float64Array) -> IntArray:
        """Count non-mated scores >= each threshold.

        The count is exact above the lowest kept score and at bin edges. Elsewhere it is the
        count at the bin edge just below the threshold, so that a rate is never understated.

        Args:
            thresholds: Shape (T,), any order.

        Returns:
            Shape (T,), int64, 0..non_mated_trials.
        """
        exact = np.asarray(thresholds, dtype=np.float64)
        counts = self.tail.size - first_at_least(self.tail, exact)
        if self.complete:
            return counts
        above_edge = np.cumsum(self.histogram[::-1])[::-1]
        bins = np.clip(np.floor((exact + 1.0) * BINS_PER_UNIT), 0, BINS - 1).astype(np.int64)
        kept_above = float(self.tail[0]) if self.tail.size else np.inf
        return np.where(exact > kept_above, counts, above_edge[bins]).astype(np.int64)

    def false_non_matches(self, thresholds: Float64Array) -> IntArray:
        """Count mated scores < each threshold; shape (T,) in, shape (T,) int64 out, exact."""
        return first_at_least(self.mated, np.asarray(thresholds, dtype=np.float64))

    def score_at_rank(self, rank: int) -> float:
        """Return the non-mated score of a rank (1 is the highest), or a lower bound of it.

        If the score itself is not kept, the bound is the lower edge of its bin.

        Raises:
            InputError: `rank` is outside 1..non_mated_trials.
        """
        if not 1 <= rank <= self.non_mated_trials:
            raise InputError(
                f"expected a rank in 1..{self.non_mated_trials} (non-mated comparisons), found {rank}",
                hint="evaluate on images of at least two subjects",
            )
        if rank <= self.tail.size:
            return float(self.tail[self.tail.size - rank])
        return float(self.edges_at_ranks(np.array([rank]))[0])

    def edges_at_ranks(self, ranks: IntArray) -> Float64Array:
        """Return the lower edge of the bin of the non-mated score of each rank, 1..non_mated_trials; shape (R,)."""
        above = np.searchsorted(np.cumsum(self.histogram[::-1]), ranks)
        return (BINS - 1 - above) / BINS_PER_UNIT - 1.0


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
        block_rows: Rows per tile, 1..4096; does not change the result.
        keep: Number of highest non-mated scores to keep exactly (default: all if there are at most 2^25, otherwise
            the highest tenth, which is sufficient for FMR 1e-1 and lower).

    Returns:
        The score set; its mated or its non-mated scores may be empty (one image of each subject, or one subject).

    Raises:
        InputError: Vectors or labels are invalid, there are fewer than two images, or too many scores to keep.
    """
    checked = check_vectors(vectors)
    if len(checked) < 2:
        raise InputError(f"expected at least two images to compare, found {len(checked)}", hint="add images")
    codes = subject_codes(subjects, len(checked))
    mated_total, non_mated_total = pair_counts(codes)
    if keep is None:
        keep = non_mated_total if non_mated_total <= KEEP_ALL else int(non_mated_total * KEEP_SHARE) + 1
    keep = min(keep, non_mated_total)
    if keep < 0 or max(keep, mated_total) > MAX_KEPT:
        raise InputError(
            f"expected at most {MAX_KEPT} scores to keep, found {mated_total} mated and {keep} non-mated",
            hint="evaluate fewer images, or give a smaller keep",
        )
    mated = np.empty(mated_total, dtype=np.float32)
    filled = 0
    top = _TopScores(keep)
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
            histogram += histogram_of(outside)
            top.add(outside)
    mated.sort()
    mean, deviation = _non_mated_moments(checked, mated, non_mated_total)
    return ScoreSet(mated, top.sorted(), non_mated_total, histogram, mean, deviation)


def from_scores(mated: FloatArray, non_mated: FloatArray) -> ScoreSet:
    """Create a score set from the scores of listed comparisons.

    Args:
        mated: Shape (M,), finite, within -1.01..1.01; may be empty.
        non_mated: Shape (N,), finite, within -1.01..1.01; may be empty.

    Raises:
        InputError: The shape differs, a score is not finite or outside the range, or both are empty.
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
    histogram = histogram_of(other)
    return ScoreSet(own, other, int(other.size), histogram, mean, deviation)


def bin_of(scores: FloatArray) -> IntArray:
    """Return the histogram bin of each score: floor((score + 1) * 2^15), limited to 0..65536."""
    position = scores.astype(np.float64)
    position += 1.0
    position *= BINS_PER_UNIT
    np.clip(position, 0, BINS - 1, out=position)
    return position.astype(np.int64)


class _TopScores:
    """Collects the `count` highest of the added scores; holds fewer than 2 * `count` scores plus one tile."""

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


def first_at_least(ascending: FloatArray, thresholds: Float64Array) -> IntArray:
    """Find the index of the first score >= each threshold.

    Args:
        ascending: Shape (n,), float32.
        thresholds: Shape (T,), float64; a threshold between two float32 values rejects the lower value.

    Returns:
        Shape (T,), int64, 0..n.
    """
    rounded = thresholds.astype(np.float32)
    raised = np.where(
        rounded.astype(np.float64) < thresholds, np.nextafter(rounded, np.float32(np.inf)), rounded
    )
    return np.searchsorted(ascending, raised.astype(np.float32), side="left").astype(np.int64)


def count_at_least(ascending: FloatArray, threshold: float) -> int:
    """Count the scores at or above a threshold; `ascending` has shape (n,), float32."""
    return int(ascending.size - first_at_least(ascending, np.array([threshold]))[0])


def histogram_of(scores: FloatArray) -> IntArray:
    """Count scores per bin (`bin_of`); shape (65537,), int64."""
    return np.bincount(bin_of(scores), minlength=BINS).astype(np.int64)


def _non_mated_moments(
    vectors: FloatArray, mated: FloatArray, non_mated_trials: int
) -> tuple[float | None, float | None]:
    """Compute mean and standard deviation of the non-mated scores from sums over images instead of pairs.

    The sum of x_i.x_j over all i, j is |sum x|^2; the sum of its squares is the squared Frobenius norm of X'X.
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
