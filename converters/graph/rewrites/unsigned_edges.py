"""uint8 at a network's edge, int8 inside: what image pipelines of phones feed and read."""

from __future__ import annotations

import copy

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices

_SHIFT = 128


def unsigned_edges(graph: Graph) -> None:
    """Let a network take and give uint8, in place; a code of int8 is the code of uint8 less 128.

    Args:
        graph: A network with int8 input and output; others are left as they are.
    """
    for index in graph.inputs:
        if graph.dtype_name(index) == "int8":
            inner = _twin(graph, index, "signed")
            for operator in graph.consumers(index):
                operator.inputs = [inner if i == index else i for i in indices(operator.inputs)]
            _convert(graph, index, inner, at=0)
            _make_unsigned(graph, index)
    for index in graph.outputs:
        producer = graph.producer(index)
        if graph.dtype_name(index) == "int8" and producer is not None:
            inner = _twin(graph, index, "signed")
            producer.outputs = [inner if i == index else i for i in indices(producer.outputs)]
            for operator in graph.consumers(index):
                operator.inputs = [inner if i == index else i for i in indices(operator.inputs)]
            _convert(graph, inner, index, at=len(graph.operators))
            _make_unsigned(graph, index)


def _twin(graph: Graph, index: int, suffix: str) -> int:
    tensor = copy.copy(graph.tensors[index])
    tensor.name = f"{graph.name(index)}/{suffix}".encode()
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _make_unsigned(graph: Graph, index: int) -> None:
    tensor = graph.tensors[index]
    tensor.type = schema.TensorType.UINT8
    codes = copy.copy(tensor.quantization)
    codes.zeroPoint = [int(codes.zeroPoint[0]) + _SHIFT]
    tensor.quantization = codes


def _convert(graph: Graph, source: int, target: int, *, at: int) -> None:
    graph.add_operator(
        "QUANTIZE",
        [source],
        [target],
        at=at,
        version=2,
        options=schema.QuantizeOptionsT(),
        options_type=schema.BuiltinOptions.QuantizeOptions,
    )
