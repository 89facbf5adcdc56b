"""What a conversion's page shows: key figures, what was converted, the files, gates, operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters import number_format
from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table
from converters.report.svg import BASE, CANDIDATE, GRID, MUTED, figure, framed
from converters.results import ArtefactResult, ConversionResult

#: A logarithmic axis has no zero.
_LEAST_DISTANCE = 1e-6


def tiles(report: ConversionResult) -> Html:
    """The figures to remember, of the integer file where there is one."""
    first = report.artefacts[0]
    shown = next((a for a in report.artefacts if a.precision == "int8"), report.artefacts[-1])
    gates = [gate for artefact in report.artefacts for gate in artefact.gates]
    unit = "image" if report.measured_on == 1 else "images"
    return tag(
        "dl",
        _tile(
            "Cosine to float, mean",
            number_format.cosine(shown.cosine_mean),
            f"least {number_format.cosine(shown.cosine_min)}, {report.measured_on} {unit}",
        ),
        _tile(
            "Time of one inference",
            number_format.ratio(shown.latency_ms / first.latency_ms),
            f"of {first.precision}; one thread, this host",
        ),
        _tile(
            "Size",
            number_format.file_size(shown.size_bytes),
            f"{number_format.ratio(shown.size_bytes / first.size_bytes)} of {first.precision},"
            f" {number_format.file_size(first.size_bytes)}",
        ),
        _tile(
            "Gates passed",
            f"{sum(gate.passed for gate in gates)} of {len(gates)}",
            f"{number_format.count(len(report.artefacts), 'file')}",
        ),
        _tile(
            "XNNPACK", number_format.count(shown.partitions, "partition"), f"of {shown.recipe}, on this host"
        ),
        class_="tiles",
    )


def converted(report: ConversionResult) -> Html:
    """Source, contract, calibration, and what a person should know."""
    source, calibration = report.source, report.calibration
    where = "that calibration has not seen" if report.held_out else "that calibration has seen too"
    facts: list[tuple[str, Content]] = [
        ("Source", [_text(source, "file"), tag("small", f" {_text(source, 'kind')}")]),
        ("Its SHA-256", _digest(_text(source, "sha256"))),
        ("Input contract", report.contract.describe()),
        ("Embedding", number_format.count(report.dimension, "value")),
        ("Float network", f"cosine {report.agreement:.6f} or more to the source's own runtime"),
        (
            "Calibration",
            f"{number_format.count(calibration.get('images', 0), 'image')} of {calibration.get('available', 0):,}",
        ),
        ("Their SHA-256", _digest(str(calibration.get("sha256", "")))),
        ("Fidelity measured on", f"{number_format.count(report.measured_on, 'image')} {where}"),
    ]
    return tag(
        "section",
        tag("h2", "What was converted", id="converted"),
        facts_list(facts),
        [tag("h3", "Notes"), tag("ul", [tag("li", note) for note in report.notes])] if report.notes else None,
    )


def files(report: ConversionResult) -> Html:
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
                    f" ({a.recipe}, {number_format.cosine(a.cosine_min)})",
                ]
                for place, a in enumerate(report.artefacts[1:])
            ],
            class_="muted",
        )
        if len(report.artefacts) > 1
        else None,
    )


def searches(report: ConversionResult) -> Html:
    """What was tried for each recipe that was searched for, and what was kept."""
    return tag(
        "section",
        tag("h2", "How the recipe was found", id="search"),
        [_search(name, found) for name, found in report.searches.items()],
    )


def _search(name: str, found: Mapping[str, Any]) -> list[Html | None]:
    goal = "reached" if found["met"] else "missed; the best that was found is written"
    by_error_rate = found["budget"]["kind"] != "cosine"
    more = by_error_rate or "max_time_ratio" in found["budget"]
    rows: list[list[Content]] = [
        [
            [f"{place}. {trial['what']}", tag("small", str(trial["found"])) if more else None],
            number_format.cosine(trial["cosine_mean"]),
            number_format.cosine(trial["cosine_min"]),
            number_format.percent(trial["float_share"]) if trial["float_share"] else "none",
            tag("span", "kept", class_="pass") if trial["kept"] else tag("span", "dropped", class_="muted"),
        ]
        for place, trial in enumerate(found["trials"], start=1)
    ]
    caption = (
        "Cosine to float on images of the calibration set that neither the ranges nor the figures of the file come"
        " from, where the set is large enough; so the file's own cosine may differ a little. In float: share of the"
        " network's multiplications."
    )
    if by_error_rate:
        caption += (
            f" Error rates: all pairs of the {number_format.count(found['budget']['images'], 'image')} of"
            f" {found['budget']['data_set']}. The recipe was chosen on them, so measure the file on others."
        )
    head = ["Tried, in this order", "Cosine, mean", "Cosine, least", "In float", ""]
    return [
        tag(
            "p",
            f"{name}: searched for {found['budget']['goal']}: ",
            tag("span", goal, class_="pass" if found["met"] else "fail"),
            ".",
        ),
        html_table(head, rows, caption=caption),
        _search_plot(name, found) if len(found["trials"]) > 1 else None,
        _sensitive(found["sensitive"]) if found["sensitive"] else None,
    ]


def _search_plot(name: str, found: Mapping[str, Any]) -> Html:
    """The distance to float of each trial, mean and greatest, in the order they were tried."""
    trials = found["trials"]
    places = range(len(trials))
    mean = [max(1 - trial["cosine_mean"], _LEAST_DISTANCE) for trial in trials]
    most = [max(1 - trial["cosine_min"], _LEAST_DISTANCE) for trial in trials]
    with figure(f"search-{name}", width=960, height=300) as (drawing, drawn):
        axes = drawing.subplots()
        axes.vlines(places, mean, most, color=GRID, linewidth=3, zorder=1)
        for kept, colour in ((True, CANDIDATE), (False, MUTED)):
            chosen = [place for place in places if trials[place]["kept"] is kept]
            axes.plot(chosen, [mean[place] for place in chosen], "o", color=colour, markersize=6, zorder=3)
        if found["budget"]["kind"] == "cosine" and found["budget"]["least"] < 1:
            axes.axhline(1 - found["budget"]["least"], color=BASE, linestyle="--", zorder=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xticks(places, [str(place + 1) for place in places])
        axes.set_xlabel("trial, in the order of the table")
        axes.set_ylabel("1 − cosine to float")
        axes.xaxis.grid(False)
    line = " Dashed: what was asked for." if found["budget"]["kind"] == "cosine" else ""
    caption = f"Dot: mean over the images, grey where the step was dropped; bar: up to the worst image.{line}"
    return framed(drawn[0], title="How far from float each trial is", caption=caption, wide=True)


def _sensitive(pairs: Sequence[Sequence[Any]]) -> Html:
    """The operators that cost most cosine."""
    return tag(
        "p",
        "Most is gained by leaving in float: ",
        [
            [", " if place else None, tag("code", str(operator)), f" ({number_format.signed(gain)})"]
            for place, (operator, gain) in enumerate(pairs[:5])
        ],
        ".",
    )


def gates(report: ConversionResult) -> Html:
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


def operators(report: ConversionResult) -> Html:
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


def _file_row(artefact: ArtefactResult, reference: ArtefactResult) -> list[Content]:
    passed = sum(gate.passed for gate in artefact.gates)
    whole = passed == len(artefact.gates)
    return [
        [artefact.file, tag("small", f"recipe {artefact.recipe}, {artefact.precision}")],
        [
            number_format.file_size(artefact.size_bytes),
            tag("small", number_format.ratio(artefact.size_bytes / reference.size_bytes)),
        ],
        number_format.cosine(artefact.cosine_mean),
        number_format.cosine(artefact.cosine_min),
        number_format.ratio(artefact.latency_ms / reference.latency_ms),
        number_format.count(artefact.partitions, "partition"),
        tag("span", f"{passed} of {len(artefact.gates)}", class_="pass" if whole else "fail"),
    ]


def _digest(value: str) -> Content:
    return tag("span", value, class_="digest") if value else ""


def _text(source: Mapping[str, Any], key: str) -> str:
    return str(source.get(key, ""))
