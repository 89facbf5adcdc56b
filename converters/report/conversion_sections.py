"""What a conversion's page shows: key figures, what was converted, the files, gates, operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.report import words
from converters.report.conversion import Artefact, Report
from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table


def tiles(report: Report) -> Html:
    """The figures to remember, of the integer file where there is one."""
    first = report.artefacts[0]
    shown = next((a for a in report.artefacts if a.precision == "int8"), report.artefacts[-1])
    gates = [gate for artefact in report.artefacts for gate in artefact.gates]
    unit = "image" if report.measured_on == 1 else "images"
    return tag(
        "dl",
        _tile(
            "Cosine to float, mean",
            words.cosine(shown.cosine_mean),
            f"least {words.cosine(shown.cosine_min)}, {report.measured_on} {unit}",
        ),
        _tile(
            "Time of one inference",
            words.times(shown.latency_ms / first.latency_ms),
            f"of {first.precision}; one thread, this host",
        ),
        _tile(
            "Size",
            words.megabytes(shown.size_bytes),
            f"{words.times(shown.size_bytes / first.size_bytes)} of {first.precision},"
            f" {words.megabytes(first.size_bytes)}",
        ),
        _tile(
            "Gates passed",
            f"{sum(gate.passed for gate in gates)} of {len(gates)}",
            f"{words.count(len(report.artefacts), 'file')}",
        ),
        _tile("XNNPACK", words.count(shown.partitions, "partition"), f"of {shown.recipe}, on this host"),
        class_="tiles",
    )


def converted(report: Report) -> Html:
    """Source, contract, calibration, and what a person should know."""
    source, calibration = report.source, report.calibration
    where = "that calibration has not seen" if report.held_out else "that calibration has seen too"
    facts: list[tuple[str, Content]] = [
        ("Source", [_text(source, "file"), tag("small", f" {_text(source, 'kind')}")]),
        ("Its SHA-256", _digest(_text(source, "sha256"))),
        ("Input contract", report.contract.describe()),
        ("Embedding", words.count(report.dimension, "value")),
        ("Float network", f"cosine {report.agreement:.6f} or more to the source's own runtime"),
        (
            "Calibration",
            f"{words.count(calibration.get('images', 0), 'image')} of {calibration.get('available', 0):,}",
        ),
        ("Their SHA-256", _digest(str(calibration.get("sha256", "")))),
        ("Fidelity measured on", f"{words.count(report.measured_on, 'image')} {where}"),
    ]
    return tag(
        "section",
        tag("h2", "What was converted", id="converted"),
        facts_list(facts),
        [tag("h3", "Notes"), tag("ul", [tag("li", note) for note in report.notes])] if report.notes else None,
    )


def files(report: Report) -> Html:
    """What was made, one row per file."""
    reference = report.artefacts[0]
    where = "images that calibration has not seen" if report.held_out else "the calibration images themselves"
    rows = [_file_row(artefact, reference) for artefact in report.artefacts]
    caption = (
        f"Cosine to {reference.precision}: of an image's two embeddings, {report.measured_on} {where}."
        f" Time: median of one inference over that of {reference.precision}, one thread, this host;"
        " only the ratio holds elsewhere. Partitions: stretches that XNNPACK runs on this host."
    )
    head = ["File", "Size", "Cosine, mean", "Cosine, least", "Time", "XNNPACK", "Gates"]
    return tag(
        "section",
        tag("h2", "What was made", id="files"),
        html_table(head, rows, caption=caption),
        tag(
            "p",
            "Worst image of each file: ",
            [
                [
                    ", " if place else None,
                    tag("code", a.worst_image),
                    f" ({a.recipe}, {words.cosine(a.cosine_min)})",
                ]
                for place, a in enumerate(report.artefacts[1:])
            ],
            class_="muted",
        )
        if len(report.artefacts) > 1
        else None,
    )


def searches(report: Report) -> Html:
    """What was tried for each recipe that was searched for, and what was kept."""
    return tag(
        "section",
        tag("h2", "How the recipe was found", id="search"),
        [_search(name, found) for name, found in report.searches.items()],
    )


def _search(name: str, found: Mapping[str, Any]) -> list[Html]:
    goal = "reached" if found["met"] else "missed; the best that was found is written"
    rows: list[list[Content]] = [
        [
            str(trial["what"]),
            words.cosine(trial["cosine_mean"]),
            words.cosine(trial["cosine_min"]),
            tag("span", "kept", class_="pass") if trial["kept"] else tag("span", "dropped", class_="muted"),
        ]
        for trial in found["trials"]
    ]
    text = f"{name}: searched for a mean cosine of {found['budget']:g} to float: "
    caption = (
        "Cosine to float on images of the calibration set that neither the ranges nor the figures of the file come"
        " from, where the set is large enough; so the file's own cosine may differ a little."
    )
    return [
        tag("p", text, tag("span", goal, class_="pass" if found["met"] else "fail"), "."),
        html_table(["Tried, in this order", "Cosine, mean", "Cosine, least", ""], rows, caption=caption),
    ]


def gates(report: Report) -> Html:
    """Every gate with what it wanted and what each file is."""
    names = list(dict.fromkeys(gate.name for a in report.artefacts for gate in a.gates))
    rows: list[list[Content]] = []
    for name in names:
        cells: list[Content] = []
        wanted = ""
        for artefact in report.artefacts:
            gate = next((g for g in artefact.gates if g.name == name), None)
            if gate is None:
                cells.append(tag("span", "not held against it: an earlier gate failed", class_="muted"))
                continue
            wanted = gate.wanted
            mark = tag("span", "pass" if gate.passed else "FAIL", class_="pass" if gate.passed else "fail")
            cells.append([mark, tag("small", gate.found)])
        rows.append([[name, tag("small", wanted)], *cells])
    head = ["Gate", *(a.recipe for a in report.artefacts)]
    return tag("section", tag("h2", "Gates", id="gates"), html_table(head, rows))


def operators(report: Report) -> Html:
    """How often each operator occurs in each file."""
    names = sorted(
        {name for a in report.artefacts for name in a.operators},
        key=lambda name: (-max(a.operators.get(name, 0) for a in report.artefacts), name),
    )
    rows = [[tag("code", name), *(str(a.operators.get(name, 0)) for a in report.artefacts)] for name in names]
    rows.append(["all", *(str(sum(a.operators.values())) for a in report.artefacts)])
    return tag(
        "section",
        tag("h2", "Operators", id="operators"),
        html_table(
            ["Operator", *(a.recipe for a in report.artefacts)],
            rows,
            caption="Times it occurs in the file.",
            compact=len(report.artefacts) <= 4,
        ),
    )


def facts_list(facts: list[tuple[str, Content]]) -> Html:
    """Names and what they are; empty ones are left out."""
    return tag(
        "dl", [[tag("dt", name), tag("dd", value)] for name, value in facts if value != ""], class_="facts"
    )


def _tile(name: str, value: str, basis: str) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", tag("span", value, class_="value"), tag("span", basis, class_="basis")),
    )


def _file_row(artefact: Artefact, reference: Artefact) -> list[Content]:
    passed = sum(gate.passed for gate in artefact.gates)
    whole = passed == len(artefact.gates)
    return [
        [artefact.file, tag("small", f"recipe {artefact.recipe}, {artefact.precision}")],
        [
            words.megabytes(artefact.size_bytes),
            tag("small", words.times(artefact.size_bytes / reference.size_bytes)),
        ],
        words.cosine(artefact.cosine_mean),
        words.cosine(artefact.cosine_min),
        words.times(artefact.latency_ms / reference.latency_ms),
        words.count(artefact.partitions, "partition"),
        tag("span", f"{passed} of {len(artefact.gates)}", class_="pass" if whole else "fail"),
    ]


def _digest(value: str) -> Content:
    return tag("span", value, class_="digest") if value else ""


def _text(source: Mapping[str, Any], key: str) -> str:
    return str(source.get(key, ""))
