"""Find cheap operators that have only float operators as neighbours, so that they can compute in float too.

In int8, such operators would cost two conversions and one more rounding. Their range often does not fit in eight bits,
such as that of exp(x) in exp(x) - 1 or of the variance in a normalization.
"""

from __future__ import annotations

from collections.abc import Collection

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices

# Operators that are cheap in float. Convolutions are not: they are faster in int8 at any position.
_CHEAP = {"ADD", "SUB", "MUL", "MEAN", "SUM", "TANH", "LOGISTIC"}


def find_float_islands(graph: Graph, float_operators: Collection[str]) -> tuple[str, ...]:
    """Find cheap operators with one computed operand whose neighbours all compute in float.

    Args:
        graph: A float network, or the integer network quantized from it.
        float_operators: Kinds of operators that compute in float.

    Returns:
        Names of the operators' output tensors.
    """
    producers = {i: op for op in graph.operators for i in indices(op.outputs)}
    readers: dict[int, list[schema.OperatorT]] = {}
    for operator in graph.operators:
        for i in indices(operator.inputs):
            readers.setdefault(i, []).append(operator)
    island = {
        indices(op.outputs)[0]: op
        for op in graph.operators
        if graph.op_name(op) in _CHEAP and len(_computed(graph, op)) == 1
    }

    def in_float(operator: schema.OperatorT | None) -> bool:
        return operator is not None and (
            graph.op_name(operator) in float_operators or indices(operator.outputs)[0] in island
        )

    # Start with all candidates, so that chains stay together, and remove those with a neighbour that is not in float.
    while outside := [
        output
        for output, op in island.items()
        if not in_float(producers.get(_computed(graph, op)[0]))
        or output not in readers
        or not all(in_float(reader) for reader in readers[output])
    ]:
        for output in outside:
            del island[output]
    return tuple(sorted(graph.name(output) for output in island))


def _computed(graph: Graph, operator: schema.OperatorT) -> list[int]:
    return [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
