"""Bring PReLU slopes between -1 and 1, channel by channel, without changing the float function.

A PReLU with slope k equals a mirrored PReLU with slope 1/k: PReLU_k(x) = -k PReLU_1/k(-x). The sign is folded into
the weights before the PReLU and -k into the weights after it. An int8 network stores all slopes of a layer at one
scale: if one slope is 9, a slope of 0.1 has only three quantization steps. A mirrored channel also has its large
values on the positive side, like the other channels, so the shared range needs less of the negative side.
"""

from __future__ import annotations

import numpy as np

from converters.graph.graph import Graph, indices
from converters.graph.rewrites.equalize import Group, find_groups, fused_activation, multiply_channels
from edge_sdk.types import Float64Array

# Operators allowed between a PReLU and the weights after it; they must be linear.
_LINEAR = {"PAD", "AVERAGE_POOL_2D", "MEAN"}


def bound_slopes(graph: Graph) -> dict[int, Float64Array]:
    """Mirror, in place, every channel whose slope exceeds 1 in magnitude if the weights around it can absorb the factor.

    Returns:
        The divisor of each changed tensor by tensor index, shape (C,), never zero.
    """
    divided: dict[int, Float64Array] = {}
    for group in find_groups(graph):
        slopes = _slopes(graph, group)
        if slopes is None or not (np.abs(slopes) > 1).any():
            continue
        steep = np.abs(slopes) > 1
        before = np.where(steep, -1.0, 1.0)
        after = np.where(steep, -slopes, 1.0)
        (producer,) = group.producers
        multiply_channels(graph, producer, before, output=True)
        for consumer in group.consumers:
            multiply_channels(graph, consumer, after, output=False)
        source = indices(producer.outputs)[0]
        for reader in graph.consumers(source):
            alpha = indices(reader.inputs)[1]
            shape = graph.shape(alpha)
            bounded = np.where(steep, 1 / np.where(steep, slopes, 1.0), slopes).astype(np.float32)
            graph.set_constant(alpha, bounded.reshape(shape))
        divided[source] = before
        divided.update({i: after for i in group.tensors if i != source})
    return divided


def _slopes(graph: Graph, group: Group) -> Float64Array | None:
    """Return the slopes of the group's only PReLU, shape (C,), or None if anything else in the group is not linear."""
    if len(group.producers) != 1 or fused_activation(group.producers[0]):
        return None
    source = indices(group.producers[0].outputs)[0]
    readers = graph.consumers(source)
    if len(readers) != 1 or graph.op_name(readers[0]) != "PRELU":
        return None
    inside = [op for op in graph.operators if set(indices(op.outputs)) & set(group.tensors) - {source}]
    if any(op is not readers[0] and graph.op_name(op) not in _LINEAR for op in inside):
        return None
    alpha = indices(readers[0].inputs)[1]
    value = graph.constant(alpha)
    if value is None or value.size != group.channels or len(graph.consumers(alpha)) != 1:
        return None
    return value.astype(np.float64).reshape(-1)
