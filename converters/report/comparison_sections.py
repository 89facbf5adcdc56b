"""Candidates against the float file on the same images: what was lost, and whether the loss is proven."""

from __future__ import annotations

from collections.abc import Mapping

from converters.comparison import CandidateComparison, ComparisonResult, NamedFlip
from converters.evaluation.evidence import (
    FidelityEvidence,
    Interval,
    PairedDifference,
    ThresholdDrift,
    Unsupported,
)
from converters.report import plots, words
from converters.report.conversion import Verdict
from converters.report.conversion_sections import facts_list
from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table
from converters.report.image_sections import named_image
from converters.report.svg import framed
from converters.report.verification_sections import curves, names_apart
from edge_sdk.types import UInt8Array

_SEVERITY = ("bad", "caution", "open", "good")


def verdicts(comparison: ComparisonResult) -> list[Verdict]:
    """One per candidate, the gravest first."""
    found = [_verdict(candidate, comparison) for candidate in comparison.candidates]
    return sorted(found, key=lambda verdict: _SEVERITY.index(verdict.level))


def sections(
    comparison: ComparisonResult, thumbnails: Mapping[str, UInt8Array] | None
) -> list[tuple[str, str, Html]]:
    """(anchor, short name, section) in reading order."""
    found: list[tuple[str, str, Html]] = []
    if comparison.verification is not None:
        found.append(("error-rates", "Error rates", _error_rates(comparison)))
    for place, candidate in enumerate(comparison.candidates):
        suffix = f"-{place + 1}" if place else ""
        if candidate.fidelity is not None:
            section = _thresholds(candidate, comparison, f"thresholds{suffix}")
            found.append((f"thresholds{suffix}", "Thresholds", section))
        section = _images(candidate, comparison, thumbnails, f"images{suffix}")
        found.append((f"images{suffix}", "Images", section))
    return found


def _verdict(candidate: CandidateComparison, comparison: ComparisonResult) -> Verdict:
    name = candidate.artefact.file
    rows = [row for row in candidate.differences if isinstance(row, PairedDifference)]
    measured = [(row, row.interval) for row in rows if isinstance(row.interval, Interval)]
    if not measured:
        basis = (
            f"{name} keeps a mean cosine of {words.cosine(candidate.cosine_mean)} (least"
            f" {words.cosine(candidate.cosine_min)}) to {comparison.baseline.file} on"
            f" {words.count(comparison.images, 'image')}"
        )
        return Verdict(
            "open", "the data cannot say what the file loses: it takes two images each of ten subjects", basis
        )
    margin = f"{100 * plots.MARGIN:g} percentage point"
    worse = [(row, bounds) for row, bounds in measured if bounds.high < -plots.MARGIN]
    unproven = [(row, bounds) for row, bounds in measured if bounds.low < -plots.MARGIN]
    row, bounds = min(worse or unproven or measured, key=lambda pair: pair[1].low)
    basis = (
        f"{name} against {comparison.baseline.file} on {comparison.data_set},"
        f" {words.count(comparison.images, 'image')}: TAR at FMR {words.rate(row.target_fmr)} changes by"
        f" {words.points(row.difference)} ({words.interval(bounds, as_points=True)})"
    )
    if worse:
        sentence = f"worse than float: {words.percent(row.baseline_tar)} of mated comparisons were accepted at FMR {words.rate(row.target_fmr)}, now {words.percent(row.candidate_tar)}"
        return Verdict("bad", sentence, basis)
    if unproven:
        return Verdict("caution", f"not shown to be as good as float within {margin}", basis)
    return Verdict(
        "good", f"as good as float within {margin} of TAR, at every FMR the data can support", basis
    )


def _error_rates(comparison: ComparisonResult) -> Html:
    candidates = [c for c in comparison.candidates if c.verification is not None]
    labels = names_apart([comparison.baseline, *(c.artefact for c in candidates)])
    evidence = [comparison.verification, *(c.verification for c in candidates)]
    series = [(label, found) for label, found in zip(labels, evidence, strict=True) if found is not None]
    drawn: list[Content] = [curves(series, prefix="compared")]
    for place, candidate in enumerate(candidates):
        if candidate.differences:
            drawn.append(_differences(candidate, comparison, f"forest{place}"))
    return tag(
        "section", tag("h2", "Error rates, float and candidate", id="error-rates"), drawn, class_="compared"
    )


