"""Format error rates that count failures to acquire as lines for a terminal."""

from __future__ import annotations

from converters.evaluate.metrics.evidence import VerificationEvidence
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
