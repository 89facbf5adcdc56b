"""Results of an evaluation: frozen values with their trials, intervals and data set, and their JSON form.

The JSON is deterministic (sorted keys, no times, no paths) and has no NaN: a figure that cannot be stated is null
or an `Unsupported` value with the number of comparisons it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import OperatingPoint

if TYPE_CHECKING:
    from converters.evaluate.metrics.det_band import BandRow
    from converters.evaluate.metrics.generalized_rates import GeneralizedRates

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class Evidence:
    """Base class of all results: comparable, frozen, and convertible to JSON."""

    def to_json(self) -> dict[str, Json]:
        """Return the fields as JSON values; nested results become objects with their kind.

        Raises:
            InputError: A field contains NaN, infinity or a type without a JSON form.
        """
        values: dict[str, Json] = {"kind": type(self).__name__}
        for field in fields(self):
            values[field.name] = _plain(getattr(self, field.name), f"{type(self).__name__}.{field.name}")
        return values


@dataclass(frozen=True)
class Unsupported(Evidence):
    """A claim that the data cannot support; its truth value is False.

    Attributes:
        claim: The claim, such as `threshold at FMR 0.001`.
        needed: Number of comparisons (or subjects, see `reason`) that the claim needs.
        found: Number of comparisons (or subjects) in the data.
        reason: One line for the reader.
    """

    claim: str
    needed: int
    found: int
    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Interval(Evidence):
    """A confidence interval and its method.

    Attributes:
        low: Lower end.
        high: Upper end, >= low.
        confidence: For example 0.95.
        replicates: Number of usable bootstrap replicates; 0 if the method does not resample.
        method: One line, including the seed of a resampling method.
    """

    low: float
    high: float
    confidence: float
    replicates: int
    method: str


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


@dataclass(frozen=True)
class PairedDifference(Evidence):
    """TAR of a candidate minus TAR of the baseline at one FMR, on the same images.

    Attributes:
        target_fmr: The FMR; each artefact has its own threshold for it.
        baseline_tar, candidate_tar: Measured TAR, mean over subjects.
        difference: candidate - baseline; negative is a loss.
        interval: Interval of the difference, from the same resamples for both.
    """

    target_fmr: float
    baseline_tar: float
    candidate_tar: float
    difference: float
    interval: Interval | Unsupported


@dataclass(frozen=True)
class SmoothedDifference(Evidence):
    """Smoothed TAR of a candidate minus that of the baseline, averaged over a range of FMR (`smoothed.pooled_difference`).

    Attributes:
        lowest_fmr, highest_fmr: Ends of the range; equal for a single FMR.
        baseline_tar, candidate_tar: Smoothed TAR, mean over subjects and over the logarithm of FMR.
        difference: candidate - baseline; negative is a loss.
        standard_error: Of the difference, 0 or more; 0 if no score differs.
        interval: Interval of the difference; `replicates` is the number of groups.
        subjects: Number of subjects with mated comparisons.
        baseline_bandwidth, candidate_bandwidth: Standard deviation of the Gaussian kernel, in units of the score.
    """

    lowest_fmr: float
    highest_fmr: float
    baseline_tar: float
    candidate_tar: float
    difference: float
    standard_error: float
    interval: Interval
    subjects: int
    baseline_bandwidth: float
    candidate_bandwidth: float


@dataclass(frozen=True)
class MarginVerdict(Evidence):
    """Verdict on a difference of TAR against the largest acceptable loss (`margin.judge`).

    Attributes:
        margin: Largest acceptable loss D, a share: 0.003 is 0.3 percentage points.
        verdict: `no worse` than D, `worse` than D, or `cannot tell`.
        more_subjects: Number of further subjects with which the verdict would be given with a probability of 80 %, if the
            true difference is the measured one; None if there is a verdict, or if the difference is so close to -D that more
            than 100 times the subjects would be needed.
    """

    margin: float
    verdict: Literal["no worse", "worse", "cannot tell"]
    more_subjects: int | None


@dataclass(frozen=True)
class DecisionFlips(Evidence):
    """Numbers of comparisons that two artefacts decide differently.

    Attributes:
        baseline_threshold, candidate_threshold: Threshold of each artefact.
        mated_lost: Mated comparisons accepted by the baseline and rejected by the candidate.
        mated_won: Mated comparisons rejected by the baseline and accepted by the candidate.
        non_mated_lost: Non-mated comparisons rejected by the baseline and accepted by the candidate.
        non_mated_won: Non-mated comparisons accepted by the baseline and rejected by the candidate.
    """

    baseline_threshold: float
    candidate_threshold: float
    mated_lost: int
    mated_won: int
    non_mated_lost: int
    non_mated_won: int


@dataclass(frozen=True)
class ThresholdDrift(Evidence):
    """Thresholds of two artefacts for one FMR.

    Attributes:
        target_fmr: The FMR.
        baseline_threshold, candidate_threshold: Threshold of each artefact for that FMR.
        drift: candidate - baseline.
        fmr_at_baseline_threshold, fnmr_at_baseline_threshold: Rates of the candidate at the
            threshold of the baseline; the second is None without mated comparisons.
        own: Flips with each artefact at its own threshold.
        kept: Flips with both artefacts at the baseline's threshold.
    """

    target_fmr: float
    baseline_threshold: float
    candidate_threshold: float
    drift: float
    fmr_at_baseline_threshold: float
    fnmr_at_baseline_threshold: float | None
    own: DecisionFlips
    kept: DecisionFlips


@dataclass(frozen=True)
class FidelityEvidence(Evidence):
    """Differences of a candidate (integer) artefact from its baseline (float) on the same images.

    Attributes:
        images: Number of images.
        cosine_mean, cosine_min: Mean and minimum over the images of the cosine between their two embeddings.
        cosine_percentiles: Rows (percentile, cosine), ascending.
        worst: (name, cosine) of the images with the lowest cosines, lowest first.
        non_mated_mean_shift: Mean non-mated score, candidate - baseline; positive if embeddings shift toward a common
            direction.
        tail_shift: 99.9th percentile of the non-mated scores, candidate - baseline.
        drifts: One row per FMR.
    """

    images: int
    cosine_mean: float
    cosine_min: float
    cosine_percentiles: tuple[tuple[float, float], ...]
    worst: tuple[tuple[str, float], ...]
    non_mated_mean_shift: float | Unsupported
    tail_shift: float | Unsupported
    drifts: tuple[ThresholdDrift | Unsupported, ...]


@dataclass(frozen=True)
class IdentificationClaim(Evidence):
    """An upper limit of the FPIR at a threshold, for other strangers and another gallery of the same size.

    Attributes:
        fpir_limit: Upper limit of the FPIR at the threshold, at most the target FPIR.
        confidence: One-sided confidence of the limit, 0.95.
        effective_searches: Number of independent searches that give the FPIR the same variance.
    """

    fpir_limit: float
    confidence: float
    effective_searches: float


@dataclass(frozen=True)
class MeasuredIdentification(Evidence):
    """The lowest threshold whose measured FPIR is at most the target, and the rates at it; it states no claim.

    Attributes:
        threshold: A candidate is accepted if score >= threshold; a float32 value.
        fpir: Measured FPIR, <= the target.
        fnir: Measured FNIR, mean over subjects; None without mated probes.
        fnir_pooled: FNIR over all mated probes; None without mated probes.
        false_matches: Number of non-mated searches that return a subject.
        fpir_interval: Interval of FPIR at this threshold, for other strangers and another gallery of the same size.
        fnir_interval: Interval of FNIR at the target FPIR; it includes the noise of the threshold.
    """

    threshold: float
    fpir: float
    fnir: float | None
    fnir_pooled: float | None
    false_matches: int
    fpir_interval: Interval | Unsupported
    fnir_interval: Interval | Unsupported | None


@dataclass(frozen=True)
class IdentificationPoint(Evidence):
    """Open-set 1:N identification at one threshold (ISO/IEC 19795-1).

    Attributes:
        target_fpir: Requested FPIR.
        threshold: Threshold of the claim, or of the measured point if no claim is supported. A candidate is accepted if
            score >= threshold.
        fpir: Measured share of non-mated probes with a candidate at the threshold or above.
        fnir: Mean over subjects of the share of mated probes whose subject is not returned at the rank and threshold,
            including failures to acquire and to enrol; None without mated probes.
        fnir_pooled: The same share of all mated probes, in which subjects with many probes weigh more.
        false_matches: Number of non-mated searches that return a subject.
        rank: Length of the candidate list.
        references, subjects: Numbers of templates and of subjects in the gallery.
        strangers: Number of subjects among the non-mated probes.
        mated_probes, non_mated_probes: Numbers of searches, including failures to acquire.
        fpir_interval: Interval of FPIR at this threshold, for other strangers and another gallery of the same size.
        fnir_interval: Interval of FNIR at this threshold, for other enrolled subjects; None without mated probes.
        claim: The upper limit of FPIR, or the reason why the data support none.
        measured: The measured point.
    """

    target_fpir: float
    threshold: float
    fpir: float
    fnir: float | None
    fnir_pooled: float | None
    false_matches: int
    rank: int
    references: int
    subjects: int
    strangers: int
    mated_probes: int
    non_mated_probes: int
    fpir_interval: Interval | Unsupported
    fnir_interval: Interval | Unsupported | None
    claim: IdentificationClaim | Unsupported
    measured: MeasuredIdentification


@dataclass(frozen=True)
class RankShare(Evidence):
    """Share of mated searches whose subject is among the first k candidates, without a threshold (closed set).

    Attributes:
        rank: k.
        share: Mean over subjects, 0..1.
        pooled: Share of all mated searches, 0..1.
        interval: Interval of `share`.
    """

    rank: int
    share: float
    pooled: float
    interval: Interval


def _plain(value: Any, name: str) -> Json:
    if isinstance(value, Evidence):
        return value.to_json()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise InputError(
                f"expected a finite {name}, found {value}", hint="use None for a figure that cannot be stated"
            )
        return float(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item, name) for item in value]
    if is_dataclass(value):
        raise InputError(f"expected {name} to be a result of this module, found {type(value).__name__}")
    raise InputError(f"expected {name} to have a JSON form, found {type(value).__name__}")