def _differences(candidate: CandidateComparison, comparison: ComparisonResult, name: str) -> Html:
    fmrs = _asked_fmrs(candidate)
    rows: list[list[Content]] = []
    for fmr, row in zip(fmrs, candidate.differences, strict=True):
        if isinstance(row, Unsupported):
            rows.append([_fmr(fmr), words.unsupported(row), "", "", ""])
            continue
        rows.append(
            [
                _fmr(fmr),
                words.percent(row.baseline_tar),
                words.percent(row.candidate_tar),
                words.points(row.difference),
                words.interval(row.interval, as_points=True),
            ]
        )
    trials = candidate.verification
    basis = ""
    if trials is not None:
        basis = (
            f" {trials.mated_trials:,} mated and {trials.non_mated_trials:,} non-mated comparisons of"
            f" {words.count(trials.images, 'image')}, {words.count(trials.subjects, 'subject')},"
            f" {comparison.data_set}."
        )
    caption = (
        "Both files drawn with the same resamples of the subjects, each at its own threshold; the line is"
        f" the interval. Dashed: the margin of {100 * plots.MARGIN:g} percentage point." + basis
    )
    head = ["At FMR", "TAR of float", f"TAR of {candidate.artefact.precision}", "Change", "Interval"]
    return tag(
        "div",
        framed(
            plots.forest(candidate.differences, fmrs, name=name),
            title=f"What {candidate.artefact.file} loses",
            caption=caption,
            wide=True,
        ),
        html_table(head, rows),
    )


def _thresholds(candidate: CandidateComparison, comparison: ComparisonResult, anchor: str) -> Html:
    fidelity = candidate.fidelity
    if fidelity is None:
        return Html("")
    rows = [_drift_row(fmr, row) for fmr, row in zip(_drift_fmrs(fidelity), fidelity.drifts, strict=True)]
    head = [
        "At FMR",
        "Threshold of float",
        "Threshold of candidate",
        "Drift",
        "Candidate at float's threshold",
        "Decisions that flip",
    ]
    trials = candidate.verification
    caption = (
        "Flips: comparisons decided otherwise, each file at its own threshold; mated ones lost and won back,"
        " then non-mated ones newly accepted."
    )
    if trials is not None:
        caption += f" Of {trials.mated_trials:,} mated and {trials.non_mated_trials:,} non-mated comparisons."
    facts: list[tuple[str, Content]] = [
        ("Non-mated scores, mean", _shift(fidelity.non_mated_mean_shift)),
        ("Non-mated scores, 99.9th percentile", _shift(fidelity.tail_shift)),
    ]
    return tag(
        "section",
        tag("h2", f"Thresholds of {candidate.artefact.file}", id=anchor),
        tag("p", _drift_in_words(fidelity)),
        html_table(head, rows, caption=caption),
        tag("h3", "Shift of the scores of strangers, candidate minus float"),
        facts_list(facts),
    )


def _drift_in_words(fidelity: FidelityEvidence) -> Content:
    stated = [row for row in fidelity.drifts if isinstance(row, ThresholdDrift)]
    if not stated:
        return "The data cannot support a threshold at any FMR that was asked for."
    row = max(stated, key=lambda r: r.fmr_at_baseline_threshold / r.target_fmr)
    ratio = row.fmr_at_baseline_threshold / row.target_fmr
    if 0.8 <= ratio <= 1.25:
        return "Thresholds of the float file hold for the candidate within a quarter of their FMR; its own are exact."
    change = f"{ratio:.1f} times the strangers" if ratio > 1 else f"{words.percent(ratio)} of the strangers"
    return (
        f"A threshold of the float file is wrong for this one: set for FMR {words.rate(row.target_fmr)}"
        f" it accepts {change} ({words.one_in(row.fmr_at_baseline_threshold)} instead of"
        f" {words.one_in(row.target_fmr)})."
        if row.fmr_at_baseline_threshold > 0
        else f"A threshold of the float file set for FMR {words.rate(row.target_fmr)} accepts no stranger here."
    )


