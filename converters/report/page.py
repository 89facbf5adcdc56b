"""One self-contained HTML page: the verdict first, then the measurements behind it.

The page needs no network. Its Content-Security-Policy forbids every request and every script, so that text from
a file name or a note cannot have an effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.analyze.attention import PairStudy
from converters.analyze.layer_errors import LayerErrors
from converters.analyze.occlusion import Attention
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation
from converters.report import attention as attention_section
from converters.report import comparison as comparison_sections
from converters.report import conversion as conversion_sections
from converters.report import evaluation as evaluation_sections
from converters.report import images, verdicts
from converters.report import layers as layer_section
from converters.report.rendering import PageSection, render
from converters.results import ConversionResult, ReportVerdict
from edge_sdk.types import UInt8Array

SCHEMA = "edge-sdk/report-page/1"

#: Images to show on the page by name, each (H, W, C) uint8.
Thumbnails = Mapping[str, UInt8Array]


def render_page(
    *,
    title: str,
    conversion: ConversionResult | None = None,
    evaluations: Sequence[Evaluation] = (),
    comparison: ComparisonResult | None = None,
    layers: LayerErrors | None = None,
    attention: Sequence[Attention] = (),
    pairs: Sequence[PairStudy] = (),
    thumbnails: Thumbnails | None = None,
) -> str:
    """Render the page.

    Args:
        title: Title of the page, usually the model's name.
        conversion: Result of a conversion.
        evaluations: Results of artefacts on labelled images.
        comparison: Comparison of candidates with the float file on the same images.
        layers: Error of every tensor.
        attention: Occlusion maps. They show their images, which may be personal data.
        pairs: Explained pairs. They show their images too.
        thumbnails: Images to show beside their names (default: none, since faces are personal data).

    Returns:
        HTML, the same bytes for the same values.

    Raises:
        ConversionError: Matplotlib or Pillow is not installed.
    """
    pictures = None
    if thumbnails is not None:
        pictures = {name: images.thumbnail(pixels) for name, pixels in thumbnails.items()}
    sections: list[PageSection] = []
    if comparison is not None:
        sections += comparison_sections.sections(comparison, pictures, tables=not evaluations)
    if evaluations:
        sections += evaluation_sections.sections(evaluations, pictures, with_curves=comparison is None)
    if conversion is not None:
        sections += conversion_sections.sections(conversion)
    if layers is not None and layers.tensors:
        sections.append(layer_section.section(layers))
    if attention:
        sections.append(images.section(attention))
    if pairs:
        sections.append(attention_section.section(pairs))
    if conversion is not None:
        sections += conversion_sections.details(conversion)
    page = render(
        "page.html",
        title=title,
        kind="comparison" if comparison else "evaluation" if evaluations else "conversion",
        verdicts=_verdicts(conversion, evaluations, comparison),
        key_figures="" if conversion is None else conversion_sections.key_figures(conversion),
        notes=() if comparison is None else comparison.notes,
        sections=sections,
        has_images=thumbnails is not None or bool(attention) or bool(pairs),
        data=page_json(
            title=title,
            conversion=conversion,
            evaluations=evaluations,
            comparison=comparison,
            layers=layers,
            attention=attention,
            pairs=pairs,
        ),
    )
    return f"{page}\n"


def page_json(
    *,
    title: str,
    conversion: ConversionResult | None = None,
    evaluations: Sequence[Evaluation] = (),
    comparison: ComparisonResult | None = None,
    layers: LayerErrors | None = None,
    attention: Sequence[Attention] = (),
    pairs: Sequence[PairStudy] = (),
) -> dict[str, Any]:
    """Return all values of the page as JSON values, without images."""
    return {
        "schema": SCHEMA,
        "title": title,
        "verdict": [verdict.line() for verdict in _verdicts(conversion, evaluations, comparison)],
        "conversion": None if conversion is None else conversion.to_json(),
        "evaluations": [evaluation.to_json() for evaluation in evaluations],
        "comparison": None if comparison is None else comparison.to_json(),
        "layers": None if layers is None else layers.to_json(),
        "attention": [study.to_json() for study in attention],
        "pairs": [study.to_json() for study in pairs],
    }


def _verdicts(
    conversion: ConversionResult | None,
    evaluations: Sequence[Evaluation],
    comparison: ComparisonResult | None,
) -> list[ReportVerdict]:
    """Judge by the best evidence given: a comparison of error rates, otherwise error rates, otherwise the cosine."""
    if comparison is not None:
        return verdicts.of_comparison(comparison)
    if evaluations:
        return verdicts.of_evaluations(evaluations)
    return [ReportVerdict("open", "nothing was measured", "") if conversion is None else conversion.judge()]
