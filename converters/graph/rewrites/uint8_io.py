"""Give an int8 network uint8 inputs and outputs, the format of image pipelines on phones."""

from __future__ import annotations

import copy

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices

_SHIFT = 128


def convert_io_to_uint8(graph: Graph) -> None:
    """Convert int8 inputs and outputs to uint8, in place: uint8 code = int8 code + 128.

    Args:
        graph: An int8 network. Inputs and outputs of other types stay unchanged.
    """
    for index in graph.inputs:
        if graph.dtype_name(index) == "int8":
            inner = _add_signed_copy(graph, index)
            for operator in graph.consumers(index):
                operator.inputs = [inner if i == index else i for i in indices(operator.inputs)]
            _convert(graph, index, inner, at=0)
            _make_unsigned(graph, index)
    for index in graph.outputs:
        producer = graph.producer(index)
        if graph.dtype_name(index) == "int8" and producer is not None:
            inner = _add_signed_copy(graph, index)
            producer.outputs = [inner if i == index else i for i in indices(producer.outputs)]
            for operator in graph.consumers(index):
                operator.inputs = [inner if i == index else i for i in indices(operator.inputs)]
            _convert(graph, inner, index, at=len(graph.operators))
            _make_unsigned(graph, index)


def _add_signed_copy(graph: Graph, index: int) -> int:
    tensor = copy.copy(graph.tensors[index])
    tensor.name = f"{graph.name(index)}/signed".encode()
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
