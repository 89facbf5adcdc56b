"""Check networks against a target's rules before conversion, after quantization, and when by-products are generated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.errors import TargetError
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.targets.base import ArtefactFile, Estimate, FinishResult, ReportTable, Target
from converters.targets.operator_table import parse_for_rules
from converters.targets.rule import RuleFinding, apply_rules, join_names, worst_first
from edge_sdk.model.card import ModelCard

_THRESHOLDS = "thresholds-of-its-own-kernels"


@dataclass(frozen=True)
class NetworkReport:
    """Results of checking one network. The field names are keys of the JSON report.

    Args:
        what: File name, or a description such as ``float network``.
        rules: Number of rules that were checked.
        findings: Findings, the most severe first.
        tables: Tables for the report.
        figures: Single values: label -> value with its unit.
        estimate: Computed time of one inference.
        files: Names of the by-products.
    """

    what: str
    rules: int
    findings: tuple[RuleFinding, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate | None = None
    files: tuple[str, ...] = ()

    def count(self, severity: str) -> int:
        """Count the findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


@dataclass(frozen=True)
class TargetReport:
    """Section of a report about one target. The field names are keys of the JSON report.

    Args:
        target: Name of the target.
        summary: The hardware and its runtime.
        parts: Reports about the float network and each artefact for the target.
    """

    target: str
    summary: str
    parts: tuple[NetworkReport, ...]

    @property
    def refused(self) -> tuple[RuleFinding, ...]:
        """Findings of the severity ``refused``."""
        return tuple(f for part in self.parts for f in part.findings if f.severity == "refused")

    def lines(self) -> list[str]:
        """Format the section for a terminal."""
        lines = [f"{self.target}: {self.summary}"]
        for part in self.parts:
            broken = len({finding.rule for finding in part.findings if finding.severity != "note"})
            lines.append(f"  {part.what}: {part.rules} rules, {broken or 'none'} broken")
            lines += [f"    {finding.line()}" for finding in part.findings]
            lines += [f"    {name}: {value}" for name, value in part.figures.items()]
            if part.estimate is not None:
                lines.append(f"    {part.estimate.milliseconds:.3g} ms per inference, {part.estimate.basis}")
            if part.files:
                lines.append(f"    generated files: {', '.join(part.files)}")
        return lines


def check_float_network(target: Target, graph: Graph) -> NetworkReport:
    """Check a canonical float network against the rules that apply before conversion."""
    return NetworkReport("float network", len(target.network_rules), apply_rules(target.network_rules, graph))


def check_file(target: Target, network: Network, what: str) -> NetworkReport:
    """Check an artefact's network against the target's rules and, if none refuses it, in the target's tool.

    Args:
        target: The target.
        network: The FlatBuffer.
        what: Name of the network in the report.
    """
    graph = parse_for_rules(network)
    findings = apply_rules(target.file_rules, graph)
    if all(finding.severity != "refused" for finding in findings):
        findings = worst_first([*findings, *target.confirm(network)])
    return NetworkReport(
        what,
        len(target.file_rules),
        findings,
        tables=target.describe(graph),
        estimate=target.estimate(graph),
    )


def finish_artefact(
    target: Target, artefact: ArtefactFile, *, allowed: Collection[str] = ()
) -> tuple[NetworkReport, Mapping[str, bytes]]:
    """Check an artefact and generate its by-products.

    Args:
        target: The target.
        artefact: The artefact.
        allowed: Names of rules whose refusals are ignored.

    Returns:
        The report about the artefact, and the by-products: name -> content.

    Raises:
        TargetError: The target refuses the artefact by a rule that is not in ``allowed``.
    """
    report = check_file(target, artefact.network, artefact.file)
    raise_if_refused(target.name, [report], allowed)
    result = FinishResult() if target.finish is None else target.finish(artefact)
    titles = {table.title for table in result.tables}
    report = replace(
        report,
        findings=worst_first([*report.findings, *result.findings, *_other_kernels(target, artefact.card)]),
        tables=(*(table for table in report.tables if table.title not in titles), *result.tables),
        figures={**report.figures, **result.figures},
        estimate=result.estimate or report.estimate,
        files=tuple(result.files),
    )
    raise_if_refused(target.name, [report], allowed)
    return report, result.files


def _other_kernels(target: Target, card: ModelCard) -> Iterator[RuleFinding]:
    others = sorted({point.kernels for point in card.operating_points if point.kernels} - {target.kernels})
    if target.kernels != "xnnpack" and others:
        yield RuleFinding(
            "note",
            f"the card's thresholds were measured with {join_names(others)} kernels; {target.name} computes with"
            f" {target.kernels} kernels",
            f"measure them again: edge-convert evaluate --kernels {target.kernels} --write-card",
            rule=_THRESHOLDS,
        )


def raise_if_refused(target: str, reports: Sequence[NetworkReport], allowed: Collection[str]) -> None:
    """Raise an error if a target refuses a network by a rule that is not in ``allowed``.

    Raises:
        TargetError: With the first refusal, the number of others, and the remedy.
    """
    refused = [
        (report, finding)
        for report in reports
        for finding in report.findings
        if finding.severity == "refused" and finding.rule not in allowed
    ]
    if refused:
        report, first = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise TargetError(
            f"{target}: {report.what} breaks the rule {first.rule}: {first.found}{more}",
            hint=f"{first.advice}; --allow {first.rule} ignores this rule, and other rules or the quantizer may still refuse",
        )
