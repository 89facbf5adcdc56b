"""Differences of a candidate artefact (integer) from its baseline (float) on the same images.

Cosines measure how far embeddings moved. The shift of non-mated scores and the drift of thresholds show
whether the baseline's threshold is still valid. Flips are the decisions that change for a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import (
    BoolArray,
    IntArray,
    check_vectors,
    listed_scores,
    on_grid,
    tiles,
)
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.difference_evidence import DecisionFlips, FidelityEvidence, ThresholdDrift
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons, check_same_comparisons
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

PERCENTILES = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0)
TAIL_SHARE = 1e-3


@dataclass(frozen=True)
class FlippedPair:
    """A comparison that the two artefacts decide differently.

    Attributes:
        first, second: Rows of the two images.
        mated: True if the images are of one subject.
        baseline_score, candidate_score: Scores of the two artefacts.
    """

    first: int
    second: int
    mated: bool
    baseline_score: float
    candidate_score: float


@dataclass(frozen=True, eq=False)
class _Part:
    """Part of the comparisons, with their scores by both artefacts; `_parts` yields the parts."""

    first: IntArray
    second: IntArray
    mated: BoolArray
    baseline: FloatArray
    candidate: FloatArray


def embedding_cosines(baseline: FloatArray, candidate: FloatArray) -> Float64Array:
    """Compute the cosine of the two embeddings of each image.

    Args:
        baseline, candidate: Shape (n, D), unit norm, the same images in the same order.

    Returns:
        Shape (n,), float64, -1..1.

    Raises:
        InputError: The vectors are invalid (see `check_vectors`), or the shapes differ.
    """
    left, right = check_vectors(baseline), check_vectors(candidate)
    if left.shape != right.shape or not len(left):
        raise InputError(
            f"expected the same images and dimension for both artefacts, found {left.shape} and {right.shape}",
            hint="keep the images that both artefacts embedded (`in_common`)",
        )
    first, second = on_grid(left), on_grid(right)
    scale = np.sqrt(np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second))
    cosines = np.einsum("ij,ij->i", first, second) / scale
    return np.asarray(np.clip(cosines, -1.0, 1.0), dtype=np.float64)


def compare_artefacts(
    baseline: Comparisons,
    candidate: Comparisons,
    *,
    names: Sequence[str],
    fmrs: Sequence[float] = (1e-2, 1e-3, 1e-4),
    worst: int = 10,
) -> FidelityEvidence:
    """Compare two artefacts on the same images.

    Args:
        baseline: Comparisons of the float artefact.
        candidate: Comparisons of the integer artefact: same images, same order, same dimension.
        names: One name per image.
        fmrs: FMRs at which thresholds and decisions are compared.
        worst: Number of images with the lowest cosines to list, >= 0.

    Returns:
        The evidence; rows that the data cannot support are `Unsupported`.

    Raises:
        InputError: The images differ, or the number of names differs.
    """
    check_same_comparisons(baseline, candidate)
    if len(names) != baseline.codes.size or worst < 0:
        raise InputError(
            f"expected {baseline.codes.size} image names, found {len(names)}",
            hint="give one name per embedding",
        )
    cosines = embedding_cosines(baseline.vectors, candidate.vectors)
    order = sorted(range(len(names)), key=lambda row: (cosines[row], names[row]))[:worst]
    before, after = baseline.scores(), candidate.scores()
    return FidelityEvidence(
        images=len(names),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        cosine_percentiles=tuple(
            (share, float(value))
            for share, value in zip(PERCENTILES, np.percentile(cosines, PERCENTILES), strict=True)
        ),
        worst=tuple((str(names[row]), float(cosines[row])) for row in order),
        non_mated_mean_shift=_mean_shift(before, after),
        tail_shift=_tail_shift(before, after),
        drifts=_drifts(baseline, candidate, before, after, fmrs),
    )


def flipped_pairs(
    baseline: Comparisons,
    candidate: Comparisons,
    *,
    baseline_threshold: float,
    candidate_threshold: float,
    limit: int = 20,
) -> tuple[FlippedPair, ...]:
    """List the comparisons that two artefacts decide differently, largest change of score first.

    Args:
        baseline, candidate: The same comparisons by two artefacts.
        baseline_threshold, candidate_threshold: Threshold of each artefact.
        limit: Maximum number of rows, >= 0.

    Raises:
        InputError: The comparisons differ.
    """
    check_same_comparisons(baseline, candidate)
    rows: list[FlippedPair] = []
    for part in _parts(baseline, candidate, min(baseline_threshold, candidate_threshold)):
        was, now = part.baseline >= baseline_threshold, part.candidate >= candidate_threshold
        for k in np.flatnonzero(was != now).tolist():
            first, second = sorted((int(part.first[k]), int(part.second[k])))
            scores = float(part.baseline[k]), float(part.candidate[k])
            rows.append(FlippedPair(first, second, bool(part.mated[k]), *scores))
        rows.sort(key=lambda row: (-abs(row.candidate_score - row.baseline_score), row.first, row.second))
        del rows[limit:]
    return tuple(rows)


def _mean_shift(before: ScoreSet, after: ScoreSet) -> float | Unsupported:
    if before.non_mated_mean is None or after.non_mated_mean is None:
        return Unsupported("shift of non-mated scores", 1, 0, "no non-mated comparisons")
    return after.non_mated_mean - before.non_mated_mean


def _tail_shift(before: ScoreSet, after: ScoreSet) -> float | Unsupported:
    trials = before.non_mated_trials
    if trials < 3 / TAIL_SHARE:
        reason = f"the 99.9th percentile needs {3 / TAIL_SHARE:.0f} non-mated comparisons, found {trials}"
        return Unsupported("shift of the non-mated tail", round(3 / TAIL_SHARE), trials, reason)
    rank = int(trials * TAIL_SHARE) + 1
    return after.score_at_rank(rank) - before.score_at_rank(rank)


def _drifts(
    baseline: Comparisons, candidate: Comparisons, before: ScoreSet, after: ScoreSet, fmrs: Sequence[float]
) -> tuple[ThresholdDrift | Unsupported, ...]:
    subjects = baseline.subjects
    thresholds = [
        (threshold_at_fmr(before, fmr, subjects=subjects), threshold_at_fmr(after, fmr, subjects=subjects))
        for fmr in fmrs
    ]
    pairs = [
        (a, b) for a, b in thresholds if not isinstance(a, Unsupported) and not isinstance(b, Unsupported)
    ]
    decisions = [*pairs, *((a, a) for a, _ in pairs)]
    flips = _count_flips(baseline, candidate, decisions)
    rows: list[ThresholdDrift | Unsupported] = []
    place = 0
    for fmr, (own, other) in zip(fmrs, thresholds, strict=True):
        if isinstance(own, Unsupported) or isinstance(other, Unsupported):
            rows.append(own if isinstance(own, Unsupported) else other)  # type: ignore[arg-type]
            continue
        at = np.array([own])
        missed = int(after.false_non_matches(at)[0])
        rows.append(
            ThresholdDrift(
                target_fmr=fmr,
                baseline_threshold=own,
                candidate_threshold=other,
                drift=other - own,
                fmr_at_baseline_threshold=int(after.false_matches(at)[0]) / after.non_mated_trials,
                fnmr_at_baseline_threshold=missed / after.mated_trials if after.mated_trials else None,
                own=flips[place],
                kept=flips[place + len(pairs)],
            )
        )
        place += 1
    return tuple(rows)


def _count_flips(
    baseline: Comparisons, candidate: Comparisons, decisions: Sequence[tuple[float, float]]
) -> list[DecisionFlips]:
    counts = np.zeros((len(decisions), 4), dtype=np.int64)
    lowest = min((min(pair) for pair in decisions), default=2.0)
    for part in _parts(baseline, candidate, lowest) if decisions else ():
        for row, (own, other) in enumerate(decisions):
            was, now = part.baseline >= own, part.candidate >= other
            lost, won = was & ~now, now & ~was
            counts[row] += [
                np.count_nonzero(lost & part.mated),
                np.count_nonzero(won & part.mated),
                np.count_nonzero(won & ~part.mated),
                np.count_nonzero(lost & ~part.mated),
            ]
    return [
        DecisionFlips(own, other, *(int(count) for count in row))
        for (own, other), row in zip(decisions, counts, strict=True)
    ]


def _parts(baseline: Comparisons, candidate: Comparisons, lowest: float) -> Iterator[_Part]:
    """Yield every mated comparison, and every non-mated comparison with a score >= lowest by either artefact."""
    if isinstance(baseline, AllPairs) and isinstance(candidate, AllPairs):
        codes = baseline.codes
        left, right = tiles(baseline.vectors, codes), tiles(candidate.vectors, codes)
        for a, b in zip(left, right, strict=True):
            chosen = (a.scores >= lowest) | (b.scores >= lowest)
            if a.mated is not None and a.non_mated is not None:
                chosen = (chosen & a.non_mated) | a.mated
            rows, columns = np.nonzero(chosen)
            first, second = a.rows[rows], a.columns[columns]
            same = codes[first] == codes[second]
            yield _Part(first, second, same, a.scores[rows, columns], b.scores[rows, columns])
    elif not isinstance(baseline, AllPairs) and not isinstance(candidate, AllPairs):
        first, second = baseline.first, baseline.second
        same = baseline.codes[first] == baseline.codes[second]
        own, other = (listed_scores(side.vectors, first, second) for side in (baseline, candidate))
        yield _Part(first, second, same, own, other)
