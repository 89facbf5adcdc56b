"""What each target says of what was made for it: rules held, what was found, who runs what."""

from __future__ import annotations

from collections.abc import Sequence

from converters.report.html import Content, Html, tag
from converters.report.html import table as html_table
from converters.targets.check import NetworkReport, TargetReport
from converters.targets.rule import RuleFinding

_MARKS = {"refused": "fail", "slow": "fail", "note": "muted"}


def targets(sections: Sequence[TargetReport]) -> Html:
    """One part for each target."""
    return tag("section", tag("h2", "Targets", id="targets"), [_section(section) for section in sections])


def _section(section: TargetReport) -> list[Html]:
    rows: list[list[Content]] = [
        [
            [part.what, tag("small", "beside it: ", ", ".join(part.files)) if part.files else None],
            _rules(part),
            [_found(part.findings), _figures(part)],
        ]
        for part in section.parts
    ]
    tables = [
        html_table(
            list(one.columns),
            [list(row) for row in one.rows],
            caption=f"{part.what}: {one.title}.",
        )
        for part in section.parts
        for one in part.tables
    ]
    return [
        tag("h3", section.target),
        tag("p", f"{section.summary[:1].upper()}{section.summary[1:]}.", class_="muted"),
        html_table(["Looked at", "Rules", "Found"], rows),
        *tables,
    ]


def _rules(part: NetworkReport) -> Content:
    broken = len({finding.rule for finding in part.findings if finding.severity != "note"})
    held = tag("span", f"{part.rules - broken} of {part.rules}", class_="fail" if broken else "pass")
    return [held, tag("small", "hold")]


def _found(findings: Sequence[RuleFinding]) -> Content:
    if not findings:
        return tag("span", "nothing", class_="muted")
    return [
        [
            tag("span", finding.severity, class_=_MARKS[finding.severity]),
            f" {finding.found}",
            tag("small", f"{finding.rule}: {finding.advice}"),
        ]
        for finding in findings
    ]


def _figures(part: NetworkReport) -> Content:
    lines: list[Content] = [tag("small", f"{name}: {value}") for name, value in part.figures.items()]
    if part.estimate is not None:
        took = f"{part.estimate.milliseconds:.3g} ms"
        lines.append(tag("small", f"{took} an inference, {part.estimate.basis}"))
    return lines
