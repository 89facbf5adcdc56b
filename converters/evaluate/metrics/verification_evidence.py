"""Results of 1:1 verification: error rates, operating points, failures to acquire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported
from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import OperatingPoint

if TYPE_CHECKING:
    from converters.evaluate.metrics.det_band import BandRow
    from converters.evaluate.metrics.generalized_rates import GeneralizedRates


@dataclass(frozen=True)
class EqualErrorRate(Evidence):
    """EER and its threshold; see `curves.equal_error_rate` for the interpolation rule."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class Claim(Evidence):
    """An upper limit of the FMR at a threshold.

    Attributes:
        fmr_limit: Upper limit of the FMR at the threshold, at most the target FMR.
        confidence: One-sided confidence of the limit, 0.95.
        effective_comparisons: Number of independent comparisons that give the FMR the same variance.
    """

    fmr_limit: float
    confidence: float
    effective_comparisons: float


@dataclass(frozen=True)
class MeasuredPoint(Evidence):
    """The lowest threshold whose measured FMR is at most the target, and the rates at it.

    The FMR of other people at this threshold is above the target about as often as below: it states no claim.

    Attributes:
        threshold: A comparison is accepted if score >= threshold; a float32 value.
        fmr: Measured FMR, <= the target.
        fnmr: Measured FNMR, mean over subjects; None without mated comparisons.
        fnmr_pooled: FNMR over all mated comparisons; None without mated comparisons.
        false_matches: Number of accepted non-mated comparisons.
        tar_interval: Interval of TAR at the target FMR, mean over subjects; it includes the noise of the threshold.
    """

    threshold: float
    fmr: float
    fnmr: float | None
    fnmr_pooled: float | None
    false_matches: int
    tar_interval: Interval | Unsupported | None

    @property
    def tar(self) -> float | None:
        """1 - FNMR, mean over subjects, or None."""
        return None if self.fnmr is None else 1.0 - self.fnmr


@dataclass(frozen=True)
class OperatingPointEvidence(Evidence):
    """A threshold with the error rates measured at it (ISO/IEC 19795-1).

    Attributes:
        target_fmr: Requested FMR.
        threshold: Threshold of the claim, or of the measured point if the data support no claim. A comparison is
            accepted if score >= threshold; a float32 value.
        fmr: Measured FMR at the threshold, <= target_fmr.
        fnmr: Measured FNMR at the threshold, mean over subjects: each subject weighs alike. None without mated
            comparisons.
        fnmr_pooled: FNMR over all mated comparisons at the threshold: a subject of many images weighs more.
        false_matches: Number of accepted non-mated comparisons.
        false_non_matches: Number of rejected mated comparisons.
        mated_trials: Number of mated comparisons.
        non_mated_trials: Number of non-mated comparisons, >= 3 / target_fmr.
        subjects: Number of subjects, the independent units.
        fmr_interval: Interval of FMR at this fixed threshold.
        fnmr_interval: Interval of FNMR, mean over subjects, at this fixed threshold.
        claim: Upper limit of the FMR at the threshold; `Unsupported` if the data do not support FMR <= target_fmr.
        measured: The measured point, without allowance for chance.
        data_set: Name of the data set.
        data_digest: SHA-256 over names and bytes of the samples, hex.
    """

    target_fmr: float
    threshold: float
    fmr: float
    fnmr: float | None
    fnmr_pooled: float | None
    false_matches: int
    false_non_matches: int
    mated_trials: int
    non_mated_trials: int
    subjects: int
    fmr_interval: Interval | Unsupported | None
    fnmr_interval: Interval | Unsupported | None
    claim: Claim | Unsupported
    measured: MeasuredPoint
    data_set: str
    data_digest: str

    @property
    def tar(self) -> float | None:
        """1 - FNMR at the threshold, mean over subjects, or None."""
        return None if self.fnmr is None else 1.0 - self.fnmr

    @property
    def tar_interval(self) -> Interval | Unsupported | None:
        """Interval of TAR at the target FMR; see `MeasuredPoint`."""
        return self.measured.tar_interval

    def operating_point(self) -> OperatingPoint:
        """Convert to the operating point of a model card, claimed for `target_fmr`, with the measured rates.

        Raises:
            InputError: The data do not support the claim, or FNMR was not measured.
            ModelCardError: The threshold is outside -1..1.
        """
        if not isinstance(self.claim, Claim):
            raise InputError(f"{self.claim.claim}: {self.claim.reason}", hint="add subjects to the data set")
        if self.fnmr is None:
            raise InputError(
                f"expected a measured FNMR, found no mated comparisons in {self.data_set}",
                hint="add a second image of each subject",
            )
        return OperatingPoint(
            threshold=self.threshold,
            fmr=self.target_fmr,
            fnmr=self.fnmr,
            mated_trials=self.mated_trials,
            non_mated_trials=self.non_mated_trials,
            data_set=self.data_set,
            data_set_sha256=self.data_digest,
            fnmr_interval=_bounds(self.fnmr_interval),
            fmr_interval=_bounds(self.fmr_interval),
            fmr_measured=self.fmr,
            fmr_confidence=self.claim.confidence,
            subjects=self.subjects,
            effective_comparisons=self.claim.effective_comparisons,
            fnmr_pooled=self.fnmr_pooled,
            measured_threshold=self.measured.threshold,
            measured_fnmr=self.measured.fnmr,
        )


