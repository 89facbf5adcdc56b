"""1:1 on one data set: histograms, DET and the table of thresholds, for one artefact or several together."""

from __future__ import annotations

from collections.abc import Sequence

from converters import number_format
from converters.evaluate.metrics.evidence import (
    EqualErrorRate,
    OperatingPointEvidence,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.runner.identity import ArtefactIdentity
from converters.report import plots, words
from converters.report.conversion_sections import facts_list
from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table
from converters.report.svg import framed


def names_apart(artefacts: Sequence[ArtefactIdentity]) -> list[str]:
    """Short labels for figures: the precision where that tells them apart, else the files' names or what ran them."""
    precisions = ["float" if a.precision == "float32" else a.precision for a in artefacts]
    files = [a.file for a in artefacts]
    kernels = [a.kernels for a in artefacts]
    both = [f"{a.file}, {a.kernels}" for a in artefacts]
    return next((names for names in (precisions, files, kernels) if len(set(names)) == len(names)), both)


def curves(series: plots.Series, *, prefix: str) -> Html:
    """Histogram and DET side by side, with what they stand on."""
    _, first = series[0]
    fmr = _lowest_stated([evidence for _, evidence in series])
    basis = f"{_trials(first)}; {first.data_set}, {first.protocol}."
    lines = f" Dotted: each one's own threshold at FMR {number_format.rate(fmr)}." if fmr else ""
    return tag(
        "div",
        framed(
            plots.histograms(series, name=f"{prefix}-scores", fmr=fmr),
            title="Scores of mated and non-mated comparisons",
            caption=[_key(series), f" Log scale.{lines} {basis}"],
        ),
        framed(
            plots.det(series, name=f"{prefix}-det"),
            title="Detection error trade-off",
            caption=[
                _key(series),
                " Normal-deviate axes; lower left is better. Grey: the data hold fewer than three errors there, so the"
                f" curve proves nothing. {basis}",
            ],
        ),
        class_="figures",
    )


def threshold_table(evidence: VerificationEvidence) -> Html:
    """One row per FMR that was asked for, with what supports it or what it would take."""
    rows = [_point_row(point) for point in evidence.points]
    caption = (
        f"Accept when the score is the threshold or more. {_trials(evidence)} of {number_format.count(evidence.images, 'image')},"
        f" {number_format.count(evidence.subjects, 'subject')}; {evidence.data_set}, {evidence.protocol}."
    )
    return html_table(
        ["FMR asked for", "Threshold", "FMR measured", "FNMR measured", "TAR"], rows, caption=caption
    )


def summary_facts(evidence: VerificationEvidence) -> list[tuple[str, Content]]:
    """EER, d-prime, accuracy and failures to acquire."""
    eer, separation, accuracy = evidence.eer, evidence.d_prime, evidence.accuracy
    facts: list[tuple[str, Content]] = [
        ("Data set", [evidence.data_set, " ", tag("span", evidence.data_digest, class_="digest")]),
        ("Comparisons", f"{_trials(evidence)} ({evidence.protocol})"),
        (
            "Equal error rate",
            f"{number_format.percent(eer.rate)} at threshold {eer.threshold:.4f}"
            if isinstance(eer, EqualErrorRate)
            else words.unsupported(eer),
        ),
        (
            "d-prime",
            words.unsupported(separation)
            if isinstance(separation, Unsupported)
            else f"{separation:.2f} standard deviations between mated and non-mated scores",
        ),
    ]
    if isinstance(accuracy, tuple):
        text = f"{number_format.percent(accuracy[0])} at threshold {accuracy[1]:.4f}, chosen on the same comparisons: it flatters"
        facts.append(("Accuracy", text))
    elif isinstance(accuracy, Unsupported):
        facts.append(("Accuracy", words.unsupported(accuracy)))
    for name, found in (
        ("Failures to acquire", evidence.acquisition),
        ("Comparisons lost", evidence.comparisons_lost),
    ):
        if found.attempts:
            first = f": {'; '.join(found.first_names)}" if found.first_names else ""
            facts.append((name, f"{found.failures:,} of {found.attempts:,}{first}"))
    return facts


def more_facts(facts: list[tuple[str, Content]]) -> Html:
    """Facts that most readers do not need, folded."""
    return tag("details", tag("summary", "Data set, equal error rate, failures"), facts_list(facts))


def _trials(evidence: VerificationEvidence) -> str:
    return f"{evidence.mated_trials:,} mated and {evidence.non_mated_trials:,} non-mated comparisons"


def _key(series: plots.Series) -> Content:
    classes = ("base", "candidate", "third")
    parts: list[Content] = []
    for place, (label, _) in enumerate(series):
        shown = tag("span", label, class_=classes[place]) if place < len(classes) else label
        parts.append([", " if place else None, shown])
    return [*parts, "."]


def _lowest_stated(evidence: Sequence[VerificationEvidence]) -> float | None:
    """The FMR nearest 1e-3 that every series states."""
    stated = [{p.target_fmr for p in e.points if isinstance(p, OperatingPointEvidence)} for e in evidence]
    common = set.intersection(*stated) if stated else set()
    return min((f for f in common if f >= 1e-3), default=None)


def _point_row(point: OperatingPointEvidence | Unsupported) -> list[Content]:
    if isinstance(point, Unsupported):
        return [words.asked_rate(words.claimed_rate(point)), words.unsupported(point)]
    fnmr: Content = tag("span", "no mated comparisons", class_="unsupported")
    tar: Content = ""
    if point.fnmr is not None and point.tar is not None:
        trials = f"{point.false_non_matches:,} of {point.mated_trials:,}"
        fnmr = [
            number_format.percent(point.fnmr),
            tag("small", trials),
            tag("small", words.interval(point.fnmr_interval)),
        ]
        tar = [number_format.percent(point.tar), tag("small", words.interval(point.tar_interval))]
    matches = f"{point.false_matches:,} of {point.non_mated_trials:,}"
    return [
        words.asked_rate(point.target_fmr),
        f"{point.threshold:.4f}",
        [
            number_format.measured_rate(point.fmr),
            tag("small", matches),
            tag("small", words.rate_interval(point.fmr_interval)),
        ],
        fnmr,
        tar,
    ]
