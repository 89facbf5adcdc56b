"""One self-contained page: verdict first, then what it stands on. It opens from a file manager, without a network.

The page forbids itself every request and every program (Content-Security-Policy), so what a file name or a
note says can do nothing in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from converters.analyze.layer_errors import LayerErrors
from converters.analyze.occlusion import Attention
from converters.evaluate.runner.compare import ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation
from converters.report import (
    comparison_sections,
    comparison_verdict,
    conversion_sections,
    evaluation_sections,
    image_sections,
    layer_sections,
    recovery_section,
    target_sections,
)
from converters.report.html import Html, embedded_json, tag
from converters.results import ConversionResult, ReportVerdict
from edge_sdk.types import UInt8Array

SCHEMA = "edge-sdk/report-page/1"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_LEVELS = {"good": "Good", "caution": "Caution", "bad": "Stop", "open": "Measured"}

#: Images by name, each (H, W, C) uint8: the ones a person chose to show.
Thumbnails = Mapping[str, UInt8Array]


def render_page(
    *,
    title: str,
    conversion: ConversionResult | None = None,
    evaluations: Sequence[Evaluation] = (),
    comparison: ComparisonResult | None = None,
    layers: LayerErrors | None = None,
    attention: Sequence[Attention] = (),
    thumbnails: Thumbnails | None = None,
) -> str:
    """Write the page.

    Args:
        title: Usually the model's name.
        conversion: What was made.
        evaluations: What artefacts are worth on labelled images.
        comparison: Candidates against the float file on the same images.
        layers: Error of every tensor.
        attention: Occlusion maps; they show their images, so give them only where that is wanted.
        thumbnails: Images to show beside their names; None shows none, since faces are personal data.

    Returns:
        HTML; the same bytes for the same values.

    Raises:
        ConversionError: Matplotlib or Pillow is not installed.
    """
    verdicts = _verdicts(conversion, evaluations, comparison)
    sections: list[tuple[str, str, Html]] = []
    if comparison is not None:
        sections += comparison_sections.sections(comparison, thumbnails, tables=not evaluations)
    if evaluations:
        sections += evaluation_sections.sections(evaluations, thumbnails, curves=comparison is None)
    if conversion is not None:
        sections += [
            ("converted", "Source", conversion_sections.converted(conversion)),
            ("files", "Files", conversion_sections.files(conversion)),
        ]
        if conversion.searches:
            sections.append(("search", "Search", conversion_sections.searches(conversion)))
        if conversion.recoveries:
            sections.append(("recovery", "Recovery", recovery_section.recoveries(conversion.recoveries)))
        if conversion.targets:
            sections.append(("targets", "Targets", target_sections.targets(conversion.targets)))
    if layers is not None and layers.tensors:
        sections.append(("layers", "Where the damage begins", layer_sections.layers(layers)))
    if attention:
        sections.append(("attention", "Where it looks", image_sections.attention(attention)))
    if conversion is not None:
        sections += [
            ("gates", "Gates", conversion_sections.gates(conversion)),
            ("operators", "Operators", conversion_sections.operators(conversion)),
        ]
    data = page_json(
        title=title,
        conversion=conversion,
        evaluations=evaluations,
        comparison=comparison,
        layers=layers,
        attention=attention,
    )
    kind = "comparison" if comparison else "evaluation" if evaluations else "conversion"
    body = tag(
        "body",
        tag(
            "main",
            _lead(title, kind, verdicts),
            conversion_sections.tiles(conversion) if conversion is not None else None,
            tag("ul", [tag("li", note) for note in comparison.notes])
            if comparison is not None and comparison.notes
            else None,
            tag(
                "nav",
                [tag("a", name, href=f"#{anchor}") for anchor, name, _ in sections],
                aria_label="Sections",
            ),
            [section for _, _, section in sections],
        ),
        _footer(thumbnails is None and not attention),
        embedded_json(data, identifier="report"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: {kind} report"),
        tag("style", Html(_style())),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def page_json(
    *,
    title: str,
    conversion: ConversionResult | None = None,
    evaluations: Sequence[Evaluation] = (),
    comparison: ComparisonResult | None = None,
    layers: LayerErrors | None = None,
    attention: Sequence[Attention] = (),
) -> dict[str, Any]:
    """Everything the page says, as JSON values; images are not in it."""
    return {
        "schema": SCHEMA,
        "title": title,
        "verdict": [verdict.line() for verdict in _verdicts(conversion, evaluations, comparison)],
        "conversion": None if conversion is None else conversion.to_json(),
        "evaluations": [evaluation.to_json() for evaluation in evaluations],
        "comparison": None if comparison is None else comparison.to_json(),
        "layers": None if layers is None else layers.to_json(),
        "attention": [study.to_json() for study in attention],
    }


def _verdicts(
    conversion: ConversionResult | None,
    evaluations: Sequence[Evaluation],
    comparison: ComparisonResult | None,
) -> list[ReportVerdict]:
    """Of the strongest evidence there is: error rates compared, else error rates, else cosine."""
    if comparison is not None:
        return comparison_verdict.verdicts(comparison)
    if evaluations:
        return evaluation_sections.verdicts(evaluations)
    return [ReportVerdict("open", "nothing was measured", "") if conversion is None else conversion.judge()]


def _lead(title: str, kind: str, verdicts: Sequence[ReportVerdict]) -> Html:
    first, *others = verdicts
    return tag(
        "header",
        tag("p", tag("strong", _LEVELS[first.level]), f"{title}, {kind} report", class_="kind"),
        tag("h1", f"{_sentence(first.sentence)}."),
        tag("p", f"{_sentence(first.basis)}.") if first.basis else None,
        [tag("p", f"{_sentence(other.line())}.", class_="muted") for other in others],
        class_=f"verdict {first.level}",
    )


def _sentence(text: str) -> str:
    """A capital where prose begins; a file name keeps its own letters."""
    first = text.split(" ", 1)[0]
    return text if "." in first or "_" in first else text[:1].upper() + text[1:]


def _footer(no_images: bool) -> Html:
    return tag(
        "footer",
        tag(
            "p",
            "Terms as in ISO/IEC 19795-1: a comparison is accepted when its score reaches the threshold. FMR is the"
            " share of non-mated comparisons (two people, two products) accepted, FNMR the share of mated ones"
            " rejected, TAR = 1 − FNMR.",
        ),
        tag(
            "p",
            "This page holds no image: pictures of people are personal data. They are shown on request only.",
        )
        if no_images
        else tag("p", "This page holds images that may be personal data. Handle the file as such."),
        tag("p", "Everything above is in this file as JSON too, in the element with the id “report”."),
    )


def _style() -> str:
    return (resources.files("converters.report") / "page.css").read_text(encoding="utf-8")
