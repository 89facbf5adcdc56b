"""Candidates against the float file on the same images: what was lost, and whether the loss is proven."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from converters import number_format
from converters.evaluate.metrics.evidence import (
    FidelityEvidence,
    PairedDifference,
    ThresholdDrift,
    Unsupported,
)
from converters.evaluate.runner.compare import CandidateComparison, ComparisonResult, NamedFlip
from converters.report import plots, words
from converters.report.conversion_sections import facts_list
from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table
from converters.report.image_sections import named_image
from converters.report.svg import framed
from converters.report.verification_sections import (
    curves,
    more_facts,
    names_apart,
    summary_facts,
    threshold_table,
)
from edge_sdk.types import UInt8Array


def sections(
    comparison: ComparisonResult, thumbnails: Mapping[str, UInt8Array] | None, *, tables: bool
) -> list[tuple[str, str, Html]]:
    """(anchor, short name, section) in reading order; tables of thresholds where nothing else shows them."""
    found: list[tuple[str, str, Html]] = []
    if comparison.verification is not None:
        found.append(("error-rates", "Error rates", _error_rates(comparison)))
        if tables:
            found.append(("points", "Operating points", _operating_points(comparison)))
    labels = names_apart([candidate.artefact for candidate in comparison.candidates])
    for place, candidate in enumerate(comparison.candidates):
        suffix = f"-{place + 1}" if place else ""
        of = f" of {labels[place]}" if len(labels) > 1 else ""
        if candidate.fidelity is not None:
            section = _thresholds(candidate, comparison, f"thresholds{suffix}")
            found.append((f"thresholds{suffix}", f"Thresholds{of}", section))
        section = _images(candidate, comparison, thumbnails, f"images{suffix}")
        found.append((f"images{suffix}", f"Images{of}", section))
    return found


def _error_rates(comparison: ComparisonResult) -> Html:
    candidates = [c for c in comparison.candidates if c.verification is not None]
    labels = names_apart([comparison.baseline, *(c.artefact for c in candidates)])
    evidence = [comparison.verification, *(c.verification for c in candidates)]
    series = [(label, found) for label, found in zip(labels, evidence, strict=True) if found is not None]
    drawn: list[Content] = [curves(series, prefix="compared")]
    for place, candidate in enumerate(candidates):
        if candidate.differences:
            drawn.append(_differences(candidate, comparison, f"forest{place}"))
    return tag("section", tag("h2", "Error rates, float and candidate", id="error-rates"), drawn)


def _operating_points(comparison: ComparisonResult) -> Html:
    measured = [(comparison.baseline, comparison.verification)]
    measured += [(candidate.artefact, candidate.verification) for candidate in comparison.candidates]
    return tag(
        "section",
        tag("h2", "Operating points", id="points"),
        [
            [
                tag("h3", artefact.file),
                threshold_table(evidence),
                more_facts([("Measured with", artefact.measured_with()), *summary_facts(evidence)]),
            ]
            for artefact, evidence in measured
            if evidence is not None
        ],
    )


def _differences(candidate: CandidateComparison, comparison: ComparisonResult, name: str) -> Html:
    rows = [_difference_row(row) for row in candidate.differences]
    evidence = candidate.verification
    basis = ""
    if evidence is not None:
        basis = (
            f" {evidence.mated_trials:,} mated and {evidence.non_mated_trials:,} non-mated comparisons of"
            f" {number_format.count(evidence.images, 'image')}, {number_format.count(evidence.subjects, 'subject')},"
            f" {comparison.data_set}."
        )
    caption = (
        "Both files drawn with the same resamples of the subjects, each at its own threshold; the line is"
        f" the interval. Dashed: the margin of {100 * plots.MARGIN:g} percentage point."
    )
    first, second = "float", candidate.artefact.precision
    if candidate.artefact.same_file_as(comparison.baseline):
        first, second = comparison.baseline.kernels, candidate.artefact.kernels
    head = ["FMR asked for", f"TAR of {first}", f"TAR of {second}", "Change"]
    fmrs = [
        row.target_fmr if isinstance(row, PairedDifference) else words.claimed_rate(row)
        for row in candidate.differences
    ]
    return tag(
        "div",
        framed(
            plots.forest(candidate.differences, fmrs, name=name),
            title=f"What {candidate.artefact.file} loses",
            caption=caption,
        ),
        tag("div", html_table(head, rows, caption=f"Change in percentage points.{basis}", compact=True)),
        class_="figures",
    )


def _difference_row(row: PairedDifference | Unsupported) -> list[Content]:
    if isinstance(row, Unsupported):
        return [words.asked_rate(words.claimed_rate(row)), words.unsupported(row)]
    return [
        words.asked_rate(row.target_fmr),
        number_format.percent(row.baseline_tar),
        number_format.percent(row.candidate_tar),
        [
            number_format.signed(100 * row.difference, 2),
            tag("small", words.interval(row.interval, as_points=True)),
        ],
    ]


def _thresholds(candidate: CandidateComparison, comparison: ComparisonResult, anchor: str) -> Html:
    fidelity = candidate.fidelity
    if fidelity is None:
        return Html("")
    rows = [_drift_row(row) for row in fidelity.drifts]
    head = [
        "FMR asked for",
        "Threshold of float",
        f"Threshold of {candidate.artefact.precision}",
        "Drift",
        f"{candidate.artefact.precision} with float's threshold",
        "Decisions that flip",
    ]
    trials = candidate.verification
    caption = (
        "Flips: comparisons decided otherwise, each file at its own threshold; mated ones lost and won back,"
        " then non-mated ones."
    )
    if trials is not None:
        caption += f" Of {trials.mated_trials:,} mated and {trials.non_mated_trials:,} non-mated comparisons."
    facts: list[tuple[str, Content]] = [
        ("Mean", _shift(fidelity.non_mated_mean_shift)),
        ("99.9th percentile", _shift(fidelity.tail_shift)),
    ]
    return tag(
        "section",
        tag("h2", f"Thresholds of {candidate.artefact.file}", id=anchor),
        tag("p", _drift_in_words(fidelity)),
        html_table(head, rows, caption=caption),
        tag("h3", "Shift of non-mated scores, candidate minus float"),
        facts_list(facts),
    )


def _drift_in_words(fidelity: FidelityEvidence) -> Content:
    stated = [row for row in fidelity.drifts if isinstance(row, ThresholdDrift)]
    if not stated:
        return "The data cannot support a threshold at any FMR that was asked for."
    row = max(stated, key=lambda r: abs(log(max(r.fmr_at_baseline_threshold, 1e-12) / r.target_fmr)))
    found = row.fmr_at_baseline_threshold
    ratio = found / row.target_fmr
    if 0.8 <= ratio <= 1.25:
        return "With the float file's thresholds FMR stays within a quarter of what was asked for; its own are exact."
    text = f"A threshold of the float file is wrong for this one: set for FMR {number_format.rate(row.target_fmr)}, it accepts "
    if found == 0:
        return f"{text}no non-mated comparison at all."
    times = f"{ratio:.1f} times as many" if ratio > 1 else f"{number_format.percent(ratio)} as many"
    odds = f"{number_format.odds(found)} instead of {number_format.odds(row.target_fmr)}"
    return f"{text}{times} non-mated comparisons ({odds})."


def _drift_row(row: ThresholdDrift | Unsupported) -> list[Content]:
    if isinstance(row, Unsupported):
        return [words.asked_rate(words.claimed_rate(row)), words.unsupported(row)]
    times = f"{row.fmr_at_baseline_threshold / row.target_fmr:.1f}× the FMR asked for"
    if row.fnmr_at_baseline_threshold is not None:
        times += f"; FNMR {number_format.percent(row.fnmr_at_baseline_threshold)}"
    own = row.own
    return [
        words.asked_rate(row.target_fmr),
        f"{row.baseline_threshold:.4f}",
        f"{row.candidate_threshold:.4f}",
        number_format.signed(row.drift),
        [f"FMR {number_format.measured_rate(row.fmr_at_baseline_threshold)}", tag("small", times)],
        [
            f"mated: {own.mated_lost:,} lost, {own.mated_won:,} won",
            tag(
                "small", f"non-mated: {own.non_mated_lost:,} newly accepted, {own.non_mated_won:,} no longer"
            ),
        ],
    ]


def _images(
    candidate: CandidateComparison,
    comparison: ComparisonResult,
    thumbnails: Mapping[str, UInt8Array] | None,
    anchor: str,
) -> Html:
    least = (
        f"Cosine to float of the least alike of {number_format.count(comparison.images, 'image')};"
        f" mean {number_format.cosine(candidate.cosine_mean)}."
    )
    worst = [
        tag("li", tag("strong", number_format.cosine(value)), named_image(name, thumbnails))
        for name, value in candidate.worst
    ]
    return tag(
        "section",
        tag("h2", f"Images that change most in {candidate.artefact.file}", id=anchor),
        _hidden_note(thumbnails),
        [tag("p", least), tag("ul", worst, class_="gallery")] if worst else None,
        _flips(candidate, thumbnails) if candidate.flips else None,
    )


def _flips(candidate: CandidateComparison, thumbnails: Mapping[str, UInt8Array] | None) -> Html:
    at = f" at FMR {number_format.rate(candidate.flips_fmr)}" if candidate.flips_fmr is not None else ""
    rows = [_flip_row(flip, thumbnails) for flip in candidate.flips]
    return tag(
        "div",
        tag("h3", f"Decisions that flip{at}"),
        html_table(
            ["The two images", "They are", "Score in float", "Score in candidate", "Now"],
            rows,
            caption=f"The {number_format.count(len(rows), 'comparison')} whose score changes most; each file decides by its own threshold.",
        ),
    )


def _flip_row(flip: NamedFlip, thumbnails: Mapping[str, UInt8Array] | None) -> list[Content]:
    pair = tag(
        "span", named_image(flip.first, thumbnails), named_image(flip.second, thumbnails), class_="pair"
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


def _shift(value: float | Unsupported) -> Content:
    return (
        words.unsupported(value)
        if isinstance(value, Unsupported)
        else f"{number_format.signed(value)} (cosine)"
    )
