"""Evaluate 1:1 verification of one artefact on one data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.evaluate.metrics.bootstrap import (
    DEFAULT_REPLICATES,
    error_interval,
    percentile_interval,
    replicate_rates,
    subjects_refusal,
)
from converters.evaluate.metrics.curves import (
    DEFAULT_FMRS,
    Curve,
    best_accuracy,
    coarse_histogram,
    d_prime,
    det_curve,
    equal_error_rate,
    threshold_at_fmr,
)
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import (
    AcquisitionEvidence,
    Interval,
    OperatingPointEvidence,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.metrics.protocols import PairsList, match_pairs
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import Comparisons, mated_subjects


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
        replicates: Replicates of the bootstrap; 0 omits the intervals.
        seed: Seed of the bootstrap.
        confidence: Confidence of the intervals, above 0 and under 1.

    Raises:
        InputError: There are fewer than two images, or a value is outside its range.
    """
    none_lost = AcquisitionEvidence(0, 0, ())
    return _verify(embedded, embedded.all_pairs(), "all pairs", none_lost, fmrs, replicates, seed, confidence)


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
        replicates: Number of bootstrap replicates; 0 for no intervals.
        seed: Seed of the replicates.
        confidence: Confidence of the intervals, above 0 and below 1.

    Raises:
        InputError: No comparison can be made, or a value is outside its range.
    """
    listed, lost = match_pairs(pairs, embedded)
    protocol = f"pairs file {pairs.name}, SHA-256 {pairs.digest}"
    return _verify(embedded, listed, protocol, lost, fmrs, replicates, seed, confidence, accuracy=True)


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
        replicates: Number of bootstrap replicates; 0 for no intervals.
        seed: Seed of the replicates.
        confidence: Confidence of the intervals, above 0 and below 1.

    Returns:
        One row per FMR, in the given order; `Unsupported` with fewer than 3 / fmr non-mated comparisons.
        Without mated comparisons a row has a threshold and an FMR, but no FNMR.
    """
    thresholds = [threshold_at_fmr(scores, fmr) for fmr in fmrs]
    stated = [(fmr, t) for fmr, t in zip(fmrs, thresholds, strict=True) if not isinstance(t, Unsupported)]
    intervals = iter(_intervals(comparisons, scores, stated, replicates, seed, confidence))
    rows: list[OperatingPointEvidence | Unsupported] = []
    for fmr, threshold in zip(fmrs, thresholds, strict=True):
        if isinstance(threshold, Unsupported):
            rows.append(threshold)
            continue
        at = np.array([threshold])
        matches, misses = int(scores.false_matches(at)[0]), int(scores.false_non_matches(at)[0])
        of_fmr, of_fnmr, of_tar = next(intervals)
        rows.append(
            OperatingPointEvidence(
                target_fmr=fmr,
                threshold=threshold,
                fmr=matches / scores.non_mated_trials,
                fnmr=misses / scores.mated_trials if scores.mated_trials else None,
                false_matches=matches,
                false_non_matches=misses,
                mated_trials=scores.mated_trials,
                non_mated_trials=scores.non_mated_trials,
                subjects=comparisons.subjects,
                fmr_interval=of_fmr,
                fnmr_interval=of_fnmr,
                tar_interval=of_tar,
                data_set=data_set,
                data_digest=data_digest,
            )
        )
    return tuple(rows)


_Bounds = Interval | Unsupported | None


def _intervals(
    comparisons: Comparisons,
    scores: ScoreSet,
    stated: Sequence[tuple[float, float]],
    replicates: int,
    seed: int,
    confidence: float,
) -> list[tuple[_Bounds, _Bounds, _Bounds]]:
    """Compute the intervals of (FMR, FNMR, TAR) for each operating point."""
    if replicates == 0 or not stated:
        return [(None, None, None)] * len(stated)
    refusal = subjects_refusal(comparisons)
    if refusal is not None or scores.mated_trials == 0:
        return [(refusal, refusal, refusal)] * len(stated)
    fmrs, thresholds = [fmr for fmr, _ in stated], [threshold for _, threshold in stated]
    rates = replicate_rates(
        comparisons, scores, fmrs=fmrs, thresholds=thresholds, replicates=replicates, seed=seed
    )
    matches, misses = (
        scores.false_matches(np.array(thresholds)),
        scores.false_non_matches(np.array(thresholds)),
    )
    owners = mated_subjects(comparisons)
    rows: list[tuple[_Bounds, _Bounds, _Bounds]] = []
    for k in range(len(stated)):
        of_fmr = error_interval(
            rates.fmr[k],
            errors=int(matches[k]),
            independent_trials=scores.non_mated_trials,
            confidence=confidence,
            seed=seed,
        )
        of_fnmr = error_interval(
            rates.fnmr[k], errors=int(misses[k]), independent_trials=owners, confidence=confidence, seed=seed
        )
        method = "subject bootstrap, new threshold in each replicate"
        of_tar = percentile_interval(rates.tar[k], confidence=confidence, seed=seed, method=method)
        if isinstance(of_tar, Interval) and isinstance(of_fnmr, Interval) and misses[k] == 0:
            low = min(of_tar.low, 1.0 - of_fnmr.high)
            of_tar = Interval(low, of_tar.high, of_fnmr.confidence, of_tar.replicates, of_fnmr.method)
        rows.append((of_fmr, of_fnmr, of_tar))
    return rows


def _verify(
    embedded: EmbeddedSamples,
    comparisons: Comparisons,
    protocol: str,
    lost: AcquisitionEvidence,
    fmrs: Sequence[float],
    replicates: int,
    seed: int,
    confidence: float,
    accuracy: bool = False,
) -> VerificationEvidence:
    scores = comparisons.scores()
    points = operating_points(
        comparisons,
        scores,
        data_set=embedded.data_set,
        data_digest=embedded.data_digest,
        fmrs=fmrs,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
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
        d_prime=d_prime(scores),
        eer=equal_error_rate(scores),
        accuracy=best_accuracy(scores) if accuracy else None,
        points=points,
        det=_rows(curve) if isinstance(curve, Curve) else (),
        histogram_edges=tuple(edges.tolist()),
        mated_counts=tuple(mated.tolist()),
        non_mated_counts=tuple(non_mated.tolist()),
    )


def _rows(curve: Curve) -> tuple[tuple[float, float, float], ...]:
    return tuple(zip(curve.thresholds.tolist(), curve.fmr.tolist(), curve.fnmr.tolist(), strict=True))
