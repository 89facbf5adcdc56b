"""Evidence as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, get_args

from converters.evaluate.metrics.evidence import (
    AcquisitionEvidence,
    IdentificationPoint,
    Interval,
    OperatingPointEvidence,
    PairedDifference,
    ThresholdDrift,
    Unsupported,
    VerificationEvidence,
)
from converters.number_format import fixed_percent, percent_range
from edge_sdk.runtime.backends.litert import Kernels

_Row = TypeVar("_Row")


def measured_with(kernels: str, runtime: str) -> str:
    """What ran a network, in words: ``reference kernels of ai-edge-litert 2.3.0``, ``npu.so in ai-edge-litert 2.3.0``."""
    return f"{kernels} kernels of {runtime}" if kernels in get_args(Kernels) else f"{kernels} in {runtime}"


def interval(found: Interval | Unsupported | None, *, signed: bool = False) -> str:
    """``97.10 .. 98.90`` in percent, or why there is none."""
    if found is None:
        return "-"
    if isinstance(found, Unsupported):
        return f"none: {found.reason}"
    return percent_range(found.low, found.high, plus=signed)


def verification_lines(found: VerificationEvidence) -> list[str]:
    """Figures of one artefact, 1:1."""
    lines = [
        f"{found.data_set}: {found.images} images of {found.subjects} subjects, {found.protocol.split(',')[0]}",
        f"{found.mated_trials:,} mated and {found.non_mated_trials:,} non-mated comparisons",
        *acquisition_lines("failures to acquire", "images", found.acquisition),
        *acquisition_lines("comparisons lost", "listed", found.comparisons_lost),
        "",
        *point_lines(found.points),
        "",
    ]
    rest = []
    if isinstance(found.eer, Unsupported):
        rest.append(f"EER not stated: {found.eer.reason}")
    else:
        rest.append(f"EER {fixed_percent(found.eer.rate)} at {found.eer.threshold:.4f}")
    if isinstance(found.d_prime, Unsupported):
        rest.append(f"d-prime not stated: {found.d_prime.reason}")
    else:
        rest.append(f"d-prime {found.d_prime:.2f}")
    if isinstance(found.accuracy, tuple):
        share, threshold = found.accuracy
        rest.append(
            f"best accuracy {fixed_percent(share)} at {threshold:.4f} (chosen on these pairs, so it flatters)"
        )
    return [*lines, *rest]


def acquisition_lines(what: str, of: str, found: AcquisitionEvidence) -> list[str]:
    """Failures to acquire; nothing where there was no attempt."""
    if not found.attempts:
        return []
    line = f"{what}: {found.failures} of {found.attempts} {of}"
    return [line, *(f"  {name}" for name in found.first_names)]


def point_lines(points: Sequence[OperatingPointEvidence | Unsupported]) -> list[str]:
    """One line for each operating point."""

    def line(point: OperatingPointEvidence) -> str:
        tar = "-" if point.tar is None else fixed_percent(point.tar)
        return (
            f"{point.target_fmr:>8g}  {tar:>9}  {interval(point.tar_interval):<17}"
            f"  {point.threshold:>9.4f}  {point.false_matches}"
        )

    return _table(
        f"{'FMR':>8}  {'TAR':>9}  {'95 % interval':<17}  {'threshold':>9}  false matches", points, line
    )


def identification_lines(points: Iterable[IdentificationPoint | Unsupported]) -> list[str]:
    """One line for each point of an open-set search."""

    def line(point: IdentificationPoint) -> str:
        fnir = "-" if point.fnir is None else fixed_percent(point.fnir)
        return f"{point.target_fpir:>8g}  {fnir:>9}  {point.threshold:>9.4f}  {fixed_percent(point.fpir)}"

    return _table(f"{'FPIR':>8}  {'FNIR':>9}  {'threshold':>9}  measured FPIR", points, line)


def difference_lines(rows: Sequence[PairedDifference | Unsupported]) -> list[str]:
    """One line for each FMR: both TARs, the difference and its own interval."""

    def line(row: PairedDifference) -> str:
        return (
            f"{row.target_fmr:>8g}  {fixed_percent(row.baseline_tar):>9}  {fixed_percent(row.candidate_tar):>9}"
            f"  {100 * row.difference:>+10.2f}  {interval(row.interval, signed=True)}"
        )

    head = f"{'FMR':>8}  {'float':>9}  {'this':>9}  {'difference':>10}  95 % interval of the difference"
    return _table(head, rows, line)


def _table(head: str, rows: Iterable[_Row | Unsupported], line: Callable[[_Row], str]) -> list[str]:
    """A heading and a line for each row; a row that the data cannot support says so in its place."""
    return [
        head,
        *(f"  not supported: {row.reason}" if isinstance(row, Unsupported) else line(row) for row in rows),
    ]


def drift_lines(rows: Sequence[ThresholdDrift | Unsupported]) -> list[str]:
    """One line for each FMR: both thresholds, and what the old one would do to the candidate."""
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
