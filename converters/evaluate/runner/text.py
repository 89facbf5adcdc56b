"""Format evidence as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, get_args

from converters.evaluate.metrics.difference_evidence import ThresholdDrift
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.identification_evidence import IdentificationPoint
from converters.evaluate.metrics.verification_evidence import (
    AcquisitionEvidence,
    OperatingPointEvidence,
    VerificationEvidence,
)
from converters.number_format import fixed_percent, percent_range, wrapped
from edge_sdk.runtime.backends.litert import Kernels

_Row = TypeVar("_Row")
_Point = TypeVar("_Point", OperatingPointEvidence, IdentificationPoint)

#: Note below the table of operating points.
ONE_SIDED_FMR = "A claim is a one-sided 95 % limit of the FMR; the intervals of TAR are two-sided."


def measured_with(kernels: str, runtime: str) -> str:
    """Format kernels and runtime, such as ``reference kernels of ai-edge-litert 2.3.0`` or ``npu.so in ai-edge-litert 2.3.0``."""
    return f"{kernels} kernels of {runtime}" if kernels in get_args(Kernels) else f"{kernels} in {runtime}"


def interval(bounds: Interval | Unsupported | None, *, signed: bool = False) -> str:
    """Format an interval in percent, such as ``97.10 .. 98.90``, or the reason for its absence."""
    if bounds is None:
        return "-"
    if isinstance(bounds, Unsupported):
        return f"none: {bounds.reason}"
    return percent_range(bounds.low, bounds.high, plus=signed)


def verification_lines(evidence: VerificationEvidence) -> list[str]:
    """Format the 1:1 figures of one artefact."""
    lines = [
        f"{evidence.data_set}: {evidence.images} images of {evidence.subjects} subjects, {evidence.protocol.split(',')[0]}",
        f"{evidence.mated_trials:,} mated and {evidence.non_mated_trials:,} non-mated comparisons",
        *acquisition_lines("failures to acquire", "images", evidence.acquisition),
        *acquisition_lines("comparisons lost", "listed", evidence.comparisons_lost),
        "",
        *point_lines(evidence.points),
        "",
    ]
    rest = []
    if isinstance(evidence.eer, Unsupported):
        rest.append(f"EER not stated: {evidence.eer.reason}")
    else:
        rest.append(f"EER {fixed_percent(evidence.eer.rate)} at {evidence.eer.threshold:.4f}")
    if isinstance(evidence.d_prime, Unsupported):
        rest.append(f"d-prime not stated: {evidence.d_prime.reason}")
    else:
        rest.append(f"d-prime {evidence.d_prime:.2f}")
    if isinstance(evidence.accuracy, tuple):
        accuracy, threshold = evidence.accuracy
        rest.append(
            f"best accuracy {fixed_percent(accuracy)} at {threshold:.4f} (chosen on these pairs, so it is optimistic)"
        )
    return [*lines, *rest]


def acquisition_lines(title: str, unit: str, evidence: AcquisitionEvidence) -> list[str]:
    """Format failures to acquire; no line without attempts."""
    if not evidence.attempts:
        return []
    line = f"{title}: {evidence.failures} of {evidence.attempts} {unit}"
    return [line, *(f"  {name}" for name in evidence.first_names)]


def point_lines(points: Sequence[OperatingPointEvidence | Unsupported]) -> list[str]:
    """Format operating points, one line each: the claim, then the measured point; below them the refusals of claims."""
    columns = f"{'threshold':>9}  {'TAR':>9}  {'95 % interval':<14}"
    heading = [
        f"{'':>8}  {'claim: FMR at most this, with 95 % confidence':<51}  measured at this FMR",
        f"{'FMR':>8}  {columns}  {'false matches':<13}  {columns.rstrip()}",
    ]

    def line(point: OperatingPointEvidence) -> str:
        measured = point.measured
        claim = f"{'no claim':>9}  {'':>9}  {'':<14}  {'':<13}"
        if point.claim:
            claim = f"{point.threshold:>9.4f}  {share(point.tar):>9}  {tar_interval(point):<14}  {point.false_matches:<13}"
        return (
            f"{point.target_fmr:>8g}  {claim}  {measured.threshold:>9.4f}  {share(measured.tar):>9}"
            f"  {interval(measured.tar_interval)}"
        )

    pooled = [
        (p, f"{p.target_fmr:g}: {fixed_percent(1.0 - p.fnmr_pooled)}")
        for p in points
        if isinstance(p, OperatingPointEvidence) and p.fnmr_pooled is not None
    ]
    notes = [ONE_SIDED_FMR] if any(p.claim for p, _ in pooled) else []
    if pooled:
        rows = ", ".join(row for _, row in pooled)
        notes += wrapped(f"TAR is the mean over subjects; over all mated comparisons, FMR {rows}")
    return [*claimed_lines(heading, points, line), *notes]


def claimed_lines(
    heading: Sequence[str], points: Sequence[_Point | Unsupported], line: Callable[[_Point], str]
) -> list[str]:
    """Format points with claims: heading and one line per point, then the refusals of points and of claims."""
    lines: list[str] = []
    refusals: list[str] = []
    for point in points:
        if isinstance(point, Unsupported):
            refusals += refusal_lines(point)
            continue
        lines.append(line(point))
        if isinstance(point.claim, Unsupported):
            refusals += refusal_lines(point.claim)
    return [*(heading if lines else []), *lines, *refusals]


def refusal_lines(refusal: Unsupported) -> list[str]:
    """Format the reason why the data support no claim, such as ``no claim: FMR 0.0001 needs at least 246 subjects, found 160``."""
    return wrapped(f"no claim: {refusal.reason}", indent="  ")


def tar_interval(point: OperatingPointEvidence) -> str:
    """Format the interval of TAR at the threshold of the claim."""
    bounds = point.fnmr_interval
    return interval(bounds.complement() if isinstance(bounds, Interval) else bounds)


def share(value: float | None) -> str:
    """Format a share in percent; a dash if it is not known."""
    return "-" if value is None else fixed_percent(value)


def table_lines(heading: str, rows: Iterable[_Row | Unsupported], line: Callable[[_Row], str]) -> list[str]:
    """Format a heading and one line per row; an unsupported row becomes a line with its reason."""
    lines = [heading]
    for row in rows:
        lines += refusal_lines(row) if isinstance(row, Unsupported) else [line(row)]
    return lines


def drift_lines(rows: Sequence[ThresholdDrift | Unsupported]) -> list[str]:
    """Format drifts, one line per FMR: both thresholds, and the candidate's FMR at the baseline's threshold."""
    lines = [
        f"{'FMR':>8}  {'float at':>9}  {'this at':>9}  {'FMR at the float threshold':<27}  flipped decisions"
    ]
    for row in rows:
        if isinstance(row, Unsupported):
            continue
        own = row.own
        flips = own.mated_lost + own.mated_won + own.non_mated_lost + own.non_mated_won
        lines.append(
            f"{row.target_fmr:>8g}  {row.baseline_threshold:>9.4f}  {row.candidate_threshold:>9.4f}"
            f"  {row.fmr_at_baseline_threshold:<27.2e}  {flips}, {own.mated_lost + own.non_mated_lost} to the worse"
        )
    return lines if len(lines) > 1 else []
