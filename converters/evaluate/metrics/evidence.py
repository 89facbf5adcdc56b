"""What an evaluation hands on: frozen values with their trials, intervals and data set, as JSON.

JSON is deterministic (sorted keys, no clock, no path) and without NaN: what cannot be stated is null
or an `Unsupported` value that says what it would take.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import OperatingPoint

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class Evidence:
    """Base of every result here: comparable, frozen, and printable as JSON."""

    def to_dict(self) -> dict[str, Json]:
        """Fields as JSON values, nested results as objects with their kind.

        Raises:
            InputError: a field holds NaN, infinity or a type without a JSON form.
        """
        found: dict[str, Json] = {"kind": type(self).__name__}
        for field in fields(self):
            found[field.name] = _plain(getattr(self, field.name), f"{type(self).__name__}.{field.name}")
        return found

    def to_json(self, *, indent: int | None = 2) -> str:
        """The same as text: sorted keys, no NaN, the same bytes for the same values."""
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False, indent=indent, ensure_ascii=False)


@dataclass(frozen=True)
class Unsupported(Evidence):
    """A claim that the data cannot support; it is false where a truth value is asked.

    Attributes:
        claim: What was asked.
        needed: Comparisons (or subjects, as the reason says) that it would take.
        found: Comparisons that there are.
        reason: One line for a reader.
    """

    claim: str
    needed: int
    found: int
    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Interval(Evidence):
    """A confidence interval and how it was made.

    Attributes:
        low: Lower end.
        high: Upper end, >= low.
        confidence: For example 0.95.
        replicates: Bootstrap replicates that could be used.
        method: One line, with the seed.
    """

    low: float
    high: float
    confidence: float
    replicates: int
    method: str


@dataclass(frozen=True)
class EqualErrorRate(Evidence):
    """EER and its threshold; the interpolation rule is in `curves.equal_error_rate`."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class OperatingPointEvidence(Evidence):
    """A threshold with everything that was measured at it (ISO/IEC 19795-1).

    Attributes:
        target_fmr: FMR that was asked for.
        threshold: Accept when score >= threshold; a float32 value.
        fmr: Measured, <= target_fmr.
        fnmr: Measured; None where the data set has no mated comparison.
        false_matches: Non-mated comparisons accepted.
        false_non_matches: Mated comparisons rejected.
        mated_trials: Mated comparisons.
        non_mated_trials: Non-mated comparisons, >= 3 / target_fmr.
        subjects: Number of subjects, the independent units.
        fmr_interval: Of FMR at this threshold, held fixed.
        fnmr_interval: Of FNMR at this threshold, held fixed.
        tar_interval: Of TAR at target_fmr, the threshold derived anew in each replicate.
        data_set: Name.
        data_digest: SHA-256 over names and bytes of the samples, hex.
    """

    target_fmr: float
    threshold: float
    fmr: float
    fnmr: float | None
    false_matches: int
    false_non_matches: int
    mated_trials: int
    non_mated_trials: int
    subjects: int
    fmr_interval: Interval | Unsupported | None
    fnmr_interval: Interval | Unsupported | None
    tar_interval: Interval | Unsupported | None
    data_set: str
    data_digest: str

    @property
    def tar(self) -> float | None:
        """1 - FNMR, or None."""
        return None if self.fnmr is None else 1.0 - self.fnmr

    def operating_point(self) -> OperatingPoint:
        """The row as a model card carries it: claimed for the FMR asked for, what was measured beside it.

        Raises:
            InputError: FNMR was not measured.
            ModelCardError: the threshold lies outside -1..1.
        """
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
        )


