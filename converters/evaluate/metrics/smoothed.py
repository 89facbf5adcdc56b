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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.claims import claim_refusal
from converters.evaluate.metrics.curves import check_rate, missing_half
from converters.evaluate.metrics.difference_evidence import SmoothedDifference
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.quantiles import student_quantile
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.smoothed_curves import LEAST_BANDWIDTH, SubjectGroups, smoothed_tar
from converters.evaluate.metrics.subject_scores import (
    MIN_SUBJECTS,
    Comparisons,
    check_same_comparisons,
    mated_subjects,
    subject_pairs,
)
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

#: Bandwidth in standard deviations of the non-mated scores.
BANDWIDTH = 0.24
#: Range of FMR over which the pooled difference is averaged.
POOLED_FMRS = (1e-4, 1e-2)
#: Largest number of groups of subjects of the jackknife; with fewer subjects, each subject is a group.
GROUPS = 200

# The mean over the logarithm of FMR is taken at this number of rates.
_POOLED_STEPS = 9
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
    claim, subjects, figure = "difference of TAR", mated_subjects(comparisons), "a difference"
    if subjects < MIN_SUBJECTS:
        units = "subjects with two or more images each"
        return Unsupported.too_few(claim, MIN_SUBJECTS, subjects, figure=figure, units=units, at_least=True)
    reason = f"{figure} needs comparisons of {MIN_SUBJECTS} subjects with each other, found none"
    return Unsupported(claim, MIN_SUBJECTS, subjects, reason)


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
    design = SubjectGroups.draw(baseline, groups=settings.groups, seed=settings.seed)
    fmrs = np.concatenate(ranges)
    tars, bandwidths = [], []
    for comparisons, own in zip(sides, sets, strict=True):
        bandwidth = max(settings.bandwidth * (own.non_mated_sd or 0.0), LEAST_BANDWIDTH)
        tars.append(smoothed_tar(comparisons, own, design, fmrs, bandwidth))
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
    design: SubjectGroups,
    settings: _Settings,
) -> SmoothedDifference:
    """Create the row of one range; `before` and `after` have the value of all data first, then one per group."""
    change = after - before
    difference, replicates = float(change[0]), change[1:]
    groups = replicates.size
    changes = (replicates.mean() - replicates) * (groups - 1) / groups
    error = float(np.sqrt(groups / (groups - 1) * (changes**2).sum()))
    if error > _NEGLIGIBLE:
        quantile = student_quantile((1.0 + settings.confidence) / 2, groups - 1)
        own = changes + difference / groups
        below, above = (_reach(own[own * sign > 0] * sign, error, quantile) for sign in (-1.0, 1.0))
        method = (
            f"delete-a-group jackknife, {groups} groups of subjects, score interval, seed {settings.seed}"
        )
    else:
        error, below, above, method = 0.0, 0.0, 0.0, "no difference in any group of subjects"
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
