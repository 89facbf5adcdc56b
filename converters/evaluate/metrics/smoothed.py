"""Difference of TAR between two artefacts, from kernel-smoothed distributions of scores.

A counted TAR changes only if a score crosses the threshold, so a small loss disappears in the noise of a few comparisons
near the threshold. Here every score is a Gaussian density (Zou, Hall and Shapiro, Statistics in Medicine 16, 1997): a
non-mated score s counts Phi((s - t) / h) toward the FMR at threshold t, and so does a mated score toward the TAR. The
threshold is the t at which the smoothed FMR has the target value. The bandwidth h is a fixed share of the standard
deviation of the artefact's own non-mated scores; a scale or an offset common to all scores of an artefact therefore
changes nothing.

The TAR is a mean over subjects: each subject with mated comparisons weighs alike, whatever its number of images. The
interval comes from a delete-a-group jackknife over groups of subjects (Kott, Journal of Official Statistics 17, 2001); a
comparison is left out with either of its subjects, and each replicate has its own threshold. The interval is longer on the
side of large contributions, as in Wilson's interval of a share.

All figures are computed from histograms by group, so that memory does not depend on the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.bootstrap import subjects_refusal
from converters.evaluate.metrics.claims import claim_refusal
from converters.evaluate.metrics.cosines import IntArray, tiles
from converters.evaluate.metrics.curves import check_rate, missing_half, upper_bound_without_errors
from converters.evaluate.metrics.evidence import Interval, SmoothedDifference, Unsupported
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import (
    MIN_SUBJECTS,
    AllPairs,
    Comparisons,
    ListedPairs,
    check_same_comparisons,
    mated_subjects,
)
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

#: Bandwidth in standard deviations of the non-mated scores.
BANDWIDTH = 0.24
#: Range of FMR over which the pooled difference is averaged.
POOLED_FMRS = (1e-4, 1e-2)
#: Largest number of groups of subjects of the jackknife; with fewer subjects, each subject is a group.
GROUPS = 200

# The mean over the logarithm of FMR is taken at this number of rates.
_POOLED_STEPS = 9
# A kernel is cut at this number of bandwidths (weight 3e-7), and a bandwidth has this number of bins.
_REACH = 5.0
_BINS_PER_BANDWIDTH = 24
# Scores closer than this are not told apart, so that a histogram has at most 2^16 bins even if all scores are equal.
_LEAST_BANDWIDTH = 2.0 * _BINS_PER_BANDWIDTH / 2**16
_NEGLIGIBLE = 1e-12


def pooled_difference(
    baseline: Comparisons,
    candidate: Comparisons,
    *,
    scores: tuple[ScoreSet, ScoreSet] | None = None,
    groups: int = GROUPS,
    seed: int = 0,
    confidence: float = 0.95,
    bandwidth: float = BANDWIDTH,
) -> SmoothedDifference | Unsupported:
    """Compute the smoothed TAR of the candidate minus that of the baseline, averaged over a range of FMR.

    The range is 1e-4..1e-2, as far as the pairs of subjects support it (3 / FMR pairs, the rule of three). If they support
    no FMR of the range, the lowest FMR that they support is used.

    Args:
        baseline, candidate: The same images in the same order, embedded by two artefacts.
        scores: `baseline.scores()` and `candidate.scores()`, if they are known (default: computed).
        groups: Groups of subjects of the jackknife, 10..1000; at most the number of subjects is used.
        seed: Seed of the draw of the groups.
        confidence: Above 0 and under 1.
        bandwidth: In standard deviations of the non-mated scores, 0.01..2.

    Returns:
        The difference with its interval; `Unsupported` with fewer than 10 subjects with mated comparisons.

    Raises:
        InputError: The images differ, or a value is outside its range.
    """
    pairs = subject_pairs(baseline)
    if pairs <= 3 or mated_subjects(baseline) < MIN_SUBJECTS:
        return _refusal(baseline)
    fmrs = pooled_fmrs(pairs)
    (row,) = _differences(baseline, candidate, [fmrs], scores, _Settings(groups, seed, confidence, bandwidth))
    return row


def smoothed_differences(
    baseline: Comparisons,
    candidate: Comparisons,
    *,
    fmrs: Sequence[float],
    scores: tuple[ScoreSet, ScoreSet] | None = None,
    groups: int = GROUPS,
    seed: int = 0,
    confidence: float = 0.95,
    bandwidth: float = BANDWIDTH,
) -> tuple[SmoothedDifference | Unsupported, ...]:
    """Compute the smoothed TAR of the candidate minus that of the baseline at each FMR.

    Args:
        baseline, candidate: The same images in the same order, embedded by two artefacts.
        fmrs: FMRs, each above 0 and under 1.
        scores, groups, seed, confidence, bandwidth: See `pooled_difference`.

    Returns:
        One row per FMR; `Unsupported` with fewer than 3 / fmr pairs of subjects, or with fewer than 10 subjects with
        mated comparisons.

    Raises:
        InputError: The images differ, or a value is outside its range.
    """
    few = _refusal(baseline) if mated_subjects(baseline) < MIN_SUBJECTS else None
    pairs = subject_pairs(baseline)
    rows: dict[float, SmoothedDifference | Unsupported] = {}
    for fmr in fmrs:
        refusal = few or claim_refusal(check_rate(fmr), subjects=baseline.subjects, dyads=pairs)
        if refusal is not None:
            rows[fmr] = refusal
    stated = [fmr for fmr in fmrs if fmr not in rows]
    if stated:
        settings = _Settings(groups, seed, confidence, bandwidth)
        measured = _differences(baseline, candidate, [np.array([fmr]) for fmr in stated], scores, settings)
        rows.update(zip(stated, measured, strict=True))
    else:
        check_same_comparisons(baseline, candidate)
    return tuple(rows[fmr] for fmr in fmrs)


def pooled_fmrs(pairs: int) -> Float64Array:
    """Choose the FMRs of a pooled difference: equal steps of the logarithm over 1e-4..1e-2, from 3 / pairs upward.

    Args:
        pairs: Pairs of subjects that are compared, 4 or more.

    Returns:
        Shape (9,), ascending, or (1,) if the pairs support no FMR below 1e-2.
    """
    low, high = (max(rate, 3.0 / pairs) for rate in POOLED_FMRS)
    return np.geomspace(low, high, _POOLED_STEPS) if high > low else np.array([low])


def subject_pairs(comparisons: Comparisons) -> int:
    """Count the pairs of different subjects that are compared at least once."""
    if isinstance(comparisons, AllPairs):
        return comparisons.subjects * (comparisons.subjects - 1) // 2
    left, right = comparisons.codes[comparisons.first], comparisons.codes[comparisons.second]
    other = left != right
    low, high = np.minimum(left, right)[other], np.maximum(left, right)[other]
    return int(np.unique(low * (int(comparisons.codes.max()) + 1) + high).size)


@dataclass(frozen=True)
class _Settings:
    groups: int
    seed: int
    confidence: float
    bandwidth: float

    def __post_init__(self) -> None:
        check_rate(self.confidence, "a confidence")
        if not MIN_SUBJECTS <= self.groups <= 1000 or not 0.01 <= self.bandwidth <= 2.0:
            raise InputError(
                f"expected {MIN_SUBJECTS}..1000 groups and a bandwidth of 0.01..2 standard deviations, found"
                f" {self.groups} and {self.bandwidth}",
                hint=f"the defaults are {GROUPS} and {BANDWIDTH}",
            )


def _refusal(comparisons: Comparisons) -> Unsupported:
    few = subjects_refusal(comparisons)
    subjects = mated_subjects(comparisons)
    reason = (
        f"a difference needs at least {MIN_SUBJECTS} subjects with two or more images each, found {subjects}"
    )
    if few is None:
        reason = f"a difference needs comparisons of {MIN_SUBJECTS} subjects with each other, found none"
    return Unsupported("difference of TAR", MIN_SUBJECTS, subjects, reason)


def _differences(
    baseline: Comparisons,
    candidate: Comparisons,
    ranges: Sequence[Float64Array],
    scores: tuple[ScoreSet, ScoreSet] | None,
    settings: _Settings,
) -> list[SmoothedDifference | Unsupported]:
    """Compute one difference per range of FMR."""
    check_same_comparisons(baseline, candidate)
    sides = (baseline, candidate)
    sets = scores or (baseline.scores(), candidate.scores())
    gap = missing_half(sets[0], "difference of TAR")
    if gap is not None:
        return [gap for _ in ranges]
    design = _Groups.draw(baseline, settings)
    fmrs = np.concatenate(ranges)
    tars, bandwidths = [], []
    for comparisons, own in zip(sides, sets, strict=True):
        bandwidth = max(settings.bandwidth * (own.non_mated_sd or 0.0), _LEAST_BANDWIDTH)
        tars.append(_tar(comparisons, own, design, fmrs, bandwidth))
        bandwidths.append(bandwidth)
    rows: list[SmoothedDifference | Unsupported] = []
    start = 0
    for rates in ranges:
        part = slice(start, start + rates.size)
        start += rates.size
        before, after = (tar[:, part].mean(axis=1) for tar in tars)
        rows.append(_row(rates, before, after, (bandwidths[0], bandwidths[1]), design, settings))
    return rows


def _row(
    fmrs: Float64Array,
    before: Float64Array,
    after: Float64Array,
    bandwidths: tuple[float, float],
    design: _Groups,
    settings: _Settings,
) -> SmoothedDifference:
    """Create the row of one range; `before` and `after` have the value of all data first, then one per group."""
    from scipy.stats import t

    change = after - before
    difference, replicates = float(change[0]), change[1:]
    groups = replicates.size
    changes = (replicates.mean() - replicates) * (groups - 1) / groups
    error = float(np.sqrt(groups / (groups - 1) * (changes**2).sum()))
    if error > _NEGLIGIBLE:
        quantile = float(t.ppf((1.0 + settings.confidence) / 2, groups - 1))
        own = changes + difference / groups
        below, above = (_reach(own[own * sign > 0] * sign, error, quantile) for sign in (-1.0, 1.0))
        method = (
            f"delete-a-group jackknife, {groups} groups of subjects, score interval, seed {settings.seed}"
        )
    else:
        error, below = 0.0, upper_bound_without_errors(design.subjects)
        above, method = below, f"no difference in any group: rule of three over {design.subjects} subjects"
    interval = Interval(difference - below, difference + above, settings.confidence, groups, method)
    return SmoothedDifference(
        lowest_fmr=float(fmrs[0]),
        highest_fmr=float(fmrs[-1]),
        baseline_tar=float(before[0]),
        candidate_tar=float(after[0]),
        difference=difference,
        standard_error=error,
        interval=interval,
        subjects=design.subjects,
        baseline_bandwidth=bandwidths[0],
        candidate_bandwidth=bandwidths[1],
    )


def _reach(contributions: Float64Array, error: float, quantile: float) -> float:
    """Compute the distance from the difference to one end of the interval.

    A loss is often the sum of a few large contributions. A data set that lacks some of them shows a smaller loss and a
    smaller variance, so an interval with that variance is too short on the side of the loss. As in Wilson's interval of a share
    (JASA 22, 1927), the end L is the value that the data just do not reject with the variance at L: it grows by the
    mean size of a contribution, weighted by size, times the distance.

    Args:
        contributions: Contributions of the groups to the difference on this side, > 0.
        error: Standard error, > 0.
        quantile: Quantile of t.
    """
    size = float((contributions**2).sum() / contributions.sum()) if contributions.size else 0.0
    half = quantile * quantile * size / 2
    return half + float(np.sqrt(half * half + (quantile * error) ** 2))


@dataclass(frozen=True, eq=False)
class _Groups:
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
    def draw(cls, comparisons: Comparisons, settings: _Settings) -> _Groups:
        """Deal the subjects with mated comparisons to the groups at random, then the others."""
        codes = comparisons.codes
        total = int(codes.max()) + 1
        if isinstance(comparisons, AllPairs):
            images = np.bincount(codes, minlength=total).astype(np.float64)
            mated = images * (images - 1) / 2
        else:
            left, right = codes[comparisons.first], codes[comparisons.second]
            mated = np.bincount(left[left == right], minlength=total).astype(np.float64)
        owners = np.flatnonzero(mated > 0)
        count = min(settings.groups, owners.size)
        generator = np.random.Generator(np.random.PCG64(settings.seed))
        rest = np.flatnonzero(mated == 0)
        order = np.concatenate([generator.permutation(owners), generator.permutation(rest)])
        group = np.empty(total, dtype=np.int64)
        group[order] = np.arange(total) % count
        of_groups = np.bincount(group[owners], minlength=count)
        if isinstance(comparisons, AllPairs):
            sizes = np.bincount(group, weights=images, minlength=count)
            squares = np.bincount(group, weights=images * images, minlength=count)
            kept = np.append(0.0, sizes)
            pairs = ((images.sum() - kept) ** 2 - ((images * images).sum() - np.append(0.0, squares))) / 2
        else:
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


def _tar(
    comparisons: Comparisons, scores: ScoreSet, design: _Groups, fmrs: Float64Array, bandwidth: float
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
    def of(cls, comparisons: Comparisons, design: _Groups, floor: float, bandwidth: float) -> _Curves:
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
