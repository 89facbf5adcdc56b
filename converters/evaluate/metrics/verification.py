"""Evaluate 1:1 verification of one artefact on one data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.evaluate.metrics.bootstrap import DEFAULT_REPLICATES
from converters.evaluate.metrics.claims import tagged_rank
from converters.evaluate.metrics.cross_camera import Cameras, cross_camera_pairs
from converters.evaluate.metrics.curves import (
    DEFAULT_FMRS,
    Curve,
    best_accuracy,
    coarse_histogram,
    d_prime,
    det_curve,
    equal_error_rate,
    false_match_rate,
    threshold_at_fmr,
)
from converters.evaluate.metrics.det_band import band_floor, det_band
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.generalized_rates import generalized_rates
from converters.evaluate.metrics.protocols import PairsList, match_pairs
from converters.evaluate.metrics.rates import Rates
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.metrics.verification_evidence import (
    AcquisitionEvidence,
    OperatingPointEvidence,
    VerificationEvidence,
)

#: FMR of the check point of a card.
CHECK_FMR = 1e-2


def verify_all_pairs(
    embedded: EmbeddedSamples,
    *,
    fmrs: Sequence[float] = DEFAULT_FMRS,
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
) -> VerificationEvidence:
    """Compare every image with every other once and compute the figures that the data support.

    Args:
        embedded: At least two images.
        fmrs: FMRs of the operating points, each above 0 and under 1.
        replicates, seed: See `operating_points`.
        confidence: Confidence of the intervals, above 0 and under 1.

    Raises:
        InputError: There are fewer than two images, or a value is outside its range.
    """
    del seed
    none_lost = AcquisitionEvidence(0, 0, ())
    return _verify(embedded, embedded.all_pairs(), "all pairs", none_lost, fmrs, replicates != 0, confidence)


def verify_pairs(
    embedded: EmbeddedSamples,
    pairs: PairsList,
    *,
    fmrs: Sequence[float] = (1e-1, 1e-2),
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
) -> VerificationEvidence:
    """Make the comparisons of a pairs file; the figures include the accuracy at the best threshold.

    Args:
        embedded: The images; comparisons with a missing image are counted as lost.
        pairs: Content of the pairs file.
        fmrs: False match rates to report, each above 0 and below 1.
        replicates, seed: See `operating_points`.
        confidence: Confidence of the intervals, above 0 and below 1.

    Raises:
        InputError: No comparison can be made, or a value is outside its range.
    """
    del seed
    listed, lost = match_pairs(pairs, embedded)
    protocol = f"pairs file {pairs.name}, SHA-256 {pairs.digest}"
    return _verify(embedded, listed, protocol, lost, fmrs, replicates != 0, confidence, accuracy=True)


def verify_across_cameras(
    embedded: EmbeddedSamples,
    cameras: Cameras,
    *,
    fmrs: Sequence[float] = DEFAULT_FMRS,
    replicates: int = DEFAULT_REPLICATES,
    confidence: float = 0.95,
) -> VerificationEvidence:
    """Compare every image with every other, except two images of one subject from one camera.

    Raises:
        InputError: An image has no camera, there are too many pairs, or a value is outside its range.
    """
    listed = cross_camera_pairs(embedded, cameras)
    protocol = f"pairs across cameras, {cameras.source}"
    none_lost = AcquisitionEvidence(0, 0, ())
    return _verify(embedded, listed, protocol, none_lost, fmrs, replicates != 0, confidence)


def operating_points(
    comparisons: Comparisons,
    scores: ScoreSet,
    *,
    data_set: str,
    data_digest: str,
    fmrs: Sequence[float],
    replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[OperatingPointEvidence | Unsupported, ...]:
    """Find the threshold for each FMR and compute its error rates with intervals.

    Args:
        comparisons: The comparisons.
        scores: `comparisons.scores()`.
        data_set, data_digest: Name and SHA-256 of the data set, for the evidence.
        fmrs: False match rates to report, each above 0 and below 1.
        replicates: 0 for no intervals. The intervals are computed without resampling, so other values have no effect.
        seed: No effect; kept for programs that give a seed.
        confidence: Confidence of the intervals, above 0 and below 1.

    Returns:
        One row per FMR, in the given order; `Unsupported` with fewer than 3 / fmr non-mated comparisons. A row whose
        claim is not supported has the measured point. Without mated comparisons a row has a threshold and an FMR, but
        no FNMR.

    Raises:
        InputError: A rate is outside its range.
    """
    del seed
    tagged = comparisons.with_subjects(_points_floor(scores, fmrs))
    rates = Rates(scores, tagged, confidence, with_intervals=replicates != 0)
    return _points(rates, fmrs, comparisons.subjects, data_set, data_digest)


def _points_floor(scores: ScoreSet, fmrs: Sequence[float]) -> float:
    """Return the lowest non-mated score whose subjects the rows need."""
    supported = [fmr for fmr in fmrs if not isinstance(threshold_at_fmr(scores, fmr), Unsupported)]
    return scores.score_at_rank(tagged_rank(max(supported), scores.non_mated_trials)) if supported else 2.0


def _points(
    rates: Rates, fmrs: Sequence[float], subjects: int, data_set: str, data_digest: str
) -> tuple[OperatingPointEvidence | Unsupported, ...]:
    measured = [threshold_at_fmr(rates.scores, fmr, subjects=subjects) for fmr in fmrs]
    return tuple(
        threshold
        if isinstance(threshold, Unsupported)
        else rates.row(fmr, threshold, data_set=data_set, data_digest=data_digest)
        for fmr, threshold in zip(fmrs, measured, strict=True)
    )


def _verify(
    embedded: EmbeddedSamples,
    comparisons: Comparisons,
    protocol: str,
    lost: AcquisitionEvidence,
    fmrs: Sequence[float],
    with_intervals: bool,
    confidence: float,
    accuracy: bool = False,
) -> VerificationEvidence:
    scores = comparisons.scores()
    tagged = comparisons.with_subjects(min(_points_floor(scores, fmrs), band_floor(scores)))
    rates = Rates(scores, tagged, confidence, with_intervals=with_intervals)
    points = _points(rates, fmrs, comparisons.subjects, embedded.data_set, embedded.data_digest)
    curve = det_curve(scores)
    edges, mated, non_mated = coarse_histogram(scores)
    return VerificationEvidence(
        data_set=embedded.data_set,
        data_digest=embedded.data_digest,
        protocol=protocol,
        images=len(embedded.names),
        subjects=len(set(embedded.subjects)),
        acquisition=embedded.acquisition(),
        comparisons_lost=lost,
        mated_trials=scores.mated_trials,
        non_mated_trials=scores.non_mated_trials,
        mated_mean=float(scores.mated.mean(dtype=np.float64)) if scores.mated_trials else None,
        non_mated_mean=scores.non_mated_mean,
        non_mated_sd=scores.non_mated_sd,
        check_point=_check_point(scores),
        d_prime=d_prime(scores),
        eer=equal_error_rate(scores),
        accuracy=best_accuracy(scores) if accuracy else None,
        points=points,
        det=_rows(curve) if isinstance(curve, Curve) else (),
        histogram_edges=tuple(edges.tolist()),
        mated_counts=tuple(mated.tolist()),
        non_mated_counts=tuple(non_mated.tolist()),
        det_band=(
            det_band(scores, tagged, curve.thresholds, confidence=confidence)
            if isinstance(curve, Curve) and with_intervals
            else ()
        ),
        generalized=generalized_rates(embedded, comparisons, tagged, points),
    )


def _check_point(scores: ScoreSet) -> tuple[float, float] | Unsupported:
    threshold = threshold_at_fmr(scores, CHECK_FMR)
    if isinstance(threshold, Unsupported):
        return threshold
    measured = float(false_match_rate(scores, np.array([threshold]))[0])
    if measured == 0.0:
        return Unsupported(
            "check point", 1, 0, f"no non-mated score lies above the threshold at FMR {CHECK_FMR:g}"
        )
    return threshold, measured


def _rows(curve: Curve) -> tuple[tuple[float, float, float], ...]:
    return tuple(zip(curve.thresholds.tolist(), curve.fmr.tolist(), curve.fnmr.tolist(), strict=True))
