"""Error rates that count failures to acquire (ISO/IEC 19795-1, one attempt per transaction).

A sample that cannot be acquired is rejected: FRR = FTA + (1 - FTA) FNMR, and FAR = (1 - FTA) FMR. The reference is taken as
acquired. In a search, FNIR = FTA + (1 - FTA) FNIR(acquired) and FPIR = (1 - FTA) FPIR(acquired).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported
from converters.evaluate.metrics.identification_evidence import IdentificationPoint
from converters.evaluate.metrics.limits import share_limits
from converters.evaluate.metrics.protocols import OpenSetList
from converters.evaluate.metrics.subject_scores import Comparisons, ListedPairs, SubjectScores
from converters.evaluate.metrics.subject_shares import error_shares, independent_trials
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence
from edge_sdk.types import Float64Array

METHOD = "Korn and Graubard limits, failures and mated comparisons by subject"


@dataclass(frozen=True)
class GeneralizedRates(Evidence):
    """Error rates of one attempt at a threshold, with failures to acquire counted.

    Attributes:
        target_fmr: FMR of the operating point.
        threshold: Threshold of the operating point.
        fta: Failure-to-acquire rate: share of the samples that could not be used.
        fnmr: FNMR of the acquired samples, mean over subjects.
        frr: False reject rate, fta + (1 - fta) fnmr.
        frr_interval: Interval of `frr`; both parts vary between subjects.
        fmr: FMR of the acquired samples.
        far: False accept rate, (1 - fta) fmr.
        far_interval: The interval of FMR times the limits of 1 - fta.
    """

    target_fmr: float
    threshold: float
    fta: float
    fnmr: float
    frr: float
    frr_interval: Interval | Unsupported | None
    fmr: float
    far: float
    far_interval: Interval | Unsupported | None


@dataclass(frozen=True)
class AcquiredIdentification(Evidence):
    """Error rates of searches with and without failures to acquire and to enrol, over all searches together.

    Attributes:
        target_fpir: FPIR of the point.
        threshold: Threshold of the point.
        fta: Share of the mated probes that could not be searched, or whose subject could not be enrolled; None without
            mated probes.
        fnir: FNIR of all mated probes, fta + (1 - fta) fnir_acquired: `fnir_pooled` of the point.
        fnir_acquired: FNIR of the probes that were searched; None if there are none.
        stranger_fta: Share of the probes of strangers that could not be searched.
        fpir: FPIR of all probes of strangers, (1 - stranger_fta) fpir_acquired.
        fpir_acquired: FPIR of the probes that were searched: `fpir` of the point.
    """

    target_fpir: float
    threshold: float
    fta: float | None
    fnir: float | None
    fnir_acquired: float | None
    stranger_fta: float
    fpir: float
    fpir_acquired: float


def generalized_rates(
    embedded: EmbeddedSamples,
    comparisons: Comparisons,
    tagged: SubjectScores,
    points: Sequence[OperatingPointEvidence | Unsupported],
) -> tuple[GeneralizedRates, ...]:
    """Compute FRR and FAR at each operating point.

    Args:
        embedded: The samples with their failures to acquire; the subject of a failed sample is the folder of its name.
        comparisons: The comparisons.
        tagged: Mated scores of `comparisons` with their subjects.
        points: Operating points of the same comparisons.

    Returns:
        One row per operating point, in the same order; none without mated comparisons.
    """
    if not tagged.mated.size:
        return ()
    acquisition = _acquisition(embedded, comparisons)
    stated = [point for point in points if isinstance(point, OperatingPointEvidence)]
    return tuple(_row(point, tagged, acquisition) for point in stated)


@dataclass(frozen=True, eq=False)
class _Acquisition:
    """Failures to acquire: their rate, and the residuals failures - rate * samples divided by the number of samples.

    `of_compared` has the residuals of the compared subjects in the order of their numbers, `others` those of the other
    subjects.
    """

    rate: float
    samples: int
    failures: int
    of_compared: Float64Array
    others: Float64Array


def _acquisition(embedded: EmbeddedSamples, comparisons: Comparisons) -> _Acquisition:
    lost = [name.split("/")[0] for name, _ in embedded.failures]
    labels, codes = np.unique([*embedded.subjects, *lost], return_inverse=True)
    samples = np.bincount(codes, minlength=labels.size)
    failed = np.bincount(codes[len(embedded.subjects) :], minlength=labels.size)
    rate = len(lost) / codes.size
    residuals = (failed - rate * samples) / codes.size
    number_of = np.unique(comparisons.codes)
    if isinstance(comparisons, ListedPairs):
        number_of = np.unique(comparisons.codes[np.concatenate([comparisons.first, comparisons.second])])
    # Subjects of comparisons are numbered in the order of the labels of the embedded samples.
    compared = np.unique(codes[: len(embedded.subjects)])[number_of]
    others = np.delete(residuals, compared)
    return _Acquisition(rate, codes.size, len(lost), residuals[compared], others)


def _row(point: OperatingPointEvidence, tagged: SubjectScores, acquisition: _Acquisition) -> GeneralizedRates:
    missed = tagged.mated < np.float32(point.threshold)
    owners, trials, shares = error_shares(tagged.mated_subject, missed)
    fnmr, fta = float(shares.mean()), acquisition.rate
    frr = fta + (1.0 - fta) * fnmr
    of_frr: Interval | Unsupported | None = point.fnmr_interval
    of_far: Interval | Unsupported | None = point.fmr_interval
    if isinstance(of_frr, Interval):
        parts = (1.0 - fnmr) * acquisition.of_compared
        parts[owners] += (1.0 - fta) * (shares - fnmr) / owners.size
        left_out = (1.0 - fnmr) * acquisition.others
        squares = float(parts @ parts + left_out @ left_out)
        attempts = independent_trials(trials)
        if acquisition.failures:
            attempts = max(attempts, float(acquisition.samples))
        low, high = share_limits(
            frr,
            squares * owners.size / max(owners.size - 1, 1),
            trials=attempts,
            clusters=owners.size,
            confidence=of_frr.confidence,
        )
        of_frr = Interval(low, high, of_frr.confidence, 0, METHOD)
    if isinstance(of_far, Interval):
        least, most = _fta_limits(acquisition, of_far.confidence)
        of_far = Interval(
            (1.0 - most) * of_far.low,
            (1.0 - least) * of_far.high,
            of_far.confidence,
            of_far.replicates,
            f"{of_far.method}, times the limits of 1 - FTA",
        )
    return GeneralizedRates(
        target_fmr=point.target_fmr,
        threshold=point.threshold,
        fta=fta,
        fnmr=fnmr,
        frr=frr,
        frr_interval=of_frr,
        fmr=point.fmr,
        far=(1.0 - fta) * point.fmr,
        far_interval=of_far,
    )


def _fta_limits(acquisition: _Acquisition, confidence: float) -> tuple[float, float]:
    if not acquisition.failures:
        return 0.0, 0.0
    residuals = np.concatenate([acquisition.of_compared, acquisition.others])
    variance = float(residuals @ residuals) * residuals.size / max(residuals.size - 1, 1)
    return share_limits(
        acquisition.rate, variance, trials=acquisition.samples, clusters=residuals.size, confidence=confidence
    )


def acquired_identification(
    points: Sequence[IdentificationPoint | Unsupported],
    *,
    failures: int,
    failed_strangers: int,
) -> tuple[AcquiredIdentification, ...]:
    """Separate the failures of searches from their errors.

    Args:
        points: Points of one open-set search; the numbers of mated probes include failures, those of non-mated probes
            do not.
        failures: Mated probes that could not be searched, or whose subject could not be enrolled.
        failed_strangers: Probes of subjects that are not enrolled that could not be searched.

    Returns:
        One row per supported point, in the same order.
    """
    rows = []
    for point in (point for point in points if isinstance(point, IdentificationPoint)):
        fta = fnir_acquired = None
        if point.fnir_pooled is not None:
            fta = failures / point.mated_probes
            searched = point.mated_probes - failures
            misses = round(point.fnir_pooled * point.mated_probes) - failures
            fnir_acquired = misses / searched if searched else None
        strangers = point.non_mated_probes + failed_strangers
        rows.append(
            AcquiredIdentification(
                target_fpir=point.target_fpir,
                threshold=point.threshold,
                fta=fta,
                fnir=point.fnir_pooled,
                fnir_acquired=fnir_acquired,
                stranger_fta=failed_strangers / strangers,
                fpir=point.fpir * point.non_mated_probes / strangers,
                fpir_acquired=point.fpir,
            )
        )
    return tuple(rows)


def failed_strangers(listed: OpenSetList, embedded: EmbeddedSamples) -> int:
    """Count the listed probes of subjects that are not enrolled that could not be searched."""
    subject = dict(zip(embedded.names, embedded.subjects, strict=True))
    enrolled = {subject.get(name, name.split("/")[0]) for name in listed.enrolled}
    return sum(name not in subject and name.split("/")[0] not in enrolled for name in listed.probes)
