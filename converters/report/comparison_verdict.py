"""Whether a candidate is as good as the float file, as far as the data can tell."""

from __future__ import annotations

from typing import TypeAlias

from converters import number_format
from converters.evaluate.metrics.evidence import Interval, PairedDifference
from converters.evaluate.runner.compare import CandidateComparison, ComparisonResult
from converters.report import words
from converters.report.plots import MARGIN
from converters.results import ReportVerdict

_SEVERITY = ("bad", "caution", "open", "good")
# A rate that fewer false matches decide moves with a handful of pairs.
_STEADY_FALSE_MATCHES = 100

_Row: TypeAlias = tuple[PairedDifference, Interval]


def verdicts(comparison: ComparisonResult) -> list[ReportVerdict]:
    """One per candidate, the gravest first."""
    found = [_verdict(candidate, comparison) for candidate in comparison.candidates]
    return sorted(found, key=lambda verdict: _SEVERITY.index(verdict.level))


def _verdict(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
    rows = [
        (row, row.interval)
        for row in candidate.differences
        if isinstance(row, PairedDifference) and isinstance(row.interval, Interval)
    ]
    if not rows:
        return _without_error_rates(candidate, comparison)
    rows.sort(key=lambda pair: -pair[0].target_fmr)
    if candidate.artefact.same_file_as(comparison.baseline):
        file, first = f"the file with {candidate.artefact.kernels} is", f"with {comparison.baseline.kernels}"
    else:
        file, first = f"the {candidate.artefact.precision} file is", "float"
    margin = f"as good as {first} within {100 * MARGIN:g} percentage point of TAR"
    worse = [pair for pair in rows if pair[1].high < -MARGIN]
    if worse:
        row, bounds = min(_steady(worse, comparison) or worse, key=lambda pair: pair[1].low)
        sentence = (
            f"{file} worse than {first}: at FMR {number_format.rate(row.target_fmr)} it accepts"
            f" {number_format.percent(row.candidate_tar)} of mated comparisons, {first} {number_format.percent(row.baseline_tar)}"
        )
        return ReportVerdict("bad", sentence, _basis(candidate, comparison, (row, bounds)))
    proven = _proven(rows)
    if not proven:
        least = min(rows, key=lambda pair: pair[1].low)
        return ReportVerdict(
            "caution", f"{file} not shown to be {margin}", _basis(candidate, comparison, least)
        )
    if len(proven) == len(rows):
        least = min(rows, key=lambda pair: pair[1].low)
        sentence = f"{file} {margin}, at every FMR that the data can support"
        return ReportVerdict("good", sentence, _basis(candidate, comparison, least))
    lowest, open_row = proven[-1], rows[len(proven)]
    steady = len(_steady(rows[len(proven) :], comparison)) == 0
    sentence = (
        f"{file} {margin} down to FMR {number_format.rate(lowest[0].target_fmr)}; below, it is not shown"
    )
    return ReportVerdict(
        "good" if steady else "caution", sentence, _basis(candidate, comparison, lowest, open_row)
    )


def _without_error_rates(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
    basis = (
        f"{candidate.artefact.file} keeps a mean cosine of {number_format.cosine(candidate.cosine_mean)} (least"
        f" {number_format.cosine(candidate.cosine_min)}) to {comparison.baseline.file} on"
        f" {number_format.count(comparison.images, 'image')}"
    )
    return ReportVerdict(
        "open", "the data cannot say what the file loses: it takes two images each of ten subjects", basis
    )


def _proven(rows: list[_Row]) -> list[_Row]:
    """The rows, from the highest FMR down, until one whose interval reaches beyond the margin."""
    for place, (_, bounds) in enumerate(rows):
        if bounds.low < -MARGIN:
            return rows[:place]
    return rows


def _steady(rows: list[_Row], comparison: ComparisonResult) -> list[_Row]:
    trials = 0 if comparison.verification is None else comparison.verification.non_mated_trials
    return [row for row in rows if round(row[0].target_fmr * trials) >= _STEADY_FALSE_MATCHES]


def _basis(candidate: CandidateComparison, comparison: ComparisonResult, *rows: _Row) -> str:
    changes = ", ".join(
        f"at FMR {number_format.rate(row.target_fmr)} by {number_format.points(row.difference)}"
        f" ({words.interval(bounds, as_points=True)})"
        for row, bounds in rows
    )
    return (
        f"{candidate.artefact.file} against {comparison.baseline.file} on {comparison.data_set},"
        f" {number_format.count(comparison.images, 'image')}: TAR changes {changes}"
    )
