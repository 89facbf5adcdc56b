"""Count the multiplications of a network."""

from __future__ import annotations

from converters.graph.graph import Graph, indices

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def multiplications(graph: Graph) -> dict[str, int]:
    """Count the multiplications of each operator with weights, by the name of its output; other operators have few.

    Args:
        graph: A float network with static shapes.
    """
    counts = {}
    for operator in graph.operators:
        if graph.op_name(operator) not in _WEIGHTED:
            continue
        output, weights = indices(operator.outputs)[0], graph.shape(indices(operator.inputs)[1])
        count = 1
        # Count the weights of one output value in shapes (out, h, w, in), (1, h, w, out) and (out, in).
        for size in weights[1:-1] if graph.op_name(operator) == "DEPTHWISE_CONV_2D" else weights[1:]:
            count *= size
        for size in graph.shape(output):
            count *= size
        counts[graph.name(output)] = count
    return counts
