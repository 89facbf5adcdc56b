"""Give every weighted operator its own constants, because a constant with several readers cannot be scaled for one of them; and undo it."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices

#: Smaller weights are left alone.
_LARGE_BYTES = 1024
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


def share_weights(graph: Graph) -> None:
    """Let operators whose weights are equal in value and quantization read one tensor, in place.

    Each tensor of weights has its own table of scales in the file, which is larger than the rest of the operator in a
    recurrent network with one operator for each step.
    """
    first: dict[tuple[object, ...], int] = {}
    same: dict[int, int] = {}
    for operator in graph.operators:
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            value = graph.constant(index) if index >= 0 else None
            if value is None or value.ndim < 2 or value.nbytes < _LARGE_BYTES:
                continue
            if index not in same:
                same[index] = first.setdefault(_identity(graph, index, value), index)
            operands[position] = same[index]
        operator.inputs = operands


def _identity(graph: Graph, index: int, value: NDArray[Any]) -> tuple[object, ...]:
    quantization = graph.tensors[index].quantization
    tables = () if quantization is None else (quantization.scale, quantization.zeroPoint)
    return (
        hashlib.sha256(value.tobytes()).digest(),
        value.dtype.str,
        value.shape,
        *(None if table is None else np.asarray(table).tobytes() for table in tables),
        None if quantization is None else quantization.quantizedDimension,
    )
