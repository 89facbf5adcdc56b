"""Sections of a conversion: key figures, source, files, recipe search, distillation, targets, gates, operators."""

from __future__ import annotations

from markupsafe import Markup

from converters.number_format import cosine, count, file_size, ratio
from converters.report import plots
from converters.report.rendering import PageSection, render
from converters.results import ArtefactResult, ConversionResult


def key_figures(report: ConversionResult) -> Markup:
    """Render the main values of the first int8 file, or of the last file if there is no int8 file."""
    first = report.artefacts[0]
    shown = next((a for a in report.artefacts if a.precision == "int8"), report.artefacts[-1])
    gates = [gate for artefact in report.artefacts for gate in artefact.gates]
    figures = [
        (
            "Mean cosine to float",
            cosine(shown.cosine_mean),
            f"minimum {cosine(shown.cosine_min)}, {_basis(report, shown)}",
        ),
        (
            "Time of one inference",
            "unreliable" if shown.time_ratio is None else ratio(shown.time_ratio),
            f"of {first.precision}; {report.timing}",
        ),
        (
            "Size",
            file_size(shown.size_bytes),
            f"{ratio(shown.size_bytes / first.size_bytes)} of {first.precision}, {file_size(first.size_bytes)}",
        ),
        (
            "Gates passed",
            f"{sum(gate.passed for gate in gates)} of {len(gates)}",
            count(len(report.artefacts), "file"),
        ),
        ("XNNPACK", count(shown.partitions, "partition"), f"{shown.recipe} on this computer"),
    ]
    return render("key_figures.html", figures=figures)


def _basis(report: ConversionResult, artefact: ArtefactResult) -> str:
    if artefact.basis == "images":
        return count(report.measured_on, "image")
    if artefact.basis == "recorded":
        return f"{count(artefact.measured_on, 'image')} at recording"
    return count(artefact.measured_on, "drawn picture" if artefact.basis == "drawn" else "generated input")


def sections(report: ConversionResult) -> list[PageSection]:
    """Render the sections about the source and the files in reading order."""
    rendered = [
        PageSection("converted", "Source", render("source.html", report=report)),
        PageSection("files", "Files", render("files.html", report=report)),
    ]
    if report.contract_check is not None:
        content = render(
            "input_contract.html",
            check=report.contract_check,
            contract=report.contract,
            replayed=bool(report.replays),
        )
        rendered.insert(1, PageSection("contract", "Input contract", content))
    if report.searches:
        searches = [
            (name, search, plots.search(name, search) if len(search["trials"]) > 1 else None)
            for name, search in report.searches.items()
        ]
        rendered.append(PageSection("search", "Search", render("search.html", searches=searches)))
    if report.recoveries:
        results = [
            (name, result, plots.distillation(name, result)) for name, result in report.recoveries.items()
        ]
        content = render("distillation.html", results=results)
        rendered.append(PageSection("recovery", "Distillation", content))
    if report.targets or report.refused:
        content = render(
            "targets.html",
            sections=report.targets,
            refused=report.refused,
            refused_files=report.refused_files,
        )
        rendered.append(PageSection("targets", "Targets", content))
    return rendered


def details(report: ConversionResult) -> list[PageSection]:
    """Render the gates and the numbers of operators of each file."""
    recipes = [artefact.recipe for artefact in report.artefacts]
    gates: dict[str, dict[int, object]] = {}
    requirements: dict[str, str] = {}
    for place, artefact in enumerate(report.artefacts):
        for gate in artefact.gates:
            gates.setdefault(gate.name, {})[place] = gate
            requirements[gate.name] = gate.wanted
    gate_rows = [
        (name, requirements[name], [row.get(place) for place in range(len(recipes))])
        for name, row in gates.items()
    ]
    kinds = {kind for artefact in report.artefacts for kind in artefact.operators}
    counts = {kind: [artefact.operators.get(kind, 0) for artefact in report.artefacts] for kind in kinds}
    operator_rows = sorted(counts.items(), key=lambda row: (-max(row[1]), row[0]))
    operator_rows.append(("all", [sum(artefact.operators.values()) for artefact in report.artefacts]))
    return [
        PageSection("gates", "Gates", render("gates.html", recipes=recipes, rows=gate_rows)),
        PageSection("operators", "Operators", render("operators.html", recipes=recipes, rows=operator_rows)),
    ]