def _drift_row(fmr: float, row: ThresholdDrift | Unsupported) -> list[Content]:
    if isinstance(row, Unsupported):
        return [_fmr(fmr), words.unsupported(row), "", "", "", ""]
    kept = f"FMR {words.percent(row.fmr_at_baseline_threshold)}"
    if row.fnmr_at_baseline_threshold is not None:
        kept += f", FNMR {words.percent(row.fnmr_at_baseline_threshold)}"
    own = row.own
    return [
        _fmr(fmr),
        f"{row.baseline_threshold:.4f}",
        f"{row.candidate_threshold:.4f}",
        words.signed(row.drift),
        [kept, tag("small", f"{row.fmr_at_baseline_threshold / row.target_fmr:.1f}× the FMR asked for")],
        f"mated {own.mated_lost:,} lost, {own.mated_won:,} won; non-mated {own.non_mated_lost:,} accepted",
    ]


def _images(
    candidate: CandidateComparison,
    comparison: ComparisonResult,
    thumbnails: Mapping[str, UInt8Array] | None,
    anchor: str,
) -> Html:
    worst = html_table(
        ["Image", "Cosine to float"],
        [[named_image(name, thumbnails), words.cosine(value)] for name, value in candidate.worst],
        caption=f"The least alike of {words.count(comparison.images, 'image')};"
        f" mean {words.cosine(candidate.cosine_mean)}.",
    )
    return tag(
        "section",
        tag("h2", f"Images that change most in {candidate.artefact.file}", id=anchor),
        _hidden_note(thumbnails),
        worst if candidate.worst else None,
        _flips(candidate, thumbnails) if candidate.flips else None,
    )


def _flips(candidate: CandidateComparison, thumbnails: Mapping[str, UInt8Array] | None) -> Html:
    at = f" at FMR {words.rate(candidate.flips_fmr)}" if candidate.flips_fmr is not None else ""
    rows = [_flip_row(flip, thumbnails) for flip in candidate.flips]
    return tag(
        "div",
        tag("h3", f"Decisions that flip{at}"),
        html_table(
            ["The two images", "They are", "Score in float", "Score in candidate", "Now"],
            rows,
            caption=f"The {words.count(len(rows), 'comparison')} whose score changes most; each file decides by its own threshold.",
        ),
    )


def _flip_row(flip: NamedFlip, thumbnails: Mapping[str, UInt8Array] | None) -> list[Content]:
    pair = tag(
        "span", named_image(flip.first, thumbnails), named_image(flip.second, thumbnails), class_="pair-names"
    )
    return [
        pair,
        "mated" if flip.mated else "non-mated",
        f"{flip.baseline_score:.4f}",
        f"{flip.candidate_score:.4f}",
        tag("span", "wrong" if flip.lost else "right", class_="fail" if flip.lost else "pass"),
    ]


def _hidden_note(thumbnails: Mapping[str, UInt8Array] | None) -> Html | None:
    if thumbnails is not None:
        return None
    return tag("p", "Names only: thumbnails were not asked for.", class_="muted")


def _asked_fmrs(candidate: CandidateComparison) -> list[float]:
    """FMR of each row of differences; an unsupported one says it in its claim."""
    return [
        row.target_fmr if isinstance(row, PairedDifference) else _claimed(row)
        for row in candidate.differences
    ]


def _drift_fmrs(fidelity: FidelityEvidence) -> list[float]:
    return [row.target_fmr if isinstance(row, ThresholdDrift) else _claimed(row) for row in fidelity.drifts]


def _claimed(gap: Unsupported) -> float:
    """The FMR of a claim that failed: three errors' worth of comparisons is what it needs."""
    return 3.0 / gap.needed if gap.needed > 3 else 0.0


def _fmr(fmr: float) -> Content:
    if not 0 < fmr < 1:
        return "FMR"
    return [words.rate(fmr), tag("small", words.one_in(fmr))]


def _shift(value: float | Unsupported) -> Content:
    return words.unsupported(value) if isinstance(value, Unsupported) else f"{words.signed(value)} (cosine)"
