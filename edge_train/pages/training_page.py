"""The page of a run: error rates first, then training, worst errors, map of embeddings, augmentation and settings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from converters.analyze.attention import PairStudy
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.error_analysis import ErrorAnalysis
from converters.evaluate.runner.evaluate import Evaluation
from converters.number_format import count, file_size, percent, rate
from converters.report import attention, images, verdicts
from converters.report import evaluation as evaluation_sections
from converters.report.rendering import PageSection, render
from converters.results import ReportVerdict
from edge_sdk.types import UInt8Array
from edge_train.pages import curves
from edge_train.pages.embedding_map import embedding_map, principal_components, shown_subjects

_PACKAGE = "edge_train.pages"


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """Values of a page.

    Args:
        name: The model's name.
        evaluations: Evaluations to show, of the float file and of int8 files.
        main: The evaluation of the file that the page judges, with its worst errors.
        comparison: Quantized files compared with the float file; None without one.
        embedded: Embeddings of the evaluation images by the main file.
        size_bytes: Size of the main file.
        losses: Loss of each training step.
        curve: Step and the shares ``tar`` and ``eer`` of the calibration subjects at that step, each of which may be absent.
        curve_fmr: FMR of ``tar``.
        facts: Name and value of each setting and time, in the order of the page.
        split: Name of each part, with its numbers of subjects and images.
        checks: Remarks of the folder check, one line each.
        notes: Remarks of the run, one line each.
        pictures: Pictures by sample name, shape (H, W, C), uint8; None for a page without pictures.
        sheet: Contact sheet of augmented pictures, a PNG file; None without one.
        pairs: Pairs with the parts of the images that make their cosine; empty for none.
        data: JSON values to store in the page.
    """

    name: str
    evaluations: Sequence[Evaluation]
    main: Evaluation
    comparison: ComparisonResult | None
    embedded: EmbeddedSamples
    size_bytes: int
    losses: Sequence[float]
    curve: Sequence[tuple[int, Mapping[str, float]]]
    curve_fmr: float
    facts: Sequence[tuple[str, str]]
    split: Sequence[tuple[str, int, int]]
    checks: Sequence[str] = ()
    notes: Sequence[str] = ()
    pictures: Mapping[str, UInt8Array] | None = None
    sheet: bytes | None = None
    pairs: Sequence[PairStudy] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def names_of_pictures(main: Evaluation, embedded: EmbeddedSamples) -> tuple[str, ...]:
    """Return the names of the samples whose pictures the page shows: worst errors, and subjects on the map."""
    shown = _shown(main, embedded)
    first = {
        subject: name for name, subject in reversed(list(zip(embedded.names, embedded.subjects, strict=True)))
    }
    return tuple(dict.fromkeys([*main.names_shown(), *(first[subject] for subject in shown)]))


def render_training_page(content: PageContent) -> str:
    """Render the page as HTML; the same values give the same bytes."""
    pictures = None
    if content.pictures is not None:
        pictures = {name: images.thumbnail(pixels) for name, pixels in content.pictures.items()}

    sections = [
        PageSection("training", "Training", _training(content)),
        *evaluation_sections.sections(_shown_evaluations(content), pictures, with_curves=True),
        PageSection("map", "Map", _map(content)),
        *([attention.section(content.pairs)] if content.pairs else []),
        *(
            []
            if content.sheet is None
            else [PageSection("augmentation", "Augmentation", _sheet(content.sheet))]
        ),
        PageSection("run", "Pictures and settings", _run(content)),
    ]
    page = render(
        "page.html",
        title=content.name,
        kind="training",
        verdicts=_verdicts(content),
        key_figures=render("key_figures.html", figures=_figures(content)),
        notes=content.notes,
        sections=sections,
        has_images=bool(content.pictures) or content.sheet is not None or bool(content.pairs),
        data=dict(content.data),
    )
    return f"{page}\n"


def _shown_evaluations(content: PageContent) -> list[Evaluation]:
    """Return the evaluations without what is the same in each: only the main file has notes, 1:N, probability and errors."""
    return [
        evaluation
        if evaluation is content.main
        else replace(evaluation, notes=(), identification=None, probability=None, errors=None)
        for evaluation in content.evaluations
    ]


def _verdicts(content: PageContent) -> list[ReportVerdict]:
    """State the error rate of the main file first, unless the comparison with float is worse than a caution."""
    own = verdicts.of_evaluations([content.main])
    others = [] if content.comparison is None else verdicts.of_comparison(content.comparison)
    severe = [verdict for verdict in others if verdict.level == "bad"]
    return [*severe, *own, *(verdict for verdict in others if verdict.level != "bad")]


def _figures(content: PageContent) -> list[tuple[str, str, str]]:
    evidence = content.main.verification
    eer = "-" if isinstance(evidence.eer, Unsupported) else percent(evidence.eer.rate)
    subjects = f"{count(evidence.subjects, 'evaluation subject')}, {count(evidence.images, 'image')}"
    figures = [("Equal error rate", eer, subjects)]
    point = _stated(evidence)
    if point is not None:
        tar, basis = point.measured.tar, "measured, without allowance for chance"
        if not isinstance(point.claim, Unsupported):
            tar, basis = point.tar, f"at the threshold of the card, {point.threshold:.4f}"
        figures.append((f"TAR at FMR {rate(point.target_fmr)}", percent(tar or 0.0), basis))
    trained = next((row for row in content.split if row[0] == "train"), None)
    if trained is not None:
        figures.append(("Training subjects", count(trained[1]), count(trained[2], "image")))
    figures.append(("Size", file_size(content.size_bytes), content.main.artefact.file))
    return figures


def _stated(evidence: VerificationEvidence) -> OperatingPointEvidence | None:
    """Return the point of the lowest claimed FMR, or that of the highest FMR if none is claimed."""
    points = [point for point in evidence.points if isinstance(point, OperatingPointEvidence)]
    points = [point for point in points if point.measured.tar is not None]
    claimed = [point for point in points if not isinstance(point.claim, Unsupported)]
    chosen = claimed[-1:] or points[:1]
    return chosen[0] if chosen else None


def _training(content: PageContent) -> Any:
    return render(
        "training.html",
        package=_PACKAGE,
        loss=curves.loss_curve(content.losses) if content.losses else None,
        rates=curves.rate_curves(content.curve) if content.curve else None,
        fmr=content.curve_fmr,
        calibration=next((row for row in content.split if row[0] == "calibration"), None),
    )


def _shown(main: Evaluation, embedded: EmbeddedSamples) -> tuple[str, ...]:
    errors = main.errors
    worst = errors.worst_false_matches if isinstance(errors, ErrorAnalysis) else ()
    subject = dict(zip(embedded.names, embedded.subjects, strict=True))
    return shown_subjects(
        embedded.subjects, [subject[name] for row in worst for name in (row.first, row.second)]
    )


def _map(content: PageContent) -> Any:
    embedded = content.embedded
    shown = _shown(content.main, embedded)
    pixels: dict[str, UInt8Array] = {}
    for name, subject in zip(embedded.names, embedded.subjects, strict=True):
        if content.pictures and subject in shown and name in content.pictures:
            pixels.setdefault(subject, content.pictures[name])
    positions = principal_components(embedded.vectors)
    return render(
        "map.html",
        package=_PACKAGE,
        drawing=embedding_map(positions, embedded.subjects, shown, pixels),
        share=positions.share,
        images=len(embedded.names),
        subjects=len(set(embedded.subjects)),
        shown=len(shown),
    )


def _sheet(png: bytes) -> Any:
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return render("augmentation.html", package=_PACKAGE, source=source)


def _run(content: PageContent) -> Any:
    return render(
        "run.html", package=_PACKAGE, split=content.split, checks=content.checks, facts=content.facts
    )
