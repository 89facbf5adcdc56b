"""Verdicts of a comparison and of evaluations: the conclusion that the data support, and its basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from converters.evaluate.metrics.evidence import Interval, OperatingPointEvidence, PairedDifference
from converters.evaluate.runner.compare import CandidateComparison, ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation
from converters.number_format import cosine, count, percent, points, rate
from converters.report.evidence_text import interval, trials
from converters.report.plots import MARGIN
from converters.results import ReportVerdict

_SEVERITY = ("bad", "caution", "open", "good")
# With fewer false matches, a few pairs of images can change a rate noticeably.
_STEADY_FALSE_MATCHES = 100

_Row: TypeAlias = tuple[PairedDifference, Interval]


def of_evaluations(evaluations: Sequence[Evaluation]) -> list[ReportVerdict]:
    """State the error rate of each file at the lowest FMR with 100 or more false matches, or the lowest supported FMR."""
    return [_of_evaluation(evaluation) for evaluation in evaluations]


def _of_evaluation(evaluation: Evaluation) -> ReportVerdict:
    evidence = evaluation.verification
    stated = [
        p for p in evidence.points if isinstance(p, OperatingPointEvidence) and p.claim and p.fnmr is not None
    ]
    basis = f"{evaluation.artefact.file} on {evidence.data_set}, {trials(evidence)}"
    if not stated:
        return ReportVerdict("open", "the data do not support a claim at any of the target FMRs", basis)
    steady = [p for p in stated if p.target_fmr * p.non_mated_trials >= _STEADY_FALSE_MATCHES] or stated
    point = min(steady, key=lambda p: p.target_fmr)
    sentence = (
        f"the {evaluation.artefact.precision} file rejects {percent(point.fnmr or 0.0)} of mated comparisons"
        f" at FMR {rate(point.target_fmr)}"
    )
    lowest = rate(min(p.target_fmr for p in stated))
    basis += f": FNMR {interval(point.fnmr_interval)}; the data support claims down to FMR {lowest}"
    return ReportVerdict("open", sentence, basis)


def of_comparison(comparison: ComparisonResult) -> list[ReportVerdict]:
    """Judge whether each candidate is as good as the float file; the most severe verdict comes first."""
    verdicts = [_of_candidate(candidate, comparison) for candidate in comparison.candidates]
    return sorted(verdicts, key=lambda verdict: _SEVERITY.index(verdict.level))


def _of_candidate(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
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
            f"{file} worse than {first}: at FMR {rate(row.target_fmr)} it accepts"
            f" {percent(row.candidate_tar)} of mated comparisons, {first} {percent(row.baseline_tar)}"
        )
        return ReportVerdict("bad", sentence, _basis(candidate, comparison, (row, bounds)))
    proven = _proven(rows)
    least = min(rows, key=lambda pair: pair[1].low)
    if not proven:
        basis = _basis(candidate, comparison, least)
        return ReportVerdict("caution", f"{file} not shown to be {margin}", basis)
    if len(proven) == len(rows):
        sentence = f"{file} {margin}, at every FMR that the data support"
        return ReportVerdict("good", sentence, _basis(candidate, comparison, least))
    sentence = (
        f"{file} {margin} down to FMR {rate(proven[-1][0].target_fmr)}; this is not shown at lower FMRs"
    )
    level = "caution" if _steady(rows[len(proven) :], comparison) else "good"
    return ReportVerdict(level, sentence, _basis(candidate, comparison, proven[-1], rows[len(proven)]))


def _without_error_rates(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
    basis = (
        f"{candidate.artefact.file} has a mean cosine of {cosine(candidate.cosine_mean)} (minimum"
        f" {cosine(candidate.cosine_min)}) to {comparison.baseline.file} on {count(comparison.images, 'image')}"
    )
    sentence = (
        "the change of error rates is unknown: two images of each of ten subjects are needed to measure it"
    )
    return ReportVerdict("open", sentence, basis)


def _proven(rows: list[_Row]) -> list[_Row]:
    """Return the rows, highest FMR first, that precede the first row whose interval exceeds the margin."""
    for place, (_, bounds) in enumerate(rows):
        if bounds.low < -MARGIN:
            return rows[:place]
    return rows


def _steady(rows: list[_Row], comparison: ComparisonResult) -> list[_Row]:
    """Return the rows that at least 100 false matches support."""
    non_mated = 0 if comparison.verification is None else comparison.verification.non_mated_trials
    return [row for row in rows if round(row[0].target_fmr * non_mated) >= _STEADY_FALSE_MATCHES]


def _basis(candidate: CandidateComparison, comparison: ComparisonResult, *rows: _Row) -> str:
    changes = ", ".join(
        f"at FMR {rate(row.target_fmr)} by {points(row.difference)} ({interval(bounds, as_points=True)})"
        for row, bounds in rows
    )
    return (
        f"{candidate.artefact.file} compared with {comparison.baseline.file} on {comparison.data_set},"
        f" {count(comparison.images, 'image')}: TAR changes {changes}"
    )
