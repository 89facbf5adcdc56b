"""Paired comparison of two artefacts on the same images: the interval of their difference.

Both artefacts use the same resamples. This cancels effects that they share (difficult images, unusual subjects), so
a difference can be separated from noise with far fewer images than two separate intervals would need.
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.bootstrap import (
    DEFAULT_REPLICATES,
    percentile_interval,
    replicate_tars,
    subjects_refusal,
)
from converters.evaluate.metrics.curves import missing_half, threshold_at_fmr, upper_bound_without_errors
from converters.evaluate.metrics.difference_evidence import PairedDifference
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import Comparisons, check_same_comparisons, mated_subjects
from converters.evaluate.metrics.subject_shares import subject_share
from edge_sdk.types import Float64Array


def paired_differences(
    baseline: Comparisons,
    candidate: Comparisons,
    *,
    fmrs: Sequence[float],
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[PairedDifference | Unsupported, ...]:
    """Compute TAR of the candidate minus TAR of the baseline, with the interval of the difference.

    TAR is the mean over subjects: each subject with mated comparisons weighs alike. Both artefacts use the same resamples, and each has its own threshold in each replicate, so the
    interval includes the noise of the thresholds.

    Args:
        baseline, candidate: The same images in the same order, embedded by two artefacts.
        fmrs: FMRs of the TARs, each above 0 and under 1.
        replicates, seed, confidence: See `replicate_tars` and `percentile_interval`.

    Returns:
        One row per FMR; `Unsupported` with fewer than 3 / fmr non-mated comparisons. The interval is `Unsupported`
        with fewer than 10 subjects.

    Raises:
        InputError: The images differ.
    """
    check_same_comparisons(baseline, candidate)
    sides = [(comparisons, comparisons.scores()) for comparisons in (baseline, candidate)]
    gap = missing_half(sides[0][1], "difference of TAR")
    if gap is not None:
        return tuple(gap for _ in fmrs)
    own = [threshold_at_fmr(sides[0][1], fmr, subjects=baseline.subjects) for fmr in fmrs]
    stated = [fmr for fmr, threshold in zip(fmrs, own, strict=True) if not isinstance(threshold, Unsupported)]
    refusal = subjects_refusal(baseline)
    measured: list[list[float]] = []
    replicated: list[Float64Array] = []
    for comparisons, scores in sides:
        thresholds = _thresholds(scores, stated)
        tagged = comparisons.with_subjects(2.0)
        missed = (subject_share(tagged.mated_subject, tagged.mated < threshold) for threshold in thresholds)
        measured.append([1.0 - share.mean for share in missed])
        if refusal is None and stated:
            replicated.append(
                replicate_tars(comparisons, scores, fmrs=stated, replicates=replicates, seed=seed)
            )
    rows: dict[float, PairedDifference] = {}
    for place, fmr in enumerate(stated):
        before, after = measured[0][place], measured[1][place]
        interval: Interval | Unsupported
        if refusal is None:
            values = replicated[1][place] - replicated[0][place]
            interval = _difference_interval(values, baseline, after - before, confidence, seed)
        else:
            interval = refusal
        rows[fmr] = PairedDifference(fmr, before, after, after - before, interval)
    return tuple(
        threshold if isinstance(threshold, Unsupported) else rows[fmr]
        for fmr, threshold in zip(fmrs, own, strict=True)
    )


def _thresholds(scores: ScoreSet, fmrs: Sequence[float]) -> list[float]:
    thresholds = (threshold_at_fmr(scores, fmr) for fmr in fmrs)
    return [threshold for threshold in thresholds if not isinstance(threshold, Unsupported)]


def _difference_interval(
    values: Float64Array, comparisons: Comparisons, middle: float, confidence: float, seed: int
) -> Interval | Unsupported:
    interval = percentile_interval(
        values, confidence=confidence, seed=seed, method="paired subject bootstrap"
    )
    if isinstance(interval, Unsupported) or interval.high > interval.low:
        return interval
    trials = mated_subjects(comparisons)
    bound = upper_bound_without_errors(trials)
    method = f"no difference in any resample: rule of three over {trials} subjects, 95 %"
    return Interval(middle - bound, middle + bound, 0.95, interval.replicates, method)
