"""``edge-convert lint``: what a target would make of a file, before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.errors import SourceError
from converters.graph.canonical import bring_into_form
from converters.graph.graph import Graph
from converters.targets.base import Target
from converters.targets.check import Section, examine_file, examine_network
from converters.targets.operator_table import legible
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split

SCHEMA = "edge-sdk/lint/1"


@dataclass(frozen=True)
class Lint:
    """What rules say of one file.

    Args:
        file: Its name.
        integer: Whether it is quantized: then it is a file to run, else a network to convert.
        sections: One for each target.
    """

    file: str
    integer: bool
    sections: tuple[Section, ...]

    @property
    def refused(self) -> bool:
        """Whether one of the targets refuses it."""
        return any(section.refused for section in self.sections)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"schema": SCHEMA, "refused": self.refused, **asdict(self)}

    def to_text(self) -> str:
        """The same for a terminal."""
        kind = "an integer file, as it would run" if self.integer else "a float network, as it would convert"
        lines = [f"{self.file}: {kind}"]
        for section in self.sections:
            lines += ["", *section.lines()]
        return "\n".join(lines)


def lint(path: str | Path, targets: Sequence[Target]) -> Lint:
    """Hold a .tflite against the rules of targets.

    A float network is brought into canonical form first, as converting it does: batch 1, constants folded,
    activations in one operator each.

    Raises:
        ModelError: Missing, unreadable, not a .tflite.
        SourceError: Damaged, or with more than one subgraph.
    """
    data = read_model_bytes(path)
    check_identifier(data, path)
    network, _ = split(data)
    graph = legible(network)
    integer = is_integer_network(graph)
    if not integer:
        graph = _in_form(network, graph)
    sections = []
    for target in targets:
        part = examine_file(target, network, "as it is") if integer else examine_network(target, graph)
        sections.append(Section(target.name, target.summary, (part,)))
    return Lint(Path(path).name, integer, tuple(sections))


def _in_form(network: bytes, graph: Graph) -> Graph:
    """The canonical form where the network can take it; else as it is, which the rules then say."""
    shape = graph.shape(graph.inputs[0])
    try:
        _, height, width, channels = shape
        color = {1: "gray", 3: "rgb"}[channels]
        # What the pixels become has no part in what operators there are.
        contract = InputContract(height, width, color, (0.0,) * channels, (1.0,) * channels)
        formed = legible(network)
        bring_into_form(formed, contract)
    except (ValueError, KeyError, SourceError):
        return graph
    return formed


def is_integer_network(graph: Graph) -> bool:
    """Whether a network computes in integers, in part at least."""
    if not graph.operators:
        raise SourceError("expected a network with operators, found none")
    return any(graph.dtype_name(i) in ("int8", "uint8", "int16") for i in [*graph.inputs, *graph.computed()])
