"""Differential performance: error rates within groups and across groups, and groups that differ (ISO/IEC 19795-10).

All groups use the threshold of the evaluated file, because a device has one threshold. FMR: comparisons of different
subjects within a group, and between two groups. FNMR: the mean over the subjects of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from converters.evaluate.metrics.covariates import NAMES_SHOWN, Covariates, Grouping
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.group_claims import tagged_by_group, worst_group_threshold
from converters.evaluate.metrics.group_evidence import (
    FNMR_TEST,
    CovariateEvidence,
    GroupPoint,
    GroupRates,
    GroupsEvidence,
    GroupTest,
    SmallGroup,
    claim_figure,
)
from converters.evaluate.metrics.group_scores import GroupedScores, PairScores, grouped_scores
from converters.evaluate.metrics.group_tests import (
    MatchCount,
    SubjectValues,
    holm,
    pair_rate,
    rate_test,
    value_tests,
)
from converters.evaluate.metrics.limits import rate_limits
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, Comparisons, SubjectScores
from converters.evaluate.metrics.subject_shares import subject_share
from edge_sdk.model.operating_point import subjects_needed

#: Level of the tests: probability of any false alarm in an evaluation.
LEVEL = 0.05
_FMR_METHOD = "dyadic variance, Garwood limits"
_FNMR_METHOD = "variance of the subjects, Korn and Graubard limits"


def measure_groups(
    comparisons: Comparisons,
    covariates: Covariates,
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    thresholds: Sequence[tuple[float, float]],
    without_row: Sequence[str] = (),
    seed: int = 0,
) -> GroupsEvidence:
    """Compute the error rates of groups and test which groups differ from the others.

    Args:
        comparisons: The comparisons of n images.
        covariates: Groups of subjects or images.
        names, subjects: Name and subject of each image, shape (n,).
        thresholds: (target FMR, threshold of the file for all groups), one or more.
        without_row: Subjects (or images) of the data set without a row, from `Covariates.check`.
        seed: Seed of the permutations.

    Raises:
        InputError: A covariate has one group, or more than 32.
    """
    groupings = covariates.groupings(names, subjects)
    floor = min((threshold for _, threshold in thresholds), default=1.0)
    scores = grouped_scores(comparisons, groupings[0].codes, len(groupings[0].groups), floor=floor)
    tests = max(1, 2 * len(thresholds) * sum(len(grouping.groups) for grouping in groupings))
    measured = []
    for grouping in groupings:
        own = scores.regrouped(grouping.codes, len(grouping.groups))
        points = tuple(
            _point(
                own,
                tagged_by_group(comparisons, grouping, fmr),
                grouping,
                fmr,
                threshold,
                LEVEL / tests,
                seed,
            )
            for fmr, threshold in thresholds
        )
        counts = np.bincount(grouping.codes[grouping.codes >= 0], minlength=len(grouping.groups))
        images = tuple(int(count) for count in counts)
        small = _small_groups(points)
        measured.append(CovariateEvidence(grouping.covariate, grouping.groups, images, points, small))
    adjusted = _adjusted(measured)
    return GroupsEvidence(
        file=covariates.name,
        digest=covariates.digest,
        of_images=covariates.of_images,
        without_row=len(without_row),
        without_row_names=tuple(without_row[:NAMES_SHOWN]),
        tests=sum(len(point.tests) for covariate in adjusted for point in covariate.points),
        covariates=adjusted,
    )


def match_count(scores: GroupedScores, threshold: float, chosen: Sequence[int]) -> MatchCount:
    """Count the false matches within the chosen groups at a threshold, which is at least `scores.floor`."""
    mask = np.isin(np.arange(scores.groups), chosen)
    hits = scores.non_mated.select(scores.non_mated.scores >= np.float32(threshold))
    hits = hits.select(scores.within(hits, mask))
    return MatchCount(scores.design_within(mask), scores.subject[hits.first], scores.subject[hits.second])


def subject_values(scores: GroupedScores, threshold: float) -> SubjectValues:
    """Count the false non-matches within a group, and the mated comparisons, per subject and group."""
    mated = scores.mated.select(scores.within(scores.mated, np.ones(scores.groups, dtype=bool)))
    cells = scores.subject[mated.first] * scores.groups + scores.group[mated.first]
    misses = (mated.scores < np.float32(threshold)).astype(np.float64)
    shape = (scores.subjects, scores.groups)
    size = shape[0] * shape[1]
    return SubjectValues(
        np.bincount(cells, weights=misses, minlength=size).reshape(shape).astype(np.float64),
        np.bincount(cells, minlength=size).reshape(shape).astype(np.float64),
    )


def _point(
    scores: GroupedScores,
    tagged: Sequence[SubjectScores | Unsupported],
    grouping: Grouping,
    fmr: float,
    threshold: float,
    level: float,
    seed: int,
) -> GroupPoint:
    groups = range(scores.groups)
    counts = [match_count(scores, threshold, [group]) for group in groups]
    within, across = [], []
    for group in groups:
        name = grouping.groups[group]
        mated = scores.mated.select(scores.within(scores.mated, np.arange(scores.groups) == group))
        within.append(_rates(name, name, counts[group], scores, mated, threshold))
        for other in range(group + 1, scores.groups):
            hits = scores.non_mated.select(scores.non_mated.scores >= np.float32(threshold))
            hits = hits.select(scores.across(hits, group, other))
            between = MatchCount(
                scores.design_across(group, other), scores.subject[hits.first], scores.subject[hits.second]
            )
            mated = scores.mated.select(scores.across(scores.mated, group, other))
            across.append(_rates(name, grouping.groups[other], between, scores, mated, threshold))
    return GroupPoint(
        target_fmr=fmr,
        threshold=threshold,
        within=tuple(within),
        across=tuple(across),
        tests=tuple(_tests(scores, grouping, threshold, counts, level, seed)),
        fmr_max_to_mean=_max_to_geometric_mean([row.fmr for row in within]),
        fnmr_max_to_mean=_max_to_geometric_mean([row.fnmr for row in within]),
        worst_group=worst_group_threshold(tagged, scores, grouping.groups, fmr, threshold),
    )


def _rates(
    first: str, second: str, count: MatchCount, scores: GroupedScores, mated: PairScores, threshold: float
) -> GroupRates:
    trials = count.design.trials
    effective = count.effective() if trials else 0.0
    fmr_interval = None
    if effective >= 1:
        worth = count.matches * effective / trials
        low, high = rate_limits(worth, effective)
        fmr_interval = Interval(low, high, 0.95, 0, _FMR_METHOD)
    misses = mated.scores < np.float32(threshold)
    owners = scores.subject[mated.first]
    share = subject_share(owners, misses) if owners.size else None
    fnmr_interval = None if share is None else Interval(*share.limits(), 0.95, 0, _FNMR_METHOD)
    compared = np.flatnonzero(count.design.per_subject)
    return GroupRates(
        first=first,
        second=second,
        subjects=int(np.union1d(compared, owners).size),
        fmr=count.rate if trials else None,
        false_matches=count.matches,
        non_mated_trials=int(trials),
        effective_comparisons=effective,
        fmr_interval=fmr_interval,
        fnmr=None if share is None else share.mean,
        fnmr_pooled=None if share is None else share.pooled,
        false_non_matches=int(misses.sum()),
        mated_trials=int(misses.size),
        mated_subjects=0 if share is None else share.subjects,
        fnmr_interval=fnmr_interval,
    )


def _tests(
    scores: GroupedScores,
    grouping: Grouping,
    threshold: float,
    counts: Sequence[MatchCount],
    level: float,
    seed: int,
) -> list[GroupTest]:
    tests = []
    for group, name in enumerate(grouping.groups):
        others = match_count(scores, threshold, [g for g in range(scores.groups) if g != group])
        sides = [pair_rate(count, level=level) for count in (counts[group], others) if count.design.trials]
        p_value = rate_test(*sides) if len(sides) == 2 else None
        if p_value is not None:
            rates = sides[0].rate, sides[1].rate
            tests.append(GroupTest(name, "FMR", *rates, p_value, 1.0, differs=False))
    values = subject_values(scores, threshold)
    for group, p_value in enumerate(value_tests(values, seed=seed)):
        if p_value is not None:
            others_mean, difference, _, _ = values.against_others(group)
            rates = others_mean + difference, others_mean
            tests.append(GroupTest(grouping.groups[group], "FNMR", *rates, p_value, 1.0, differs=False))
    return tests


def _adjusted(measured: Sequence[CovariateEvidence]) -> tuple[CovariateEvidence, ...]:
    """Adjust the p-values for all tests of all covariates, thresholds, groups and rates together."""
    tests = [test for covariate in measured for point in covariate.points for test in point.tests]
    values = iter(holm([test.p_value for test in tests]))

    def tested(test: GroupTest) -> GroupTest:
        adjusted = next(values)
        return replace(test, adjusted=adjusted, differs=adjusted <= LEVEL)

    return tuple(
        replace(
            covariate,
            points=tuple(
                replace(point, tests=tuple(tested(test) for test in point.tests))
                for point in covariate.points
            ),
        )
        for covariate in measured
    )


def _small_groups(points: Sequence[GroupPoint]) -> tuple[SmallGroup, ...]:
    """List the tests and claims that a group has too few subjects for."""
    small = []
    for row in points[0].within if points else ():
        if row.mated_subjects < MIN_SUBJECTS:
            small.append(SmallGroup(row.first, row.mated_subjects, MIN_SUBJECTS, FNMR_TEST))
        if row.subjects < MIN_SUBJECTS:
            small.append(SmallGroup(row.first, row.subjects, MIN_SUBJECTS, "a test of the FMR"))
    for point in points:
        needed = max(subjects_needed(point.target_fmr), MIN_SUBJECTS)
        small += [
            SmallGroup(row.first, row.subjects, needed, claim_figure(point.target_fmr))
            for row in point.within
            if row.subjects < needed
        ]
    return tuple(small)


def _max_to_geometric_mean(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate]
    if len(known) < len(rates) or not known:
        return None
    return max(known) / exp(sum(log(rate) for rate in known) / len(known))
