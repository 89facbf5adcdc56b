"""``edge-convert lint``: check a file against targets' rules without converting it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.errors import SourceError
from converters.graph.canonical import bring_into_form
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.structure import analysis
from converters.targets.base import Target
from converters.targets.check import TargetReport, check_file, check_float_network
from converters.targets.operator_table import parse_for_rules
from edge_sdk.escaping import escaped_line
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split

SCHEMA = "edge-sdk/lint/1"


@dataclass(frozen=True)
class LintReport:
    """Result of ``edge-convert lint``. The field names are keys of the JSON output.

    Args:
        file: File name.
        integer: True for a quantized network, which is checked as an artefact; False for a float network, which is checked as the
            input of a conversion.
        sections: One report for each target.
    """

    file: str
    integer: bool
    sections: tuple[TargetReport, ...]

    @property
    def refused(self) -> bool:
        """True if at least one target refuses the file."""
        return any(section.refused for section in self.sections)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"schema": SCHEMA, "refused": self.refused, **asdict(self)}

    def to_text(self) -> str:
        """Format the report for a terminal."""
        kind = (
            "integer network, checked as it is"
            if self.integer
            else "float network, checked as input of a conversion"
        )
        lines = [f"{self.file}: {kind}"]
        for section in self.sections:
            lines += ["", *section.lines()]
        return "\n".join(map(escaped_line, lines))


def lint(path: str | Path, targets: Sequence[Target]) -> LintReport:
    """Check a .tflite against the rules of targets.

    A float network is first brought into canonical form, as a conversion does: batch 1, constants folded, each activation function as one
    operator.

    Raises:
        ModelError: The file is missing, unreadable, or not a .tflite.
        SourceError: The file is damaged, or has more than one subgraph.
    """
    data = read_model_bytes(path)
    check_identifier(data, path)
    network = Network(split(data)[0])
    with analysis(path):
        graph = parse_for_rules(network)
        integer = _is_integer_network(graph)
        if not integer:
            graph = _canonical(network, graph)
        sections = []
        for target in targets:
            report = (
                check_file(target, network, "as it is") if integer else check_float_network(target, graph)
            )
            sections.append(TargetReport(target.name, target.summary, (report,)))
    return LintReport(Path(path).name, integer, tuple(sections))


def _canonical(network: Network, graph: Graph) -> Graph:
    """Bring a float network into canonical form; return it unchanged if that fails, so that the rules report the cause."""
    shape = graph.shape(graph.inputs[0])
    try:
        # The set of operators does not depend on the range, so any values will do.
        contract = ArrayContract(tuple(shape[1:]))
        canonical = parse_for_rules(network).copy()
        bring_into_form(canonical, contract)
    except (ValueError, SourceError):
        return graph
    return canonical


def _is_integer_network(graph: Graph) -> bool:
    if not graph.operators:
        raise SourceError("expected a network with operators, found none")
    return any(graph.dtype_name(i) in ("int8", "uint8", "int16") for i in [*graph.inputs, *graph.computed()])
