"""A dense layer as the 1x1 convolution it is: the same sums, for runtimes that know one weight scale for dense layers."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices


def dense_as_convolution(graph: Graph) -> int:
    """Replace dense layers of constant weights with a scale for each channel, in place.

    A convolution has had a scale per output channel from the start; a dense layer got it years later. Weights,
    biases and scales stay what they are, so the integers that come out are the same.

    Returns:
        How many were replaced.
    """
    dense = [operator for operator in graph.operators if _is_per_channel(graph, operator)]
    for operator in dense:
        _replace(graph, operator)
    graph.prune()
    return len(dense)


def _is_per_channel(graph: Graph, operator: schema.OperatorT) -> bool:
    if graph.op_name(operator) != "FULLY_CONNECTED":
        return False
    weights = indices(operator.inputs)[1]
    codes = graph.tensors[weights].quantization
    scales = None if codes is None else codes.scale
    return graph.constant(weights) is not None and scales is not None and len(scales) > 1


def _replace(graph: Graph, operator: schema.OperatorT) -> None:
    source, weights, *bias = indices(operator.inputs)
    (target,) = indices(operator.outputs)
    values = graph.constant(weights)
    if values is None:  # pragma: no cover  _is_per_channel has looked
        return
    channels, depth = values.shape
    rows = int(np.prod(graph.shape(source))) // depth
    name = graph.name(target)
    kernel = graph.add_tensor(f"{graph.name(weights)}/1x1", (channels, 1, 1, depth), values.dtype)
    graph.tensors[kernel].buffer = graph.tensors[weights].buffer
    graph.tensors[kernel].quantization = graph.tensors[weights].quantization
    place = graph.operators.index(operator)
    image = _reshaped(graph, source, (1, 1, rows, depth), f"{name}/rows", place)
    place = graph.operators.index(operator)
    sums = graph.add_tensor(f"{name}/1x1", (1, 1, rows, channels), values.dtype)
    graph.tensors[sums].quantization = graph.tensors[target].quantization
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
    graph.add_operator(
        "CONV_2D",
        [image, kernel, *bias],
        [sums],
        at=place,
        version=3,
        options=options,
        options_type=schema.BuiltinOptions.Conv2DOptions,
    )
    graph.operators.remove(operator)
    _reshape(graph, sums, target, place + 1)


def _reshaped(graph: Graph, source: int, shape: tuple[int, ...], name: str, place: int) -> int:
    if graph.shape(source) == shape:
        return source
    found = graph.add_tensor(name, shape, np.int8)
    graph.tensors[found].type = graph.tensors[source].type
    graph.tensors[found].quantization = graph.tensors[source].quantization
    _reshape(graph, source, found, place)
    return found


def _reshape(graph: Graph, source: int, target: int, place: int) -> None:
    shape = graph.shape(target)
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    asked = graph.add_tensor(
        f"{graph.name(target)}/shape", (len(shape),), np.int32, np.array(shape, np.int32)
    )
    graph.add_operator(
        "RESHAPE",
        [source, asked],
        [target],
        at=place,
        options=options,
        options_type=schema.BuiltinOptions.ReshapeOptions,
    )
