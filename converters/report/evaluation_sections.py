"""What artefacts are worth on labelled images: error rates, 1:N, probability, and the worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters import number_format
from converters.evaluate.metrics.evidence import IdentificationPoint, OperatingPointEvidence, Unsupported
from converters.evaluate.runner.error_analysis import ErrorAnalysis, WrongDecision
from converters.evaluate.runner.evaluate import Evaluation, IdentificationEvidence
from converters.report import plots, words
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
from converters.results import ReportVerdict
from edge_sdk.types import UInt8Array


def verdicts(evaluations: Sequence[Evaluation]) -> list[ReportVerdict]:
    """What each file does at the lowest FMR that its data support."""
    found = []
    for evaluation in evaluations:
        name, evidence = evaluation.artefact.file, evaluation.verification
        stated = [p for p in evidence.points if isinstance(p, OperatingPointEvidence) and p.fnmr is not None]
        basis = (
            f"{name} on {evidence.data_set}, {evidence.mated_trials:,} mated and {evidence.non_mated_trials:,}"
            " non-mated comparisons"
        )
        if not stated:
            found.append(
                ReportVerdict("open", "the data cannot support a claim at any FMR that was asked for", basis)
            )
            continue
        # A hundred false matches make a rate that does not move with a handful of pairs.
        steady = [p for p in stated if p.target_fmr * p.non_mated_trials >= 100] or stated
        point = min(steady, key=lambda p: p.target_fmr)
        fnmr = number_format.percent(point.fnmr or 0.0)
        sentence = (
            f"the {evaluation.artefact.precision} file rejects {fnmr} of mated comparisons"
            f" at FMR {number_format.rate(point.target_fmr)}"
        )
        lowest = number_format.rate(min(p.target_fmr for p in stated))
        basis += f": FNMR {words.interval(point.fnmr_interval)}; the data support claims down to FMR {lowest}"
        found.append(ReportVerdict("open", sentence, basis))
    return found


def sections(
    evaluations: Sequence[Evaluation], thumbnails: Mapping[str, UInt8Array] | None, *, curves: bool
) -> list[tuple[str, str, Html]]:
    """(anchor, short name, section) in reading order; without curves where a comparison draws them."""
    labels = names_apart([evaluation.artefact for evaluation in evaluations])
    found = [("thresholds-table", "Operating points", _operating_points(evaluations, labels, curves))]
    searched = [(n, e.identification) for n, e in zip(labels, evaluations, strict=True) if e.identification]
    if searched:
        found.append(("identification", "1:N", _identification(searched)))
    if any(e.probability for e in evaluations):
        found.append(("probability", "Probability", _probability(evaluations, labels)))
    if any(e.errors is not None for e in evaluations):
        found.append(("errors", "Worst errors", _errors(evaluations, thumbnails)))
    return found


def _operating_points(evaluations: Sequence[Evaluation], labels: Sequence[str], with_curves: bool) -> Html:
    series = [(n, e.verification) for n, e in zip(labels, evaluations, strict=True)]
    return tag(
        "section",
        tag("h2", "Operating points", id="thresholds-table"),
        curves(series, prefix="evaluated") if with_curves else None,
        [
            [
                tag("h3", evaluation.artefact.file),
                threshold_table(evaluation.verification),
                more_facts(_identity(evaluation) + summary_facts(evaluation.verification)),
                tag("ul", [tag("li", note) for note in evaluation.notes]) if evaluation.notes else None,
            ]
            for evaluation in evaluations
        ],
    )


def _identity(evaluation: Evaluation) -> list[tuple[str, Content]]:
    artefact = evaluation.artefact
    return [
        ("File's SHA-256", tag("span", artefact.sha256, class_="digest")),
        ("Input contract", artefact.contract),
        ("Measured with", artefact.measured_with()),
        ("Model card", "inside the file" if artefact.has_card else "none in the file"),
    ]


def _identification(searched: Sequence[tuple[str, IdentificationEvidence]]) -> Html:
    drawn = [(n, e) for n, e in searched if not isinstance(e.ranks, Unsupported)]
    parts: list[Content] = []
    figure: Html | None = None
    if drawn:
        _, first = drawn[0]
        figure = framed(
            plots.cumulative_match(drawn, name="ranks"),
            title="Cumulative match, closed set",
            caption=f"{number_format.count(first.mated_probes, 'mated probe')} against"
            f" {number_format.count(first.references, 'reference')} of {number_format.count(first.subjects, 'subject')};"
            f" {first.protocol}.",
        )
    for label, evidence in searched:
        caption = (
            f"{label}: {evidence.mated_probes:,} mated and {evidence.non_mated_probes:,} non-mated probes against"
            f" {number_format.count(evidence.references, 'reference')}; {evidence.protocol}."
            f" Lost: {evidence.lost.failures:,} of {evidence.lost.attempts:,} samples."
        )
        rows = [_search_row(point) for point in evidence.points]
        parts.append(
            html_table(
                ["FPIR asked for", "Threshold", "FPIR measured", "FNIR measured"], rows, caption=caption
            )
        )
        if isinstance(evidence.ranks, Unsupported):
            parts.append(tag("p", "Ranks: ", words.unsupported(evidence.ranks)))
        needed = "; ".join(
            f"FPIR {number_format.rate(rate)} takes FMR {number_format.rate(fmr)}"
            for rate, fmr in evidence.fmr_needed
        )
        if needed:
            text = f"Over {number_format.count(evidence.references, 'reference')}, if comparisons were independent: {needed}."
            parts.append(tag("p", text, class_="muted"))
    return tag(
        "section",
        tag("h2", "Identification, 1:N", id="identification"),
        parts if figure is None else tag("div", figure, tag("div", parts), class_="figures"),
    )


def _search_row(point: IdentificationPoint | Unsupported) -> list[Content]:
    if isinstance(point, Unsupported):
        return [point.claim, words.unsupported(point)]
    fnir: Content = tag("span", "no mated probes", class_="unsupported")
    if point.fnir is not None:
        fnir = [
            number_format.percent(point.fnir),
            tag("small", f"of {point.mated_probes:,} mated probes, rank {point.rank}"),
        ]
    return [
        words.asked_rate(point.target_fpir),
        f"{point.threshold:.4f}",
        [number_format.percent(point.fpir), tag("small", f"of {point.non_mated_probes:,} non-mated probes")],
        fnir,
    ]


def _probability(evaluations: Sequence[Evaluation], labels: Sequence[str]) -> Html:
    series = [
        (n, e.probability) for n, e in zip(labels, evaluations, strict=True) if e.probability is not None
    ]
    rows: list[list[Content]] = [
        ["Slope", *(f"{found.platt.slope:.3f}" for _, found in series)],
        ["Intercept", *(number_format.signed(found.platt.intercept, 3) for _, found in series)],
        ["Brier score", *(number_format.scientific(found.brier) for _, found in series)],
        ["Log loss", *(f"{number_format.scientific(found.log_loss)} nats" for _, found in series)],
        ["Mated comparisons", *(f"{found.platt.mated_trials:,.0f}" for _, found in series)],
        ["Non-mated comparisons", *(f"{found.platt.non_mated_trials:,.0f}" for _, found in series)],
    ]
    _, first = series[0]
    return tag(
        "section",
        tag("h2", "From score to probability", id="probability"),
        tag(
            "div",
            framed(
                plots.reliability(series, name="reliability"),
                title="Reliability of Platt's probability",
                caption=f"Fitted and checked on the same comparisons of {first.data_set}. On the dotted line a stated"
                " probability is the share observed. It holds for this share of mated comparisons.",
            ),
            tag(
                "div",
                html_table(
                    ["Measure", *(label for label, _ in series)],
                    rows,
                    caption="P(mated | score) = 1 / (1 + exp(−(slope · score + intercept))). Lower Brier score and log"
                    " loss are better.",
                    compact=len(series) <= 2,
                ),
            ),
            class_="figures",
        ),
    )


def _errors(evaluations: Sequence[Evaluation], thumbnails: Mapping[str, UInt8Array] | None) -> Html:
    parts: list[Content] = []
    for evaluation in evaluations:
        if evaluation.errors is None:
            continue
        parts.append(tag("h3", evaluation.artefact.file))
        if isinstance(evaluation.errors, Unsupported):
            parts.append(tag("p", words.unsupported(evaluation.errors)))
        else:
            parts.append(_analysis(evaluation.errors, evaluation.verification.images, thumbnails))
    return tag("section", tag("h2", "The worst errors", id="errors"), parts)


def _analysis(errors: ErrorAnalysis, images: int, thumbnails: Mapping[str, UInt8Array] | None) -> Content:
    at = f"At FMR {number_format.rate(errors.target_fmr)}, threshold {errors.threshold:.4f}"
    parts: list[Content] = [
        tag(
            "p",
            f"{at}: {number_format.count(errors.false_non_matches, 'false non-match', 'false non-matches')},"
            f" {number_format.count(errors.false_matches, 'false match', 'false matches')}.",
        )
    ]
    if errors.ceilings:
        rows: list[list[Content]] = [
            [
                ceiling.cause,
                f"{ceiling.refused:,} of {images:,} images ({number_format.percent(ceiling.refused_share)})",
                number_format.percent(ceiling.tar),
                "too little left to say"
                if ceiling.tar_without is None
                else number_format.percent(ceiling.tar_without),
                f"{ceiling.errors_with_cause:,} of {errors.false_non_matches:,}",
            ]
            for ceiling in errors.ceilings
        ]
        head = ["Cause", "Images refused", "TAR with all", "TAR without them", "False non-matches with it"]
        caption = (
            "The most that getting rid of a cause could gain; the threshold is derived anew at the same FMR."
        )
        parts.append(html_table(head, rows, caption=caption))
    for name, wrong in (
        ("False non-matches, lowest scores first", errors.worst_false_non_matches),
        ("False matches, highest scores first", errors.worst_false_matches),
    ):
        if wrong:
            rows = [_wrong_row(decision, thumbnails) for decision in wrong]
            parts.append(tag("h3", name))
            parts.append(html_table(["First image", "Second image", "Score", "What is unusual"], rows))
    return parts


def _wrong_row(decision: WrongDecision, thumbnails: Mapping[str, UInt8Array] | None) -> list[Content]:
    causes = [*decision.first_causes, *decision.second_causes]
    return [
        named_image(decision.first, thumbnails),
        named_image(decision.second, thumbnails),
        f"{decision.score:.4f}",
        tag("span", "; ".join(causes), class_="prose")
        if causes
        else tag("span", "nothing that was measured", class_="muted"),
    ]
