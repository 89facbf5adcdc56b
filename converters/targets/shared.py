"""Rules that more than one target asks for."""

from __future__ import annotations

from collections.abc import Iterator

from converters.graph.graph import Graph
from converters.targets.rule import RuleFinding, named

_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


def static_shapes(graph: Graph) -> Iterator[RuleFinding]:
    """Every tensor's shape is known before the network runs."""
    dynamic = [graph.name(i) for i in range(len(graph.tensors)) if -1 in graph.shape(i)]
    if dynamic:
        yield RuleFinding(
            "refused",
            f"{len(dynamic)} tensors of dynamic shape: {named(dynamic)}",
            "export with a fixed input size and batch 1; edge-convert convert fixes the batch by itself",
        )


def no_variables(graph: Graph) -> Iterator[RuleFinding]:
    """No variables and no resources: an embedding depends on its image alone."""
    found = [f"{count} {op}" for op, count in graph.operator_counts().items() if op in _STATEFUL]
    if found:
        yield RuleFinding(
            "refused", named(found), "freeze the model's variables into constants before export"
        )


def no_custom_operators(graph: Graph) -> Iterator[RuleFinding]:
    """No custom operators: the device's runtime does not have them."""
    found = [f"{count} {op}" for op, count in graph.operator_counts().items() if op.startswith("'")]
    if found:
        yield RuleFinding(
            "refused", f"custom operators: {named(found)}", "replace the layer by built-in operators"
        )