def _bounds(interval: Interval | Unsupported | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if isinstance(interval, Interval) else None


@dataclass(frozen=True)
class AcquisitionEvidence(Evidence):
    """Failures to acquire, counted (ISO/IEC 19795-1).

    Attributes:
        attempts: Samples (or listed comparisons) that were to be used.
        failures: Those that could not be.
        first_names: Up to five, each with its reason.
    """

    attempts: int
    failures: int
    first_names: tuple[str, ...]

    @property
    def rate(self) -> float:
        """FTA: failures / attempts, 0..1; 0 without any attempt."""
        return self.failures / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class VerificationEvidence(Evidence):
    """One artefact on one data set, 1:1.

    Attributes:
        data_set, data_digest: What it was measured on.
        protocol: What was compared with what, one line.
        images, subjects: That were embedded.
        acquisition: Failures of samples.
        comparisons_lost: Listed comparisons that missing or failed samples took away.
        mated_trials, non_mated_trials: Comparisons made.
        mated_mean, non_mated_mean, non_mated_sd: Of the scores; None where there are none.
        d_prime, eer, accuracy: `Unsupported` where they cannot be stated; accuracy is None where
            the protocol does not ask for it, else (share, threshold).
        points: One row per FMR asked for.
        det: (threshold, FMR, FNMR) rows, thinned; empty where it cannot be stated.
        histogram_edges, mated_counts, non_mated_counts: For a plot.
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
    d_prime: float | Unsupported
    eer: EqualErrorRate | Unsupported
    accuracy: tuple[float, float] | Unsupported | None
    points: tuple[OperatingPointEvidence | Unsupported, ...]
    det: tuple[tuple[float, float, float], ...]
    histogram_edges: tuple[float, ...]
    mated_counts: tuple[int, ...]
    non_mated_counts: tuple[int, ...]


@dataclass(frozen=True)
class PairedDifference(Evidence):
    """TAR of a candidate minus TAR of the baseline at one FMR, on the same images.

    Attributes:
        target_fmr: The FMR; each artefact has its own threshold for it.
        baseline_tar, candidate_tar: Measured.
        difference: candidate - baseline; negative is a loss.
        interval: Of the difference, both drawn with the same resamples.
    """

    target_fmr: float
    baseline_tar: float
    candidate_tar: float
    difference: float
    interval: Interval | Unsupported


@dataclass(frozen=True)
class DecisionFlips(Evidence):
    """Comparisons decided differently by two artefacts.

    Attributes:
        baseline_threshold, candidate_threshold: What each decided by.
        mated_lost: Mated, accepted by the baseline, rejected by the candidate.
        mated_won: Mated, the other way.
        non_mated_lost: Non-mated, rejected by the baseline, accepted by the candidate.
        non_mated_won: Non-mated, the other way.
    """

    baseline_threshold: float
    candidate_threshold: float
    mated_lost: int
    mated_won: int
    non_mated_lost: int
    non_mated_won: int


@dataclass(frozen=True)
class ThresholdDrift(Evidence):
    """One FMR on two artefacts.

    Attributes:
        target_fmr: The FMR.
        baseline_threshold, candidate_threshold: Each artefact's own.
        drift: candidate - baseline.
        fmr_at_baseline_threshold, fnmr_at_baseline_threshold: The candidate, used with the
            threshold of the baseline; the second is None without mated comparisons.
        own: Flips, each artefact at its own threshold.
        kept: Flips, both at the baseline's threshold.
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
    """A candidate (integer) artefact against its baseline (float) on the same images.

    Attributes:
        images: Number compared.
        cosine_mean, cosine_min: Of embedding to embedding, per image.
        cosine_percentiles: (percentile, cosine) rows, ascending.
        worst: (name, cosine) of the worst images, worst first.
        non_mated_mean_shift: Candidate - baseline; a shift toward a common direction is positive.
        tail_shift: The same of the 99.9th percentile of non-mated scores.
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
class IdentificationPoint(Evidence):
    """Open-set 1:N at one threshold (ISO/IEC 19795-1).

    Attributes:
        target_fpir: FPIR that was asked for.
        threshold: Accept when score >= threshold.
        fpir: Measured share of non-mated probes with a candidate at the threshold or above.
        fnir: Measured share of mated probes whose subject is not returned at the rank and
            threshold, failures to acquire and to enrol included; None without mated probes.
        rank: Length of the candidate list.
        references: Templates searched.
        mated_probes, non_mated_probes: Searches made or attempted.
    """

    target_fpir: float
    threshold: float
    fpir: float
    fnir: float | None
    rank: int
    references: int
    mated_probes: int
    non_mated_probes: int


def _plain(value: Any, name: str) -> Json:
    if isinstance(value, Evidence):
        return value.to_dict()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise InputError(
                f"expected a finite {name}, found {value}", hint="report what cannot be stated as None"
            )
        return float(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item, name) for item in value]
    if is_dataclass(value):
        raise InputError(f"expected {name} to be a result of this module, found {type(value).__name__}")
    raise InputError(f"expected {name} to have a JSON form, found {type(value).__name__}")
