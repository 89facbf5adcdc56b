"""Numbers of mated and non-mated comparisons per distinct score, and by pairs of folds of subjects.

The counts of a large data set are those of the histogram of `scores.ScoreSet`: each score is replaced by the middle of
its bin, 2^-15 wide, which moves a score by at most 1.6e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from converters.evaluate.metrics.cosines import BoolArray, IntArray, listed_scores, tiles
from converters.evaluate.metrics.scores import BINS, BINS_PER_UNIT, ScoreSet, bin_of, histogram_of
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

#: Bins that are merged for the fits of a cross-validation, to 2^-12: a fit depends on the width by its square only.
FIT_WIDTH = 8


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Numbers of comparisons per distinct score.

    Attributes:
        values: Shape (V,), float64, ascending, distinct.
        mated, non_mated: Shape (V,), float64, >= 0: comparisons with that score.
    """

    values: Float64Array
    mated: Float64Array
    non_mated: Float64Array

    @classmethod
    def of(cls, scores: Float64Array, mated: BoolArray, weights: Float64Array | None = None) -> ScoreCounts:
        """Count scores; equal scores become one row.

        Args:
            scores: Shape (n,), finite.
            mated: Shape (n,), bool.
            weights: Shape (n,), >= 0: number of comparisons with each score (default: 1).

        Raises:
            InputError: The shapes differ, or a value is outside its range.
        """
        given, own = np.asarray(scores, dtype=np.float64), np.asarray(mated)
        shaped = given.ndim == 1 and own.shape == given.shape and own.dtype == np.bool_
        if not shaped or not np.isfinite(given).all():
            raise InputError(
                f"expected finite scores (n,) and mated (n,) bool, found {given.shape} and {own.shape} {own.dtype}",
                hint="give one bool per score",
            )
        count = checked_weights(given, weights)
        values, places = np.unique(given, return_inverse=True)
        return cls(
            values,
            np.bincount(places, weights=count * own, minlength=values.size).astype(np.float64),
            np.bincount(places, weights=count * ~own, minlength=values.size).astype(np.float64),
        )

    @classmethod
    def of_bins(cls, mated: IntArray, non_mated: IntArray, *, width: int = 1) -> ScoreCounts:
        """Take the counts of two histograms, shape (65537,) each, at the middles of the bins; empty bins are left out.

        Args:
            mated, non_mated: The histograms.
            width: Number of neighbouring bins to merge, >= 1.
        """
        starts = np.arange(0, BINS, width)
        if width > 1:
            mated, non_mated = np.add.reduceat(mated, starts), np.add.reduceat(non_mated, starts)
        used = np.flatnonzero(mated + non_mated)
        middles = np.minimum((starts[used] + width / 2) / BINS_PER_UNIT - 1.0, 1.0)
        return cls(middles, mated[used].astype(np.float64), non_mated[used].astype(np.float64))

    @classmethod
    def of_score_set(cls, scores: ScoreSet) -> ScoreCounts:
        """Take the counts of a score set by its histogram."""
        return cls.of_bins(histogram_of(scores.mated), scores.histogram)

    @property
    def mated_trials(self) -> float:
        """Number of mated comparisons."""
        return float(self.mated.sum())

    @property
    def non_mated_trials(self) -> float:
        """Number of non-mated comparisons."""
        return float(self.non_mated.sum())

    def check_both_kinds(self) -> None:
        """Raise InputError unless there are mated and non-mated comparisons."""
        check_both_kinds(self.mated_trials, self.non_mated_trials)


def check_both_kinds(mated: float, non_mated: float) -> None:
    """Raise InputError unless the numbers of mated and of non-mated comparisons are above 0."""
    if min(mated, non_mated) <= 0:
        raise InputError(
            f"expected comparisons of both kinds, found {mated:g} mated and {non_mated:g} non-mated",
            hint="add images of more subjects, or more images of each",
        )


