"""Phrases for measured evidence: intervals, numbers of comparisons, claims that the data do not support."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.difference_evidence import SmoothedDifference
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.verification_evidence import VerificationEvidence
from converters.evaluate.runner.identity import ArtefactIdentity
from converters.number_format import NBSP, percent, rate, scientific, signed

# Lower ends of intervals below 0.005 %, or below this share of the upper end, are written as 0.
_LEAST_SHOWN = 5e-5


def sentence(text: str) -> str:
    """Write a phrase as a sentence: a full stop at the end, a capital at the start unless it starts with a file name."""
    first = text.split(" ", 1)[0]
    return f"{text if '.' in first or '_' in first else text[:1].upper() + text[1:]}."


def trials(evidence: VerificationEvidence) -> str:
    """State the number of mated and non-mated comparisons."""
    return f"{evidence.mated_trials:,} mated and {evidence.non_mated_trials:,} non-mated comparisons"


def interval(bounds: Interval | Unsupported | None, *, as_points: bool = False) -> str:
    """Describe the interval of a share in percent, or of a difference of shares in percentage points."""
    if bounds is None:
        return "no interval requested"
    if isinstance(bounds, Unsupported):
        return f"no interval: {bounds.reason}"
    if as_points:
        return f"{_confidence(bounds)} {signed(100 * bounds.low, 2)} to {signed(100 * bounds.high, 2)}"
    high = percent(bounds.high)
    low = "0.00" if bounds.low < _LEAST_SHOWN <= bounds.high else percent(bounds.low).removesuffix(NBSP + "%")
    return f"{_confidence(bounds)} {low} to {high}"


def fmr_range(row: SmoothedDifference) -> str:
    """State the range of FMR of a smoothed difference, such as ``FMR 10⁻⁴ to 10⁻²``."""
    low, high = rate(row.lowest_fmr), rate(row.highest_fmr)
    return f"FMR {low}" if low == high else f"FMR {low} to {high}"


def rate_interval(bounds: Interval | Unsupported | None) -> str:
    """Describe the interval of an error rate, with powers of ten if it is below 1 %."""
    if not isinstance(bounds, Interval) or bounds.high >= 0.00995 or bounds.low <= 0:
        return interval(bounds)
    low = "0" if bounds.low < _LEAST_SHOWN * bounds.high else scientific(bounds.low)
    return f"{_confidence(bounds)} {low} to {scientific(bounds.high)}"


def _confidence(bounds: Interval) -> str:
    return f"{100 * bounds.confidence:g}{NBSP}% interval"


def claimed_rate(gap: Unsupported) -> float:
    """Read the rate of an unsupported claim, such as `claim at FMR 0.001`; 0 if it has none."""
    try:
        return float(gap.claim.rsplit(" ", 1)[-1])
    except ValueError:
        return 0.0


def needed(gap: Unsupported) -> str:
    """State the amount of data that an unsupported claim needs."""
    return f"{gap.reason[:1].upper()}{gap.reason[1:]}."


def distinct_labels(artefacts: Sequence[ArtefactIdentity]) -> list[str]:
    """Choose short labels for figures: precisions if distinct, otherwise file names, kernels, or both."""
    precisions = ["float" if a.precision == "float32" else a.precision for a in artefacts]
    files = [a.file for a in artefacts]
    kernels = [a.kernels for a in artefacts]
    both = [f"{a.file}, {a.kernels}" for a in artefacts]
    return next((labels for labels in (precisions, files, kernels) if len(set(labels)) == len(labels)), both)
