"""Smoothed FMR and TAR of one artefact as functions of the threshold, of all subjects and without each group of a jackknife.

All figures are computed from histograms by group, so that memory does not depend on the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray, tiles
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons, ListedPairs, mated_per_subject
from edge_sdk.types import Float64Array, FloatArray

# A kernel is cut at this number of bandwidths (weight 3e-7), and a bandwidth has this number of bins.
_REACH = 5.0
_BINS_PER_BANDWIDTH = 24
#: Scores closer than this are not told apart, so that a histogram has at most 2^16 bins even if all scores are equal.
LEAST_BANDWIDTH = 2.0 * _BINS_PER_BANDWIDTH / 2**16


@dataclass(frozen=True, eq=False)
class SubjectGroups:
    """Groups of subjects of the jackknife; G groups, S subjects.

    Attributes:
        group: Shape (S,), group of each subject, 0..G-1.
        count: G.
        subjects: Number of subjects with mated comparisons.
        mated_weight: Shape (S,): 1 / mated comparisons of each subject; 0 without any.
        mated_kept: Shape (G + 1,): subjects with mated comparisons, of all groups and without each group.
        non_mated_kept: Shape (G + 1,): non-mated comparisons, of all groups and without each group.
    """

    group: IntArray
    count: int
    subjects: int
    mated_weight: Float64Array
    mated_kept: Float64Array
    non_mated_kept: Float64Array

    @classmethod
    def draw(cls, comparisons: Comparisons, *, groups: int, seed: int) -> SubjectGroups:
        """Deal the subjects with mated comparisons to the groups at random, then the others."""
        codes = comparisons.codes
        mated = mated_per_subject(comparisons)
        total = mated.size
        owners = np.flatnonzero(mated > 0)
        count = min(groups, owners.size)
        generator = np.random.Generator(np.random.PCG64(seed))
        rest = np.flatnonzero(mated == 0)
        order = np.concatenate([generator.permutation(owners), generator.permutation(rest)])
        group = np.empty(total, dtype=np.int64)
        group[order] = np.arange(total) % count
        of_groups = np.bincount(group[owners], minlength=count)
        if isinstance(comparisons, AllPairs):
            images = np.bincount(codes).astype(np.float64)
            sizes = np.bincount(group, weights=images, minlength=count)
            squares = np.bincount(group, weights=images * images, minlength=count)
            kept = np.append(0.0, sizes)
            pairs = ((images.sum() - kept) ** 2 - ((images * images).sum() - np.append(0.0, squares))) / 2
        else:
            left, right = codes[comparisons.first], codes[comparisons.second]
            other = left != right
            pairs = float(other.sum()) - np.append(
                0.0, _touching(group[left[other]], group[right[other]], count)
            )
        return cls(
            group,
            count,
            int(owners.size),
            np.divide(1.0, mated, out=np.zeros(total), where=mated > 0),
            np.asarray(owners.size - np.append(0, of_groups), dtype=np.float64),
            np.asarray(pairs, dtype=np.float64),
        )


def _touching(first: NDArray[np.integer], second: NDArray[np.integer], count: int) -> IntArray:
    """Count the comparisons of each group; a comparison inside a group counts once."""
    own = np.bincount(first, minlength=count) + np.bincount(second, minlength=count)
    return np.asarray(own - np.bincount(first[first == second], minlength=count), dtype=np.int64)


def smoothed_tar(
    comparisons: Comparisons, scores: ScoreSet, design: SubjectGroups, fmrs: Float64Array, bandwidth: float
) -> Float64Array:
    """Compute the smoothed TAR at each FMR; shape (G + 1, F): of all data, then without each group."""
    rank = int(min(scores.non_mated_trials, 2.0 * float(fmrs.max()) * scores.non_mated_trials + 1))
    reach = _REACH * bandwidth
    floor = max(scores.score_at_rank(rank) - reach, -1.01)
    usable = design.non_mated_kept > 0
    while True:
        curves = _Curves.of(comparisons, design, floor, bandwidth)
        thresholds = curves.thresholds(fmrs)
        # Without a group with many false matches, a threshold may lie so low that kernels below the floor matter.
        if floor <= -1.01 or bool((thresholds[usable] >= floor + reach).all()):
            return curves.tar(thresholds)
        floor = -1.01


@dataclass(frozen=True, eq=False)
class _Curves:
    """Smoothed FMR and TAR as functions of the threshold, at equal steps.

    Attributes:
        grid: Shape (B,), thresholds, ascending.
        fmr: Shape (G + 1, B), non-increasing along the grid.
        tar_at: Shape (G + 1, B): TAR, non-increasing.
    """

    grid: Float64Array
    fmr: Float64Array
    tar_at: Float64Array

    @classmethod
    def of(cls, comparisons: Comparisons, design: SubjectGroups, floor: float, bandwidth: float) -> _Curves:
        step = bandwidth / _BINS_PER_BANDWIDTH
        margin = int(_REACH * _BINS_PER_BANDWIDTH) + 1
        bins = int(np.ceil((1.01 - floor) / step)) + 2
        mated, touching = np.zeros((design.count, bins)), np.zeros((design.count, bins))
        total = np.zeros(bins)
        for above, first, second in _comparisons_above(comparisons, floor):
            places = (above.astype(np.float64) - floor) / step
            same = first == second
            left, right = design.group[first], design.group[second]
            _add(mated, left[same], places[same], design.mated_weight[first[same]])
            _add(total[None], np.zeros(int((~same).sum()), np.int64), places[~same])
            _add(touching, left[~same], places[~same])
            apart = left != right
            _add(touching, right[apart], places[apart])
        accepted = mated.sum(axis=0) - np.vstack([np.zeros(bins), mated])
        kept = total - np.vstack([np.zeros(bins), touching])
        kernel = _kernel(margin)
        fmr = _survival(kept, kernel, margin) / np.maximum(design.non_mated_kept, 1.0)[:, None]
        tar = _survival(accepted, kernel, margin) / np.maximum(design.mated_kept, 1.0)[:, None]
        grid = np.asarray(floor + step * (np.arange(fmr.shape[1]) - margin), dtype=np.float64)
        return cls(grid, np.asarray(fmr, dtype=np.float64), np.asarray(tar, dtype=np.float64))

    def thresholds(self, fmrs: Float64Array) -> Float64Array:
        """Find the threshold of each FMR; shape (G + 1, F)."""
        targets = np.log(fmrs)
        logs = np.log(np.maximum(self.fmr, 1e-300))
        return np.stack([np.interp(-targets, -row, self.grid) for row in logs])

    def tar(self, thresholds: Float64Array) -> Float64Array:
        """Compute the TAR at each threshold; shape (G + 1, F) in and out."""
        return np.stack(
            [np.interp(own, self.grid, row) for own, row in zip(thresholds, self.tar_at, strict=True)]
        )


def _add(
    histogram: Float64Array, rows: IntArray, places: Float64Array, weights: Float64Array | None = None
) -> None:
    """Add values to a histogram, each split between the two nearest bins (linear binning)."""
    if not rows.size:
        return
    lower = np.clip(places.astype(np.int64), 0, histogram.shape[1] - 2)
    shares = places - lower
    flat = rows * histogram.shape[1] + lower
    whole = np.ones(rows.size) if weights is None else weights
    for offset, part in ((0, whole * (1.0 - shares)), (1, whole * shares)):
        histogram += np.bincount(flat + offset, weights=part, minlength=histogram.size).reshape(
            histogram.shape
        )


def _kernel(margin: int) -> Float64Array:
    """Compute the share of a Gaussian between the grid points around its centre; shape (2 margin + 1,), sum 1."""
    from scipy.special import ndtr

    edges = np.arange(-margin, margin + 2) / _BINS_PER_BANDWIDTH
    shares = np.diff(ndtr(edges))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _survival(weights: Float64Array, kernel: Float64Array, margin: int) -> Float64Array:
    """Smooth histograms and sum them from the highest score down; shape (R, B) -> (R, B + 2 margin)."""
    smooth = np.stack([np.convolve(row, kernel) for row in weights])
    return np.asarray(np.cumsum(smooth[:, ::-1], axis=1)[:, ::-1], dtype=np.float64)


def _comparisons_above(
    comparisons: Comparisons, floor: float
) -> Iterator[tuple[FloatArray, IntArray, IntArray]]:
    """Yield the scores >= floor with both subjects of each comparison, part by part."""
    codes = comparisons.codes
    if isinstance(comparisons, ListedPairs):
        listed = comparisons.with_subjects(floor)
        used = np.unique(np.concatenate([codes[comparisons.first], codes[comparisons.second]]))
        own = used[listed.mated_subject]
        high = listed.mated >= floor
        yield listed.mated[high], own[high], own[high]
        high = listed.non_mated >= floor
        yield listed.non_mated[high], used[listed.first[high]], used[listed.second[high]]
        return
    for tile in tiles(comparisons.vectors, codes, block_rows=comparisons.block_rows):
        high = tile.scores >= floor
        if tile.mated is not None and tile.non_mated is not None:
            high &= tile.mated | tile.non_mated
        rows, columns = np.nonzero(high)
        yield tile.scores[rows, columns], codes[tile.rows[rows]], codes[tile.columns[columns]]
