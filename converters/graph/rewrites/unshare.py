"""Give every weighted operator its own constants, because a constant with several readers cannot be scaled for one of them."""

from __future__ import annotations

import copy

from converters.graph.graph import Graph, indices

_OWNERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU"}


def unshare_constants(graph: Graph) -> int:
    """Copy weights, biases and slopes that several operators read, in place.

    A copy shares its buffer with the original until one of them gets another value, so the file hardly grows.

    Returns:
        Number of copies.
    """
    read: set[int] = set()
    copies = 0
    for operator in graph.operators:
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            if index < 0 or graph.constant(index) is None:
                continue
            if index in read and position and graph.op_name(operator) in _OWNERS:
                tensor = copy.copy(graph.tensors[index])
                tensor.name = f"{graph.name(index)}#{len(graph.tensors)}".encode()
                graph.tensors.append(tensor)
                operands[position] = len(graph.tensors) - 1
                copies += 1
            read.add(index)
        operator.inputs = operands
    return copies