def _bounds(interval: Interval | Unsupported | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if isinstance(interval, Interval) else None


@dataclass(frozen=True)
class AcquisitionEvidence(Evidence):
    """Number of failures to acquire (ISO/IEC 19795-1).

    Attributes:
        attempts: Number of samples (or listed comparisons).
        failures: Number of samples (or listed comparisons) that could not be used.
        first_names: Names of up to five failures, each with its reason.
    """

    attempts: int
    failures: int
    first_names: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Failure-to-acquire rate: failures / attempts, 0..1; 0 without attempts."""
        return self.failures / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class VerificationEvidence(Evidence):
    """Results of one artefact on one data set, 1:1.

    Attributes:
        data_set, data_digest: Name and SHA-256 of the data set.
        protocol: Selection of the comparisons, one line.
        images, subjects: Numbers of embedded images and of their subjects.
        acquisition: Failures to acquire of samples.
        comparisons_lost: Listed comparisons without embeddings of both images.
        mated_trials, non_mated_trials: Numbers of comparisons.
        mated_mean, non_mated_mean, non_mated_sd: Mean and standard deviation of the scores; None without scores.
        check_point: Threshold whose measured FMR is near 1e-2, and that FMR. A gallery compares the scores of its own
            subjects with it.
        d_prime, eer, accuracy: `Unsupported` if they cannot be stated; accuracy is (share, threshold), or None if
            the protocol does not include it.
        points: One row per requested FMR.
        det: Rows (threshold, FMR, FNMR), thinned; empty if the curve cannot be stated.
        histogram_edges, mated_counts, non_mated_counts: Histogram for a plot.
        det_band: The DET curve with limits, at most 100 rows (threshold, FMR, low, high, FNMR as mean over subjects, low,
            high); a limit is None if the data are too few for it.
        generalized: FRR and FAR, which count failures to acquire, per operating point.
    """

    data_set: str
    data_digest: str
    protocol: str
    images: int
    subjects: int
    acquisition: AcquisitionEvidence
    comparisons_lost: AcquisitionEvidence
    mated_trials: int
    non_mated_trials: int
    mated_mean: float | None
    non_mated_mean: float | None
    non_mated_sd: float | None
    check_point: tuple[float, float] | Unsupported
    d_prime: float | Unsupported
    eer: EqualErrorRate | Unsupported
    accuracy: tuple[float, float] | Unsupported | None
    points: tuple[OperatingPointEvidence | Unsupported, ...]
    det: tuple[tuple[float, float, float], ...]
    histogram_edges: tuple[float, ...]
    mated_counts: tuple[int, ...]
    non_mated_counts: tuple[int, ...]
    det_band: tuple[BandRow, ...] = ()
    generalized: tuple[GeneralizedRates, ...] = ()
