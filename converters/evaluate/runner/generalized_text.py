"""Format error rates that count failures to acquire as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.generalized_rates import AcquiredIdentification
from converters.evaluate.metrics.verification_evidence import VerificationEvidence
from converters.evaluate.runner.text import interval
from converters.number_format import fixed_percent


def generalized_lines(evidence: VerificationEvidence) -> list[str]:
    """Format FRR and FAR per operating point; no line if every image was acquired, because FRR is then FNMR."""
    rows = evidence.generalized
    if not rows or not evidence.acquisition.failures:
        return []
    return [
        f"with failures to acquire counted (FTA {fixed_percent(rows[0].fta)}): FRR = FTA + (1 - FTA) FNMR,"
        " FAR = (1 - FTA) FMR",
        f"{'FMR':>8}  {'FNMR':>9}  {'FRR':>9}  {'95 % interval':<17}  FAR",
        *(
            f"{row.target_fmr:>8g}  {fixed_percent(row.fnmr):>9}  {fixed_percent(row.frr):>9}"
            f"  {interval(row.frr_interval):<17}  {row.far:.2e}"
            for row in rows
        ),
    ]


def searches_with_failures_lines(rows: Sequence[AcquiredIdentification]) -> list[str]:
    """Format FNIR and FPIR with and without failures per point; no line if no search failed."""
    lines = []
    for row in rows:
        parts = []
        if row.fta and row.fnir is not None and row.fnir_acquired is not None:
            parts.append(
                f"FNIR {fixed_percent(row.fnir)} of all mated probes with failures (FTA {fixed_percent(row.fta)}),"
                f" {fixed_percent(row.fnir_acquired)} without"
            )
        if row.stranger_fta:
            parts.append(
                f"FPIR {fixed_percent(row.fpir)} with failures (FTA {fixed_percent(row.stranger_fta)}),"
                f" {fixed_percent(row.fpir_acquired)} without"
            )
        if parts:
            lines.append(f"  at FPIR {row.target_fpir:g}: {'; '.join(parts)}")
    return lines