def checked_weights(like: Float64Array, weights: Float64Array | None) -> Float64Array:
    """Return the weights as float64, or ones.

    Raises:
        InputError: The shape differs from that of `like`, or a weight is negative or not finite.
    """
    shape = np.shape(like)
    count = np.ones(shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if count.shape != shape or not np.isfinite(count).all() or (count < 0).any():
        raise InputError(
            f"expected weights {shape}, finite and not negative, found {count.shape}",
            hint="give one weight per score",
        )
    return count


@dataclass(frozen=True, eq=False)
class FoldCounts:
    """Histograms of the scores for each pair of folds of subjects.

    Attributes:
        folds: K, number of folds.
        mated: Shape (K, 65537), int64: mated scores of the subjects of each fold.
        non_mated: Shape (K (K + 1) / 2, 65537), int64: non-mated scores of each pair of folds, see `pair`.
    """

    folds: int
    mated: IntArray
    non_mated: IntArray

    def pair(self, first: int, second: int) -> int:
        """Return the row of `non_mated` for a pair of folds, in either order."""
        return int(_pair_rows(np.int64(first), np.int64(second), self.folds))

    def all(self) -> ScoreCounts:
        """Count all comparisons."""
        return ScoreCounts.of_bins(self.mated.sum(axis=0), self.non_mated.sum(axis=0))

    def of(self, first: int, second: int) -> ScoreCounts:
        """Count the comparisons of subjects of the first fold with subjects of the second."""
        own = self.mated[first] if first == second else np.zeros(BINS, dtype=np.int64)
        return ScoreCounts.of_bins(own, self.non_mated[self.pair(first, second)])

    def without(self, first: int, second: int) -> ScoreCounts:
        """Count the comparisons without any subject of the two folds, in bins of 2^-12."""
        removed = {first, second}
        mated = self.mated.sum(axis=0) - self.mated[list(removed)].sum(axis=0)
        non_mated = self._all_non_mated - sum(self._per_fold[fold] for fold in removed)
        if first != second:
            non_mated += self.non_mated[self.pair(first, second)]
        return ScoreCounts.of_bins(mated, non_mated, width=FIT_WIDTH)

    @cached_property
    def _all_non_mated(self) -> IntArray:
        return np.asarray(self.non_mated.sum(axis=0))

    @cached_property
    def _per_fold(self) -> list[IntArray]:
        """Non-mated scores of each fold with any fold."""
        every = range(self.folds)
        return [self.non_mated[[self.pair(fold, other) for other in every]].sum(axis=0) for fold in every]


def fold_of_subjects(codes: IntArray, folds: int) -> IntArray:
    """Assign subjects to folds, so that the folds have nearly equal numbers of subjects and images.

    Subjects are ordered by their number of images, equal ones in a fixed random order, and dealt to the folds in turn.

    Args:
        codes: Shape (n,), subject number of each image.
        folds: K >= 1.

    Returns:
        Shape (S,), int64, 0..K-1.
    """
    images = np.bincount(codes)
    order = np.lexsort((np.random.Generator(np.random.PCG64(0)).permutation(images.size), -images))
    fold = np.empty(images.size, dtype=np.int64)
    fold[order] = np.arange(images.size) % folds
    return fold


def fold_counts(comparisons: Comparisons, folds: int) -> FoldCounts:
    """Compute the scores of all comparisons and count them by the folds of their subjects.

    Args:
        comparisons: The comparisons.
        folds: Number of folds, 1..32.

    Returns:
        The histograms; they take 8 * 65537 * K (K + 3) / 2 bytes, 34 MB for 10 folds, for any number of images.

    Raises:
        InputError: `folds` is outside its range.
    """
    if not 1 <= folds <= 32:
        raise InputError(f"expected 1..32 folds of subjects, found {folds}", hint="10 is usual")
    codes = comparisons.codes
    fold = fold_of_subjects(codes, folds)
    counts = FoldCounts(
        folds,
        np.zeros((folds, BINS), dtype=np.int64),
        np.zeros((folds * (folds + 1) // 2, BINS), dtype=np.int64),
    )
    if isinstance(comparisons, AllPairs):
        _count_all_pairs(comparisons, fold, counts)
        return counts
    scores = listed_scores(comparisons.vectors, comparisons.first, comparisons.second)
    left, right = codes[comparisons.first], codes[comparisons.second]
    bins, own = bin_of(scores), left == right
    np.add.at(counts.mated, (fold[left[own]], bins[own]), 1)
    pairs = _pair_rows(fold[left], fold[right], folds)
    np.add.at(counts.non_mated, (pairs[~own], bins[~own]), 1)
    return counts


def _count_all_pairs(comparisons: AllPairs, fold: IntArray, counts: FoldCounts) -> None:
    # Subjects are numbered by fold, so that a rectangle of the tile belongs to one pair of folds.
    number = np.empty(fold.size, dtype=np.int64)
    number[np.argsort(fold, kind="stable")] = np.arange(fold.size)
    codes = comparisons.codes
    for tile in tiles(comparisons.vectors, number[codes], block_rows=comparisons.block_rows):
        of_rows, of_columns = fold[codes[tile.rows]], fold[codes[tile.columns]]
        for rows in _runs(of_rows):
            for columns in _runs(of_columns):
                part = (rows, columns)
                first, second = int(of_rows[rows.start]), int(of_columns[columns.start])
                outside = tile.scores[part]
                if tile.mated is not None and tile.non_mated is not None:
                    own = outside[tile.mated[part]]
                    if own.size:
                        counts.mated[first] += histogram_of(own)
                    outside = outside[tile.non_mated[part]]
                if outside.size:
                    counts.non_mated[counts.pair(first, second)] += histogram_of(outside.ravel())


def _pair_rows(first: IntArray | np.int64, second: IntArray | np.int64, folds: int) -> IntArray:
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.asarray(low * folds - low * (low - 1) // 2 + high - low, dtype=np.int64)


def _runs(folds: IntArray) -> list[slice]:
    edges = np.flatnonzero(np.diff(folds)) + 1
    return [
        slice(int(a), int(b))
        for a, b in zip([0, *edges.tolist()], [*edges.tolist(), folds.size], strict=True)
    ]
