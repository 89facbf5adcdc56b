"""Format evidence as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, get_args

from converters.evaluate.metrics.difference_evidence import ThresholdDrift
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.verification_evidence import (
    AcquisitionEvidence,
    OperatingPointEvidence,
    VerificationEvidence,
)
from converters.number_format import fixed_percent, percent_range, wrapped
from edge_sdk.runtime.backends.litert import Kernels

_Row = TypeVar("_Row")

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
        share, threshold = evidence.accuracy
        rest.append(
            f"best accuracy {fixed_percent(share)} at {threshold:.4f} (chosen on these pairs, so it is optimistic)"
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
    lines, refusals = [], []
    for point in points:
        if isinstance(point, Unsupported):
            refusals += refusal_lines(point)
            continue
        measured = point.measured
        if isinstance(point.claim, Unsupported):
            claim = f"{'no claim':>9}  {'':>9}  {'':<14}  {'':<13}"
            refusals += refusal_lines(point.claim)
        else:
            claim = f"{point.threshold:>9.4f}  {_share(point.tar):>9}  {tar_interval(point):<14}  {point.false_matches:<13}"
        lines.append(
            f"{point.target_fmr:>8g}  {claim}  {measured.threshold:>9.4f}  {_share(measured.tar):>9}"
            f"  {interval(measured.tar_interval)}"
        )
    pooled = [p for p in points if isinstance(p, OperatingPointEvidence) and p.fnmr_pooled is not None]
    rows = [
        f"{p.target_fmr:g}: {fixed_percent(1.0 - p.fnmr_pooled)}" for p in pooled if p.fnmr_pooled is not None
    ]
    notes = [ONE_SIDED_FMR] if any(not isinstance(p.claim, Unsupported) for p in pooled) else []
    if rows:
        notes += wrapped(f"TAR is the mean over subjects; over all mated comparisons, FMR {', '.join(rows)}")
    return [*(heading if lines else []), *lines, *refusals, *notes]


def refusal_lines(refusal: Unsupported) -> list[str]:
    """Format the reason why the data support no claim, such as ``no claim: FMR 0.0001 needs at least 246 subjects, found 160``."""
    return wrapped(f"no claim: {refusal.reason}", indent="  ")


def tar_interval(point: OperatingPointEvidence) -> str:
    """Format the interval of TAR at the threshold of the claim."""
    bounds = point.fnmr_interval
    if not isinstance(bounds, Interval):
        return interval(bounds)
    return percent_range(1.0 - bounds.high, 1.0 - bounds.low)


def _share(value: float | None) -> str:
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
