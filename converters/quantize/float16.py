"""Store weights as float16: half the size, supported by CPUs (XNNPACK) and GPU delegates."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import indices
from converters.graph.network import Network

_LARGEST = float(np.finfo(np.float16).max)


def to_float16(network: Network) -> Network:
    """Store float32 constants as float16, each followed by a DEQUANTIZE; every TFLite runtime supports this form.

    Args:
        network: A canonical float network.

    Returns:
        The network. On a CPU it computes in float32 with weights rounded to float16. Single numbers and constants with
        a value outside the range of float16 stay float32.
    """
    graph = network.edit()
    read = {i for op in graph.operators for i in indices(op.inputs) if i >= 0}
    halves: dict[tuple[int, tuple[int, ...]], int] = {}  # constants that share a buffer keep sharing one
    for index in sorted(read):
        value = graph.constant(index)
        if value is None or value.dtype != np.float32:
            continue
        if value.size <= 1 or np.abs(value).max() > _LARGEST:
            continue
        shared = (graph.tensors[index].buffer, value.shape)
        if shared not in halves:
            half = value.astype(np.float16)
            halves[shared] = graph.add_tensor(f"{graph.name(index)}/float16", half.shape, np.float16, half)
        stored = halves[shared]
        graph.tensors[index].buffer = 0
        graph.add_operator(
            "DEQUANTIZE",
            [stored],
            [index],
            at=0,
            options=schema.DequantizeOptionsT(),
            options_type=schema.BuiltinOptions.DequantizeOptions,
        )
    graph.prune()
    return Network.of(graph)
