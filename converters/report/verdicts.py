"""Verdicts of a comparison and of evaluations: the conclusion that the data support, and its basis."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.difference_evidence import SmoothedDifference
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence
from converters.evaluate.runner.comparison_result import CandidateComparison, ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation
from converters.number_format import cosine, count, percent, points, rate, two_digits
from converters.report.evidence_text import fmr_range, interval, trials
from converters.results import ReportVerdict

_SEVERITY = ("bad", "caution", "open", "good")
# With fewer false matches, a few pairs of images can change a rate noticeably.
_STEADY_FALSE_MATCHES = 100


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
        f" at FMR {rate(point.target_fmr)}, averaged over subjects"
    )
    lowest = rate(min(p.target_fmr for p in stated))
    pooled = "" if point.fnmr_pooled is None else f"; over all mated comparisons {percent(point.fnmr_pooled)}"
    basis += f": FNMR {interval(point.fnmr_interval)}{pooled}; the data support claims down to FMR {lowest}"
    return ReportVerdict("open", sentence, basis)


def of_comparison(comparison: ComparisonResult) -> list[ReportVerdict]:
    """Judge whether each candidate is as good as the float file; the most severe verdict comes first."""
    verdicts = [_of_candidate(candidate, comparison) for candidate in comparison.candidates]
    return sorted(verdicts, key=lambda verdict: _SEVERITY.index(verdict.level))


def _of_candidate(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
    pooled, verdict = candidate.pooled, candidate.verdict
    if not isinstance(pooled, SmoothedDifference) or verdict is None:
        return _without_error_rates(candidate, comparison)
    if candidate.artefact.same_file_as(comparison.baseline):
        file, first = f"the file with {candidate.artefact.kernels} is", f"with {comparison.baseline.kernels}"
    else:
        file, first = f"the {candidate.artefact.precision} file is", "float"
    size = 100 * verdict.margin
    margin = f"{size:g} percentage point{'' if size == 1 else 's'} of TAR"
    basis = _basis(candidate, comparison, pooled)
    if verdict.verdict == "worse":
        return ReportVerdict("bad", f"{file} worse than {first} by more than {margin}", basis)
    lower = _worse_elsewhere(candidate, verdict.margin)
    elsewhere = "" if lower is None else f"; at FMR {rate(lower.lowest_fmr)} it is worse"
    if lower is not None:
        basis += f"; at FMR {rate(lower.lowest_fmr)} it changes by {_change(lower)}"
    if verdict.verdict == "no worse":
        unseen = verdict.unseen_in_words()
        level = "good" if lower is None and not unseen else "caution"
        sentence = f"{file} no worse than {first} within a margin of {margin}{unseen and f', {unseen}'}"
        return ReportVerdict(level, f"{sentence}{elsewhere}", basis)
    more = (
        "the difference is too close to the margin"
        if verdict.more_subjects is None
        else f"about {count(two_digits(verdict.more_subjects), 'more subject')} would"
    )
    sentence = (
        f"these images cannot tell if {file} worse than {first} by more than {margin}: {more}{elsewhere}"
    )
    return ReportVerdict("caution", sentence, basis)


def _worse_elsewhere(candidate: CandidateComparison, margin: float) -> SmoothedDifference | None:
    """Return the row of the single FMR with the largest proven loss above the margin, or None."""
    rows = [row for row in candidate.smoothed if isinstance(row, SmoothedDifference)]
    worse = [row for row in rows if row.interval.high < -margin]
    return min(worse, key=lambda row: row.interval.high, default=None)


def _without_error_rates(candidate: CandidateComparison, comparison: ComparisonResult) -> ReportVerdict:
    basis = (
        f"{candidate.artefact.file} has a mean cosine of {cosine(candidate.cosine_mean)} (minimum"
        f" {cosine(candidate.cosine_min)}) to {comparison.baseline.file} on {count(comparison.images, 'image')}"
    )
    sentence = (
        "the change of error rates is unknown: two images of each of ten subjects are needed to measure it"
    )
    return ReportVerdict("open", sentence, basis)


def _change(row: SmoothedDifference) -> str:
    return f"{points(row.difference)} ({interval(row.interval, as_points=True)})"


def _basis(candidate: CandidateComparison, comparison: ComparisonResult, pooled: SmoothedDifference) -> str:
    return (
        f"{candidate.artefact.file} compared with {comparison.baseline.file} on {comparison.data_set},"
        f" {count(comparison.images, 'image')}, {count(pooled.subjects, 'subject')} with two or more images:"
        f" TAR over {fmr_range(pooled)} changes by {_change(pooled)}"
    )
