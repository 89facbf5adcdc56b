"""Evaluate open-set identification, 1:N, on one data set, and format it for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported
from converters.evaluate.metrics.generalized_rates import (
    AcquiredIdentification,
    acquired_identification,
    failed_strangers,
)
from converters.evaluate.metrics.identification import fmr_for_fpir, point_at_fpir, rank_shares
from converters.evaluate.metrics.identification_evidence import (
    IdentificationPoint,
    MeasuredIdentification,
    RankShare,
)
from converters.evaluate.metrics.protocols import OpenSetList, search_open_set
from converters.evaluate.metrics.verification_evidence import AcquisitionEvidence
from converters.evaluate.runner.generalized_text import searches_with_failures_lines
from converters.evaluate.runner.text import claimed_lines, interval, share, table_lines
from converters.number_format import count, fixed_percent, wrapped

RANKS = (1, 5, 10, 20)
#: Note below the table of 1:N points.
ONE_SIDED_FPIR = (
    "A claim is a one-sided 95 % limit; the interval of FPIR beside it is two-sided, so its upper end may lie slightly"
    " above the claim."
)


@dataclass(frozen=True)
class IdentificationEvidence(Evidence):
    """Open-set 1:N identification on one data set.

    Attributes:
        protocol: Selection of enrolled samples and probes, one line.
        references, subjects: Numbers of templates and subjects in the gallery.
        strangers: Number of subjects among the non-mated probes.
        mated_probes, non_mated_probes: Numbers of searches, including failures to acquire.
        lost: Samples that could not be enrolled or searched.
        points: One row per requested FPIR.
        ranks: Share of mated probes whose subject is among the first k, closed set; `Unsupported` without mated probes.
        fmr_needed: (FPIR, FMR per comparison that gives this FPIR over `references`).
        with_failures: FNIR and FPIR with and without failures to acquire and to enrol, per point.
    """

    protocol: str
    references: int
    subjects: int
    strangers: int
    mated_probes: int
    non_mated_probes: int
    lost: AcquisitionEvidence
    points: tuple[IdentificationPoint | Unsupported, ...]
    ranks: tuple[RankShare, ...] | Unsupported
    fmr_needed: tuple[tuple[float, float], ...]
    with_failures: tuple[AcquiredIdentification, ...] = ()


def identification_of(
    embedded: EmbeddedSamples, open_set: OpenSetList, *, name: str, fpirs: Sequence[float], rank: int = 1
) -> IdentificationEvidence:
    """Compute the open-set 1:N figures of one artefact.

    Args:
        embedded: The samples.
        open_set: Enrolled samples and probes.
        name: Origin of the list, one line.
        fpirs: FPIRs of the points, each above 0 and under 1.
        rank: Length of the candidate list, >= 1.

    Raises:
        InputError: No listed sample can be enrolled.
    """
    scores, lost = search_open_set(open_set, embedded)
    points = tuple(point_at_fpir(scores, fpir, rank=rank) for fpir in fpirs)
    return IdentificationEvidence(
        protocol=name,
        references=scores.references,
        subjects=scores.subjects,
        strangers=scores.stranger_count,
        mated_probes=int(scores.mated_scores.size),
        non_mated_probes=int(scores.non_mated_tops.size),
        lost=lost,
        points=points,
        ranks=rank_shares(scores, [k for k in RANKS if k <= scores.subjects]),
        fmr_needed=tuple((fpir, fmr_for_fpir(fpir, references=scores.references)) for fpir in fpirs),
        with_failures=acquired_identification(
            points, failures=scores.failures, failed_strangers=failed_strangers(open_set, embedded)
        ),
    )


def identification_lines(evidence: IdentificationEvidence) -> list[str]:
    """Format the 1:N figures of one artefact."""
    lines = wrapped(
        f"1:N, {evidence.protocol}: {count(evidence.references, 'reference')} of {count(evidence.subjects, 'subject')},"
        f" {evidence.mated_probes:,} mated and {count(evidence.non_mated_probes, 'non-mated probe')}"
        f" of {count(evidence.strangers, 'stranger')}"
    )
    if evidence.lost.failures:
        lines.append(
            f"not enrolled or not searched: {evidence.lost.failures} of {evidence.lost.attempts} samples"
        )
    lines += identification_point_lines(evidence.points)
    lines += searches_with_failures_lines(evidence.with_failures)
    if isinstance(evidence.ranks, Unsupported):
        lines.append(f"ranks not stated: {evidence.ranks.reason}")
    else:
        lines += table_lines(
            f"{'rank k':>8}  {'share':>9}  {'95 % interval':<14}  all probes",
            evidence.ranks,
            lambda row: (
                f"{row.rank:>8}  {fixed_percent(row.share):>9}  {interval(row.interval):<14}  {fixed_percent(row.pooled)}"
            ),
        )
    lines += [
        f"FPIR {fpir:g} over {evidence.references} references needs FMR {fmr:.2g} or less per comparison"
        for fpir, fmr in evidence.fmr_needed
    ]
    return lines


def identification_point_lines(points: Sequence[IdentificationPoint | Unsupported]) -> list[str]:
    """Format the points of an open-set search: the claim, then the measured point; below them the refusals of claims."""
    columns = f"{'threshold':>9}  {'FNIR':>9}  {'95 % interval':<14}  {'interval of FPIR':<16}"
    heading = [
        f"{'':>8}  {'claim: FPIR at most this, with 95 % confidence':<54}  measured at this FPIR",
        f"{'FPIR':>8}  {columns}  {columns.rstrip()}",
    ]

    def line(point: IdentificationPoint) -> str:
        claim = _columns(point) if point.claim else f"{'no claim':>9}  {'':>9}  {'':<14}  {'':<16}"
        return f"{point.target_fpir:>8g}  {claim}  {_columns(point.measured).rstrip()}"

    measured = [point for point in points if isinstance(point, IdentificationPoint)]
    notes = wrapped(ONE_SIDED_FPIR) if any(point.claim for point in measured) else []
    pooled = [
        f"{p.target_fpir:g}: {fixed_percent(p.fnir_pooled)}" for p in measured if p.fnir_pooled is not None
    ]
    if pooled:
        notes += wrapped(f"FNIR is the mean over subjects; over all mated probes, FPIR {', '.join(pooled)}")
    return [*claimed_lines(heading, points, line), *notes]


def _columns(point: IdentificationPoint | MeasuredIdentification) -> str:
    fpir = f"{interval(point.fpir_interval)} %" if isinstance(point.fpir_interval, Interval) else "-"
    return f"{point.threshold:>9.4f}  {share(point.fnir):>9}  {_bounds(point.fnir_interval):<14}  {fpir:<16}"


def _bounds(bounds: Interval | Unsupported | None) -> str:
    return interval(bounds) if isinstance(bounds, Interval) else "-"
