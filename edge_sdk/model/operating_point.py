"""Operating points: thresholds with the evidence for their error rates (ISO/IEC 19795-1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.json_fields import JsonFields

# Lowest FMR that a point may claim. No data set is large enough to prove less, and 3 / fmr overflows near zero.
_LEAST_FMR = 1e-15
# Fields that a card has only if they were measured, so that the evidence digest of an earlier card does not change.
_LATER_FIELDS = (
    "fmr_confidence",
    "effective_comparisons",
    "fnmr_pooled",
    "measured_threshold",
    "measured_fnmr",
)
# Highest FMR for comparing the captures of one enrolment with each other. They should all show one subject, so a
# loose threshold is enough to notice another subject.
_CAPTURES_FMR = 1e-2


@dataclass(frozen=True)
class OperatingPoint:
    """A cosine threshold with its measured rates.

    Args:
        threshold: Cosine similarity; a comparison matches at or above it.
        fmr: False match rate per comparison that is claimed for the threshold; the measured rate is not higher.
        fnmr: False non-match rate, measured; the mean over subjects, if ``fmr_confidence`` is given.
        mated_trials: Number of comparisons of the same subject.
        non_mated_trials: Number of comparisons of different subjects.
        data_set: Name of the images on which the rates were measured.
        data_set_sha256: Digest of these images, hex.
        fnmr_interval: Confidence interval of the FNMR (low, high); None if it was not measured.
        fmr_interval: Confidence interval of the FMR (low, high); None if it was not measured.
        fmr_measured: Measured FMR at the threshold, at most ``fmr``; None if it was not recorded.
        runtime: Package and version that ran the network, such as ``ai-edge-litert 2.3.0``; empty if it was not
            recorded.
        kernels: Kernels that computed the scores: ``xnnpack``, ``reference``, or a delegate's library; empty if
            they were not recorded. The rates do not hold for other kernels, whose scores differ.
        fmr_confidence: Confidence that the true FMR is at most ``fmr``: ``fmr`` is the upper limit of the FMR. None if
            the point was claimed by the earlier rule, for which ``fmr`` is only an upper bound of the measured FMR.
        subjects: Number of subjects in the data set; 0 if it was not recorded.
        effective_comparisons: Number of independent comparisons that would give the FMR the same variance; None if it was
            not measured.
        fnmr_pooled: FNMR over all mated comparisons; None if it was not recorded.
        measured_threshold: Lowest threshold whose measured FMR is at most ``fmr``, without allowance for chance; at most
            ``threshold``. None if it was not recorded.
        measured_fnmr: FNMR at ``measured_threshold``, mean over subjects; None if it was not recorded.

    Raises:
        ModelCardError: A rate is outside 0..1, a threshold is outside -1..1, fewer than 3 / fmr non-mated
            comparisons were made (rule of three), or a confidence is given without the subjects, the effective
            comparisons and the interval that support it.
    """

    threshold: float
    fmr: float
    fnmr: float
    mated_trials: int
    non_mated_trials: int
    data_set: str = ""
    data_set_sha256: str = ""
    fnmr_interval: tuple[float, float] | None = None
    fmr_interval: tuple[float, float] | None = None
    fmr_measured: float | None = None
    runtime: str = ""
    kernels: str = ""
    fmr_confidence: float | None = None
    subjects: int = 0
    effective_comparisons: float | None = None
    fnmr_pooled: float | None = None
    measured_threshold: float | None = None
    measured_fnmr: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and -1 <= self.threshold <= 1):
            raise ModelCardError(
                f"operating point: expected a cosine threshold in -1..1, found {self.threshold}"
            )
        if not _LEAST_FMR <= self.fmr <= 1 or not 0 <= self.fnmr <= 1:
            raise ModelCardError(
                f"operating point: expected FMR in {_LEAST_FMR:g}..1 and FNMR in 0..1, found {self.fmr}, {self.fnmr}"
            )
        if self.mated_trials < 0:
            raise ModelCardError(
                f"operating point: expected 0 or more mated comparisons, found {self.mated_trials}"
            )
        # n comparisons support an FMR of 3 / n, even if 3 / (3 / n) is rounded to slightly more than n.
        if self.non_mated_trials < 3 / self.fmr * (1 - 1e-12):
            raise ModelCardError(
                f"operating point: a claim at FMR {self.fmr:g} needs {math.ceil(3 / self.fmr)} non-mated"
                f" comparisons (rule of three), found {self.non_mated_trials}"
            )
        for name, interval in (("FNMR", self.fnmr_interval), ("FMR", self.fmr_interval)):
            if interval is not None and not 0 <= interval[0] <= interval[1] <= 1:
                raise ModelCardError(
                    f"operating point: expected an {name} interval in 0..1, found {interval}"
                )
        if self.fmr_measured is not None and not 0 <= self.fmr_measured <= self.fmr:
            raise ModelCardError(
                f"operating point: expected a measured FMR of at most {self.fmr:g}, found {self.fmr_measured}"
            )
        for name, share in (("pooled FNMR", self.fnmr_pooled), ("measured FNMR", self.measured_fnmr)):
            if share is not None and not 0 <= share <= 1:
                raise ModelCardError(f"operating point: expected a {name} in 0..1, found {share}")
        measured = self.measured_threshold
        if measured is not None and not -1 <= measured <= self.threshold:
            raise ModelCardError(
                f"operating point: expected a measured threshold in -1..{self.threshold:g}, found {measured}"
            )
        if self.fmr_confidence is not None:
            self._check_claim(self.fmr_confidence)

    def _check_claim(self, confidence: float) -> None:
        """Check that the evidence of the FMR's upper limit is present and sufficient."""
        if not 0 < confidence < 1:
            raise ModelCardError(
                f"operating point: expected a confidence above 0 and under 1, found {confidence}"
            )
        effective, pairs = self.effective_comparisons, self.subjects * (self.subjects - 1) // 2
        least = 3 / self.fmr * (1 - 1e-12)
        if effective is None or not least <= effective <= self.non_mated_trials or pairs < least:
            raise ModelCardError(
                f"operating point: a claim at FMR {self.fmr:g} needs {math.ceil(least)} pairs of subjects and as many"
                f" effective comparisons, found {self.subjects} subjects, which are {pairs} pairs, and {effective}"
                f" effective comparisons of {self.non_mated_trials}"
            )
        if self.fmr_interval is None:
            raise ModelCardError(
                f"operating point: expected an FMR interval for a claim at FMR {self.fmr:g}, found none"
            )

    @property
    def fmr_limit(self) -> float:
        """FMR that the evidence limits, 0..1: ``fmr``, or the end of the FMR's interval if the earlier rule claimed less."""
        if self.fmr_confidence is not None or self.fmr_interval is None:
            return self.fmr
        return max(self.fmr, self.fmr_interval[1])

    def describe(self) -> str:
        """Describe the claim in one line, such as ``FMR 0.001 with 95 % confidence: threshold 0.5000, FNMR 1.20 %``."""
        rates = f"threshold {self.threshold:.4f}, FNMR {100 * self.fnmr:.2f} %"
        if self.fmr_confidence is None:
            return f"FMR {self.fmr:g}, claimed by the earlier rule: {rates}"
        return f"FMR {self.fmr:g} with {100 * self.fmr_confidence:g} % confidence: {rates}, {self.subjects} subjects"

    def fpir(self, references: int) -> float:
        """Compute the false positive identification rate of a search over N references: 1 - (1 - FMR)^N, with `fmr_limit`.

        The comparisons are assumed to be independent (ISO/IEC 19795-1).

        Args:
            references: N, number of templates searched, 0 or more.

        Raises:
            ModelCardError: N is negative.
        """
        return _fpir(self.fmr_limit, references)

    def fpir_interval(self, references: int) -> tuple[float, float] | None:
        """Compute the FPIR of a search over N references at both ends of the FMR's confidence interval.

        An FMR measured from few false matches is uncertain for other people; the upper end shows how much higher it
        may be.

        Args:
            references: N, number of templates searched, 0 or more.

        Returns:
            FPIR (low, high), or None if the FMR's interval was not measured.

        Raises:
            ModelCardError: N is negative.
        """
        if self.fmr_interval is None:
            return None
        low, high = self.fmr_interval
        return _fpir(low, references), _fpir(high, references)

    @classmethod
    def for_identification(
        cls, points: Sequence[OperatingPoint], *, fpir: float, references: int
    ) -> OperatingPoint:
        """Choose the point with the greatest FMR at which a search over N references keeps the allowed FPIR.

        A search makes N comparisons, so the limit of each one's FMR (`fmr_limit`) may be 1 - (1 - FPIR)^(1/N).

        Args:
            points: Operating points of one model card.
            fpir: Allowed rate of searches that return a subject for a person who is not enrolled, above 0 and
                under 1.
            references: N, number of templates searched, 1 or more.

        Raises:
            ModelCardError: A value is outside its range, or no point is strict enough; the message states the
                evidence that is needed.
        """
        if not 0 < fpir < 1 or references < 1:
            raise ModelCardError(
                f"expected FPIR above 0 and under 1 and 1 or more references, found {fpir} and {references}"
            )
        max_fmr = fmr_for_fpir(fpir, references)
        fitting = [point for point in points if point.fmr_limit <= max_fmr]
        if max_fmr < _LEAST_FMR:
            raise ModelCardError(
                f"an FPIR of {fpir:g} over {references} references needs an FMR of {max_fmr:.3g}"
                f" or less, but a card can claim no FMR below {_LEAST_FMR:g}",
                hint="choose a greater FPIR",
            )
        if not fitting:
            limits = sorted(point.fmr_limit for point in points)
            known = ", ".join(f"{limit:g}" for limit in limits) or "none"
            raise ModelCardError(
                f"an FPIR of {fpir:g} over {references} references needs an operating point at FMR {max_fmr:.3g}"
                f" or less, found {known}",
                hint=f"measure one with edge-convert evaluate --write-card --fmr {_round_down(max_fmr):g} and"
                f" {subjects_needed(_round_down(max_fmr))} or more subjects",
            )
        return max(fitting, key=lambda point: (point.fmr_limit, -point.threshold))

    @classmethod
    def for_comparison(cls, points: Sequence[OperatingPoint], *, fmr: float) -> OperatingPoint:
        """Return the operating point that is claimed for an FMR.

        Args:
            points: Operating points of one model card.
            fmr: False match rate per comparison; it must equal the FMR of a point within a relative difference of 1e-5.

        Raises:
            ModelCardError: There is no operating point, or none for this FMR.
        """
        if not points:
            raise ModelCardError(
                "the model card has no operating point, so no threshold is known",
                hint="measure one with edge-convert evaluate --write-card, or give a threshold",
            )
        for point in points:
            if math.isclose(point.fmr, fmr, rel_tol=1e-5):
                return point
        rates = ", ".join(f"{point.fmr:g}" for point in sorted(points, key=lambda point: point.fmr))
        raise ModelCardError(f"expected an FMR that the card has evidence for ({rates}), found {fmr:g}")

    @classmethod
    def for_captures(cls, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """Choose the operating point for comparing the captures of one enrolment with each other.

        Args:
            points: Operating points of one model card.

        Returns:
            The point with the greatest FMR up to 1e-2; None if every point has a greater FMR.
        """
        fitting = [point for point in points if point.fmr <= _CAPTURES_FMR]
        return max(fitting, key=lambda point: point.fmr, default=None)

    def to_json(self) -> dict[str, Any]:
        """Convert the operating point to JSON values; fields that an earlier version did not know are absent if not set."""
        value = asdict(self)
        unset = [name for name in _LATER_FIELDS if value[name] is None]
        unset += ["subjects"] * (self.subjects == 0)
        return {name: item for name, item in value.items() if name not in unset}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OperatingPoint:
        """Read an operating point from a card's JSON.

        Raises:
            ModelCardError: A field is missing or malformed, or the evidence does not support the claim.
        """
        point = JsonFields(value, "operating point")
        return cls(
            threshold=point.read("threshold", float),
            fmr=point.read("fmr", float),
            fnmr=point.read("fnmr", float),
            mated_trials=point.read("mated_trials", int),
            non_mated_trials=point.read("non_mated_trials", int),
            data_set=point.read("data_set", str, ""),
            data_set_sha256=point.read("data_set_sha256", str, ""),
            fnmr_interval=point.optional("fnmr_interval", _interval),
            fmr_interval=point.optional("fmr_interval", _interval),
            fmr_measured=point.optional("fmr_measured", float),
            runtime=point.read("runtime", str, ""),
            kernels=point.read("kernels", str, ""),
            subjects=point.read("subjects", int, 0),
            fmr_confidence=point.optional("fmr_confidence", float),
            effective_comparisons=point.optional("effective_comparisons", float),
            fnmr_pooled=point.optional("fnmr_pooled", float),
            measured_threshold=point.optional("measured_threshold", float),
            measured_fnmr=point.optional("measured_fnmr", float),
        )


def fmr_for_fpir(fpir: float, references: int) -> float:
    """Compute the FMR per comparison that gives an FPIR over N references: 1 - (1 - FPIR)^(1/N).

    Args:
        fpir: 0 or more and under 1.
        references: N, 1 or more.
    """
    return -math.expm1(math.log1p(-fpir) / references)


def subjects_needed(fmr: float) -> int:
    """Compute the least number of subjects S that a claim at an FMR needs: S (S - 1) / 2 >= 3 / fmr.

    The number is enough only if no false match occurs and comparisons that share a subject are independent.

    Args:
        fmr: Above 0 and at most 1.
    """
    return math.ceil((1 + math.sqrt(1 + 24 / fmr)) / 2 - 1e-9)


def _fpir(fmr: float, references: int) -> float:
    if references < 0:
        raise ModelCardError(f"expected 0 or more references, found {references}")
    if fmr == 1:
        return 1.0 if references else 0.0
    return -math.expm1(references * math.log1p(-fmr))


def _interval(value: Any) -> tuple[float, float]:
    bounds = [float(bound) for bound in value]
    if len(bounds) != 2:
        raise ModelCardError(f"operating point: expected an interval [low, high], found {value!r}")
    return bounds[0], bounds[1]


def _round_down(rate: float) -> float:
    """Round down to two significant digits, for a rate that can be typed."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    digits = math.floor(rate / step)
    rounded = float(f"{digits * step:.2g}")
    return rounded if rounded <= rate else float(f"{(digits - 1) * step:.2g}")
