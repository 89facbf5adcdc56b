"""The lowest threshold at which the claim of a false match rate holds within every group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.evaluate.metrics.claims import claim_at, claim_refusal, tagged_rank
from converters.evaluate.metrics.cosines import BoolArray
from converters.evaluate.metrics.covariates import Grouping
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_evidence import WorstGroupThreshold
from converters.evaluate.metrics.group_scores import GroupedScores
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons, ListedPairs, SubjectScores
from edge_sdk.model.operating_point import subjects_needed


def tagged_by_group(
    comparisons: Comparisons, grouping: Grouping, fmr: float
) -> tuple[SubjectScores | Unsupported, ...]:
    """Score the comparisons within each group.

    Args:
        comparisons: The comparisons of n images.
        grouping: Groups of the images.
        fmr: Highest FMR of a claim, above 0 and under 1.

    Returns:
        For each group its scores, with all non-mated scores down to twice the FMR, or the reason why the group is too
        small for a claim at the FMR.
    """
    return tuple(_tagged(comparisons, grouping.codes == group, fmr) for group in range(len(grouping.groups)))


def worst_group_threshold(
    tagged: Sequence[SubjectScores | Unsupported],
    scores: GroupedScores,
    groups: Sequence[str],
    fmr: float,
    threshold: float,
) -> WorstGroupThreshold | Unsupported:
    """Find the lowest threshold, at least `threshold`, at which each group supports the claim of an FMR.

    Args:
        tagged: Scores within each group, from `tagged_by_group`.
        scores: All scores, for the TAR.
        groups: Names of the groups.
        fmr: The claim, above 0 and under 1.
        threshold: Threshold for all groups.

    Returns:
        The threshold and what it costs; `Unsupported` if no group can support the claim.
    """
    thresholds, without = [], []
    for name, own in zip(groups, tagged, strict=True):
        result = own if isinstance(own, Unsupported) else claim_at(own, own.design(), fmr)
        if isinstance(result, Unsupported):
            without.append((name, result))
        else:
            thresholds.append((name, max(threshold, result[0])))
    if not thresholds:
        nearest = max((refusal for _, refusal in without), key=lambda refusal: refusal.found)
        return Unsupported(
            f"worst-group threshold at FMR {fmr:g}",
            subjects_needed(fmr),
            nearest.found,
            f"no group supports the claim; in the largest, {nearest.reason}",
        )
    worst, highest = max(thresholds, key=lambda row: row[1])
    return WorstGroupThreshold(
        threshold=highest,
        group=worst,
        thresholds=tuple(thresholds),
        without_claim=tuple((name, refusal.reason) for name, refusal in without),
        tar_before=_mean_tar(scores, threshold),
        tar_after=_mean_tar(scores, highest),
    )


def _tagged(comparisons: Comparisons, chosen: BoolArray, fmr: float) -> SubjectScores | Unsupported:
    codes = comparisons.codes
    own: Comparisons
    if isinstance(comparisons, ListedPairs):
        inside = chosen[comparisons.first] & chosen[comparisons.second]
        first, second = comparisons.first[inside], comparisons.second[inside]
        apart = codes[first] != codes[second]
        subjects = np.unique(codes[np.concatenate([first[apart], second[apart]])]).size
        low = np.minimum(codes[first[apart]], codes[second[apart]])
        high = np.maximum(codes[first[apart]], codes[second[apart]])
        dyads = np.unique(np.stack([low, high]), axis=1).shape[1]
    else:
        subjects = np.unique(codes[chosen]).size
        dyads = subjects * (subjects - 1) // 2
    refusal = claim_refusal(fmr, subjects=subjects, dyads=dyads)
    if refusal is not None:
        return refusal
    if isinstance(comparisons, ListedPairs):
        own = ListedPairs(comparisons.vectors, codes, first, second)
    else:
        own = AllPairs(comparisons.vectors[chosen], codes[chosen], comparisons.block_rows)
    scores = own.scores()
    return own.with_subjects(scores.score_at_rank(tagged_rank(fmr, scores.non_mated_trials)))


def _mean_tar(scores: GroupedScores, threshold: float) -> float | None:
    if not scores.mated.scores.size:
        return None
    owners, place = np.unique(scores.subject[scores.mated.first], return_inverse=True)
    matches = scores.mated.scores >= np.float32(threshold)
    shares = np.bincount(place, weights=matches, minlength=owners.size) / np.bincount(place)
    return float(shares.mean())
