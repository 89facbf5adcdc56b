"""Cost of quantization for each group: paired changes from the float file to another file, each at its own threshold.

Both files embed the same images, so the difference of each subject is free of what the files share. The thresholds are
those of the whole data set; they are held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt

from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.dyadic import log_ratio_variance
from converters.evaluate.metrics.evidence import Interval
from converters.evaluate.metrics.group_evidence import GroupChange, GroupChanges
from converters.evaluate.metrics.group_scores import GroupedScores, grouped_scores
from converters.evaluate.metrics.group_tests import (
    MatchCount,
    SubjectValues,
    holm,
    value_tests,
)
from converters.evaluate.metrics.groups import LEVEL, match_count, subject_values
from converters.evaluate.metrics.quantiles import student_quantile
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, Comparisons, check_same_comparisons

#: Least number of false matches of each file for a ratio of two FMRs.
MIN_MATCHES = 10
_FNMR_METHOD = "paired differences of subjects, t, simultaneous (Bonferroni)"
_FEW_METHOD = "no subject's FNMR changed: exact limit of the share of subjects, simultaneous (Bonferroni)"
_FMR_METHOD = "ratio of paired FMRs, dyadic variance, simultaneous (Bonferroni)"


def group_changes(
    baseline: Comparisons,
    candidate: Comparisons,
    covariates: Covariates,
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    thresholds: Sequence[tuple[float, float, float]],
    seed: int = 0,
) -> tuple[GroupChanges, ...]:
    """Compute the change of each group's error rates, and test whether it differs from the change of the others.

    Args:
        baseline, candidate: The same images in the same order, embedded by two files.
        covariates: Groups of subjects or images.
        names, subjects: Name and subject of each image, shape (n,).
        thresholds: (target FMR, threshold of the baseline, threshold of the candidate), one or more.
        seed: Seed of the permutations.

    Returns:
        One value per covariate and threshold.

    Raises:
        InputError: The images differ, or a covariate has one group, or more than 32.
    """
    check_same_comparisons(baseline, candidate)
    groupings = covariates.groupings(names, subjects)
    sides = [
        grouped_scores(
            comparisons,
            groupings[0].codes,
            len(groupings[0].groups),
            floor=min((row[side] for row in thresholds), default=1.0),
        )
        for side, comparisons in ((1, baseline), (2, candidate))
    ]
    rows: list[GroupChanges] = []
    p_values: list[tuple[float | None, float | None]] = []
    for grouping in groupings:
        before, after = (side.regrouped(grouping.codes, len(grouping.groups)) for side in sides)
        for fmr, own, other in thresholds:
            changes, tests = _changes(grouping.groups, (before, own), (after, other), seed)
            rows.append(GroupChanges(grouping.covariate, fmr, own, other, tuple(changes)))
            p_values += tests
    adjusted = iter(holm([value for pair in p_values for value in pair if value is not None]))
    pairs = iter([tuple(None if value is None else next(adjusted) for value in pair) for pair in p_values])

    def tested(change: GroupChange) -> GroupChange:
        fnmr, fmr = next(pairs)
        differs = any(value is not None and value <= LEVEL for value in (fnmr, fmr))
        return replace(change, adjusted_fnmr=fnmr, adjusted_fmr=fmr, differs=differs)

    return tuple(replace(row, changes=tuple(tested(change) for change in row.changes)) for row in rows)


@dataclass(frozen=True, eq=False)
class _Ratio:
    """Logarithm of the FMR of the candidate / FMR of the baseline, with its variance and degrees of freedom."""

    value: float
    variance: float
    degrees: float


def _changes(
    groups: Sequence[str],
    before: tuple[GroupedScores, float],
    after: tuple[GroupedScores, float],
    seed: int,
) -> tuple[list[GroupChange], list[tuple[float | None, float | None]]]:
    own, other = subject_values(*before), subject_values(*after)
    differences = SubjectValues(other.sums - own.sums, own.trials)
    means = [values.groups()[0] for values in (own, other)]
    changed, variances = differences.groups()
    counted = (own.trials > 0).sum(axis=0)
    p_values = value_tests(differences, seed=seed)
    confidence = 1.0 - LEVEL / len(groups)
    changes, tests = [], []
    for group, name in enumerate(groups):
        rest = [g for g in range(len(groups)) if g != group]
        matches = match_count(*before, [group]), match_count(*after, [group])
        ratio, others = _ratio(*matches), _ratio(match_count(*before, rest), match_count(*after, rest))
        measured = bool(counted[group])
        changes.append(
            GroupChange(
                group=name,
                subjects=int(counted[group]),
                baseline_fnmr=float(means[0][group]) if measured else None,
                candidate_fnmr=float(means[1][group]) if measured else None,
                fnmr_change=float(changed[group]) if measured else None,
                fnmr_interval=_change_interval(
                    float(changed[group]), float(variances[group]), int(counted[group]), confidence
                ),
                fnmr_others=differences.against_others(group)[0] if counted[rest].any() else None,
                baseline_matches=matches[0].matches,
                candidate_matches=matches[1].matches,
                fmr_ratio=exp(ratio.value) if ratio else None,
                fmr_interval=_ratio_interval(ratio, confidence),
                adjusted_fnmr=None,
                adjusted_fmr=None,
                differs=False,
            )
        )
        tests.append((p_values[group], _interaction(ratio, others)))
    return changes, tests


def _change_interval(change: float, variance: float, subjects: int, confidence: float) -> Interval | None:
    if subjects < MIN_SUBJECTS:
        return None
    if variance <= 0.0 and change == 0.0:
        bound = 1.0 - (1.0 - confidence) ** (1.0 / subjects)
        return Interval(-bound, bound, confidence, 0, _FEW_METHOD)
    half = student_quantile((1.0 + confidence) / 2, subjects - 1) * sqrt(max(variance, 0.0))
    return Interval(max(-1.0, change - half), min(1.0, change + half), confidence, 0, _FNMR_METHOD)


def _ratio(before: MatchCount, after: MatchCount) -> _Ratio | None:
    if min(before.matches, after.matches) < MIN_MATCHES or before.subjects < MIN_SUBJECTS:
        return None
    variance = log_ratio_variance(
        (after.first, after.second), (before.first, before.second), before.design.per_subject.size
    )
    return _Ratio(log(after.matches / before.matches), variance.value, variance.degrees)


def _ratio_interval(ratio: _Ratio | None, confidence: float) -> Interval | None:
    if ratio is None:
        return None
    half = student_quantile((1.0 + confidence) / 2, ratio.degrees) * sqrt(ratio.variance)
    return Interval(exp(ratio.value - half), exp(ratio.value + half), confidence, 0, _FMR_METHOD)


def _interaction(ratio: _Ratio | None, others: _Ratio | None) -> float | None:
    """Test whether the FMR of a group changes by the same factor as that of the others, two-sided."""
    if ratio is None or others is None:
        return None
    from scipy.stats import t

    variance = ratio.variance + others.variance
    if variance <= 0.0:
        return 1.0
    degrees = min(ratio.degrees, others.degrees)
    return float(2 * t.sf(abs(ratio.value - others.value) / sqrt(variance), degrees))
