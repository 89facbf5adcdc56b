"""Rules that apply to more than one target."""

from __future__ import annotations

from collections.abc import Iterator

from converters.graph.graph import Graph
from converters.targets.rule import RuleFinding, join_names

_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


def static_shapes(graph: Graph) -> Iterator[RuleFinding]:
    """Every tensor has a static shape."""
    dynamic = [graph.name(i) for i in range(len(graph.tensors)) if -1 in graph.shape(i)]
    if dynamic:
        yield RuleFinding(
            "refused",
            f"{len(dynamic)} tensors of dynamic shape: {join_names(dynamic)}",
            "export with a fixed input size and batch 1; edge-convert convert sets batch 1 itself",
        )


def no_variables(graph: Graph) -> Iterator[RuleFinding]:
    """The network has no variables or resources, so that an embedding depends only on its image."""
    stateful = [f"{count} {op}" for op, count in graph.operator_counts().items() if op in _STATEFUL]
    if stateful:
        yield RuleFinding(
            "refused", join_names(stateful), "freeze the model's variables into constants before export"
        )


def no_custom_operators(graph: Graph) -> Iterator[RuleFinding]:
    """The network has no custom operators, because the device's runtime has no kernels for them."""
    custom = [f"{count} {op}" for op, count in graph.operator_counts().items() if op.startswith("'")]
    if custom:
        yield RuleFinding(
            "refused", f"custom operators: {join_names(custom)}", "replace the layer by built-in operators"
        )
