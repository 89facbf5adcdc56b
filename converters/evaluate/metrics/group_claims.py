"""The lowest threshold at which the claim of a false match rate holds within every group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.evaluate.metrics.dyadic import effective_comparisons
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_evidence import WorstGroupThreshold
from converters.evaluate.metrics.group_scores import GroupedScores
from converters.evaluate.metrics.limits import upper_rate_limit
from edge_sdk.model.operating_point import subjects_needed

#: Steps in the number of false matches at which the effective number of comparisons is computed.
STEPS = 40


def worst_group_threshold(
    scores: GroupedScores, groups: Sequence[str], fmr: float, threshold: float
) -> WorstGroupThreshold | Unsupported:
    """Find the lowest threshold, at least `threshold`, at which the upper 95 % limit of each group's FMR is at most `fmr`.

    Args:
        scores: Scores with the groups of their images.
        groups: Names of the groups.
        fmr: The claim, above 0 and under 1.
        threshold: Threshold for all groups.

    Returns:
        The threshold and what it costs; `Unsupported` if no group can support the claim.
    """
    thresholds, without = [], []
    for group, name in enumerate(groups):
        result = _claimed_threshold(scores, group, fmr, threshold)
        if isinstance(result, str):
            without.append((name, result))
        else:
            thresholds.append((name, result))
    if not thresholds:
        return Unsupported(
            f"worst-group threshold at FMR {fmr:g}",
            subjects_needed(fmr),
            max(int((images > 0).sum()) for images in scores.images().T),
            f"no group supports the claim FMR {fmr:g}: "
            + "; ".join(f"{name}: {why}" for name, why in without),
        )
    worst, highest = max(thresholds, key=lambda row: row[1])
    return WorstGroupThreshold(
        threshold=highest,
        group=worst,
        thresholds=tuple(thresholds),
        without_claim=tuple(without),
        tar_before=_mean_tar(scores, threshold),
        tar_after=_mean_tar(scores, highest),
    )


def _claimed_threshold(scores: GroupedScores, group: int, fmr: float, threshold: float) -> float | str:
    """Return the threshold of the claim within one group, or the reason why the group does not support it."""
    chosen = np.arange(scores.groups) == group
    design = scores.design_within(chosen)
    subjects = int((design.per_subject > 0).sum())
    needed = subjects_needed(fmr)
    if design.dyads * fmr < 3.0 - 1e-9:
        return f"{subjects} subjects; the claim needs about {needed}"
    top = scores.non_mated.select(scores.within(scores.non_mated, chosen))
    top = top.select(top.scores >= np.float32(threshold))
    order = np.argsort(-top.scores, kind="stable")
    values = top.scores[order]
    first, second = scores.subject[top.first[order]], scores.subject[top.second[order]]

    def holds(matches: int) -> bool:
        effective = float(min(design.dyads, design.trials))
        if matches:
            effective = effective_comparisons(design, first[:matches], second[:matches])
        worth = matches * effective / design.trials
        return effective * fmr >= 3.0 - 1e-9 and upper_rate_limit(worth, effective) <= fmr

    # Scores that are equal match together, so only the counts above a step between scores are possible.
    possible = np.append(np.flatnonzero(np.diff(values)) + 1, values.size) if values.size else np.array([0])
    possible = np.append(0, possible[possible > 0])
    limit = int(np.searchsorted(possible, fmr * design.trials, side="right"))
    steps = np.unique(np.geomspace(1, max(limit, 1), STEPS).astype(np.int64))
    candidates = [0, *(int(step) for step in steps if step < possible.size)]
    allowed = [place for place in candidates if holds(int(possible[place]))]
    if not allowed:
        return f"its {subjects} subjects are worth too few independent comparisons"
    matches = int(possible[max(allowed)])
    if matches >= values.size:
        return threshold
    return max(threshold, float(np.nextafter(values[matches], np.float32(2))))


def _mean_tar(scores: GroupedScores, threshold: float) -> float | None:
    if not scores.mated.scores.size:
        return None
    owners, place = np.unique(scores.subject[scores.mated.first], return_inverse=True)
    matches = scores.mated.scores >= np.float32(threshold)
    shares = np.bincount(place, weights=matches, minlength=owners.size) / np.bincount(place)
    return float(shares.mean())
