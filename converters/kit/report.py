"""Report page of a kit: its networks, licences, error rates and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.kit.contents import KitContents
from converters.kit.evidence import GalleryRate
from converters.number_format import percent
from converters.report.rendering import PageSection, render
from converters.results import ReportVerdict
from edge_sdk.model.card import ModelCard
from edge_sdk.model.operating_point import OperatingPoint

SCHEMA = "edge-sdk/kit-page/1"


def kit_page(contents: KitContents, card: ModelCard, rate: GalleryRate | None) -> str:
    """Render the page; the same arguments give the same bytes.

    Args:
        contents: Contents of the kit.
        card: Model card of the embedder.
        rate: FPIR of the kit; None if the evidence supports none.
    """
    sections = [_section("networks", "Networks", "kit_networks.html", parts=contents.parts)]
    if card.operating_points:
        rates = {"points": card.operating_points, "protocols": contents.protocols or {}}
        sections.append(_section("rates", "Error rates", "kit_rates.html", **rates))
    if contents.limits:
        sections.append(_section("limits", "Limits", "kit_limits.html", limits=contents.limits))
    page = render(
        "page.html",
        title=contents.name,
        kind="kit",
        verdicts=[_verdict(contents, card.operating_points, rate)],
        key_figures="",
        notes=contents.notes,
        sections=sections,
        has_images=False,
        data=_values(contents, card, rate),
    )
    return f"{page}\n"


def _section(anchor: str, name: str, template: str, **values: Any) -> PageSection:
    return PageSection(anchor, name, render(template, anchor=anchor, **values))


def _verdict(
    contents: KitContents, points: Sequence[OperatingPoint], rate: GalleryRate | None
) -> ReportVerdict:
    if rate is None:
        return ReportVerdict(
            "bad",
            f"the kit {contents.name} has no evidence for a gallery",
            "a gallery accepts nobody without operating points that support its FPIR",
        )
    point = rate.point(points)
    accepted, most = round(1000 * rate.fpir), rate.most(points)
    strictest = rate.point_at(points, most)
    return ReportVerdict(
        "open",
        f"of 1,000 attempts by strangers at a gallery of up to {most} templates, at most about {accepted}"
        f" {'is' if accepted == 1 else 'are'} accepted",
        f"with {rate.templates} templates the threshold is {point.threshold:.4f}, and one picture of an enrolled person is unlike"
        f" one of their templates in {percent(point.fnmr)} of cases; with {most} it is {strictest.threshold:.4f}, and"
        f" {percent(strictest.fnmr)}; measured on {point.data_set}",
    )


def _values(contents: KitContents, card: ModelCard, rate: GalleryRate | None) -> dict[str, Any]:
    parts = [
        {
            "file": part.file,
            "role": part.role.value,
            "size_bytes": len(part.data),
            "licence": part.licence,
            "licence_note": part.licence_note,
            "source": part.source,
            "source_sha256": part.source_sha256,
            "made": part.made,
        }
        for part in contents.parts
    ]
    return {
        "schema": SCHEMA,
        "name": contents.name,
        "version": contents.version,
        "networks": parts,
        "operating_points": [point.to_json() for point in card.operating_points],
        "fpir": None if rate is None else rate.fpir,
        "limits": list(contents.limits),
        "notes": list(contents.notes),
        "protocols": dict(contents.protocols or {}),
    }
