"""Results of open-set identification, 1:N."""

from __future__ import annotations

from dataclasses import dataclass

from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported


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
