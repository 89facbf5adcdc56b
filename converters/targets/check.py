"""Hold a network against a target's rules: before it is converted, when it is made, when it is finished."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.errors import TargetError
from converters.graph.graph import Graph
from converters.targets.base import Estimate, Finished, Finishing, Table, Target
from converters.targets.operator_table import legible
from converters.targets.rule import RuleFinding, judge, named, worst_first
from edge_sdk.model.card import ModelCard

_THRESHOLDS = "thresholds-of-its-own-kernels"


@dataclass(frozen=True)
class Part:
    """What was found of one network.

    Args:
        what: The file's name, or what stands for it.
        rules: How many rules it was held against.
        findings: Where it breaks them, the worst first.
        tables: Who runs what.
        figures: Short facts.
        estimate: Time of one inference, not measured.
        files: What was made beside the file.
    """

    what: str
    rules: int
    findings: tuple[RuleFinding, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate | None = None
    files: tuple[str, ...] = ()

    def count(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


@dataclass(frozen=True)
class Section:
    """What a report says of one target.

    Args:
        target: Its name.
        summary: What it is.
        parts: The float network, then each file that was made for it.
    """

    target: str
    summary: str
    parts: tuple[Part, ...]

    @property
    def refused(self) -> tuple[RuleFinding, ...]:
        """What the target refuses."""
        return tuple(f for part in self.parts for f in part.findings if f.severity == "refused")

    def lines(self) -> list[str]:
        """The section for a terminal."""
        lines = [f"{self.target}: {self.summary}"]
        for part in self.parts:
            broken = len({finding.rule for finding in part.findings if finding.severity != "note"})
            lines.append(f"  {part.what}: {part.rules} rules, {broken or 'none'} broken")
            lines += [f"    {finding.line()}" for finding in part.findings]
            lines += [f"    {name}: {value}" for name, value in part.figures.items()]
            if part.estimate is not None:
                lines.append(f"    {part.estimate.milliseconds:.3g} ms an inference, {part.estimate.basis}")
            if part.files:
                lines.append(f"    beside it: {', '.join(part.files)}")
        return lines


def examine_network(target: Target, graph: Graph) -> Part:
    """What converting a float network for a target comes to."""
    return Part("float network", len(target.network_rules), judge(target.network_rules, graph))


def examine_file(target: Target, network: bytes, what: str) -> Part:
    """Hold a finished network against a target's rules, and against what a tool here says of it."""
    graph = legible(network)
    findings = judge(target.file_rules, graph)
    if all(finding.severity != "refused" for finding in findings):
        findings = worst_first([*findings, *target.confirm(network)])
    return Part(
        what,
        len(target.file_rules),
        findings,
        tables=target.describe(graph),
        estimate=target.estimate(graph),
    )


def finish(
    target: Target, finished: Finished, *, allowed: Collection[str] = ()
) -> tuple[Part, Mapping[str, bytes]]:
    """Finish a file as its target asks.

    Returns:
        What was found of it, and the files to write beside it.

    Raises:
        TargetError: The target refuses it by a rule that is not allowed.
    """
    part = examine_file(target, finished.network, finished.file)
    require(target.name, [part], allowed)
    made = Finishing() if target.finish is None else target.finish(finished)
    titles = {table.title for table in made.tables}
    part = replace(
        part,
        findings=worst_first([*part.findings, *made.findings, *_measured_otherwise(target, finished.card)]),
        tables=(*(table for table in part.tables if table.title not in titles), *made.tables),
        figures={**part.figures, **made.figures},
        estimate=made.estimate or part.estimate,
        files=tuple(made.files),
    )
    require(target.name, [part], allowed)
    return part, made.files


def _measured_otherwise(target: Target, card: ModelCard) -> Iterator[RuleFinding]:
    others = sorted({point.kernels for point in card.operating_points if point.kernels} - {target.kernels})
    if target.kernels != "xnnpack" and others:
        yield RuleFinding(
            "note",
            f"the card's thresholds were measured with {named(others)}, other kernels than {target.name} computes with",
            f"edge-convert evaluate --kernels {target.kernels} --write-card measures them as it computes",
            rule=_THRESHOLDS,
        )


def require(target: str, parts: Sequence[Part], allowed: Collection[str]) -> None:
    """Refuse what a target refuses, rules that the user allows aside.

    Raises:
        TargetError: With the worst finding, how many more there are, and what to do.
    """
    refused = [
        (part, finding)
        for part in parts
        for finding in part.findings
        if finding.severity == "refused" and finding.rule not in allowed
    ]
    if refused:
        part, first = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise TargetError(
            f"{target}: {part.what} breaks the rule {first.rule}: {first.found}{more}; nothing was written",
            hint=f"{first.advice}; or --allow {first.rule} to take it as it is",
        )
