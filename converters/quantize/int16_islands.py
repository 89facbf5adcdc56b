"""Run a few operators with 16-bit activations and 8-bit weights inside an int8 network.

A tensor whose channels have very different ranges loses its small channels in eight bits. If the operators around it
compute in 16 bits, it keeps them. Conversions between 8 and 16 bits are QUANTIZE operators.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from converters.errors import ConversionError
from converters.graph.graph import Graph, indices
from converters.quantize.recorded import require_computed
from converters.quantize.statistics import ChannelStatistics

#: Operators with 16-bit activations: first version with an int16 kernel.
VERSIONS = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 7, "ADD": 3, "MUL": 4}
_LONGEST = 4


def insert_conversions(graph: Graph, names: Collection[str]) -> set[int]:
    """Insert a QUANTIZE wherever 8-bit and 16-bit operators meet, in place.

    Args:
        graph: A float network.
        names: Names of the output tensors of the operators with 16-bit activations.

    Returns:
        The tensors with 16 bits.

    Raises:
        ConversionError: An operator has no 16-bit form, or computes the network's output.
    """
    require_computed(graph, "int16", names)
    inside = [op for op in graph.operators if graph.name(indices(op.outputs)[0]) in names]
    for operator in inside:
        output = indices(operator.outputs)[0]
        if graph.op_name(operator) not in VERSIONS or output in graph.outputs:
            raise ConversionError(
                f"int16: expected one of {', '.join(VERSIONS)} before the network's output, found"
                f" {graph.op_name(operator)} {graph.name(output)!r}"
            )
    wide = {indices(op.outputs)[0] for op in inside}
    converted: dict[tuple[int, bool], int] = {}
    for operator in list(graph.operators):
        widened = indices(operator.outputs)[0] in wide
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            if index < 0 or graph.constant(index) is not None or (index in wide) == widened:
                continue
            if (index, widened) not in converted:
                copy = graph.add_tensor(
                    f"{graph.name(index)}/{'int16' if widened else 'int8'}", graph.shape(index), np.float32
                )
                graph.add_operator("QUANTIZE", [index], [copy], at=graph.operators.index(operator), version=3)
                converted[index, widened] = copy
            operands[position] = converted[index, widened]
        operator.inputs = operands
    return wide | {copy for (_, widened), copy in converted.items() if widened}


def candidates(
    graph: Graph, statistics: Mapping[str, ChannelStatistics], kinds: Collection[str], count: int
) -> list[tuple[str, ...]]:
    """List islands: an operator and up to three operators after it that read tensors of the island.

    Args:
        graph: The float reference.
        statistics: Statistics of its tensors.
        kinds: Kinds of operators that may have 16-bit activations.
        count: Largest number of islands.

    Returns:
        Names of the output tensors of the operators of each island; first the islands whose tensors lose most in
        eight bits, because most of their channels are narrow.
    """
    last = set(graph.outputs)
    fitting = [
        op for op in graph.operators if graph.op_name(op) in kinds and not last & set(indices(op.outputs))
    ]
    loss: dict[tuple[str, ...], float] = {}
    for position, operator in enumerate(fitting):
        island = set(indices(operator.outputs))
        for reader in fitting[position + 1 :]:
            if len(island) < _LONGEST and island & set(indices(reader.inputs)):
                island.update(indices(reader.outputs))
        if len(island) > 1:
            names = tuple(sorted(map(graph.name, island)))
            loss[names] = sum(_loss(statistics[name]) for name in names)
    return sorted(loss, key=lambda names: -loss[names])[:count]


def _loss(channels: ChannelStatistics) -> float:
    """Return the mean square of the step of eight bits in relation to the range of each channel."""
    reach = np.maximum(np.abs(channels.low), np.abs(channels.high))
    return float(np.mean((reach.max() / reach[reach > 0]) ** 2)) if reach.any() else 0.0
