"""Replace dense layers by 1x1 convolutions, for runtimes that support only one weight scale per dense layer."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices


def replace_dense_layers(graph: Graph) -> int:
    """Replace, in place, dense layers whose constant weights have a scale per output channel.

    Every runtime supports a scale per output channel in convolutions; older ones do not in dense layers. Weights,
    biases and scales stay the same, so the network computes the same integers.

    Returns:
        Number of replaced layers.
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
    if values is None:  # pragma: no cover  _is_per_channel has checked
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
    target = graph.add_tensor(name, shape, np.int8)
    graph.tensors[target].type = graph.tensors[source].type
    graph.tensors[target].quantization = graph.tensors[source].quantization
    _reshape(graph, source, target, place)
    return target


def _reshape(graph: Graph, source: int, target: int, place: int) -> None:
    shape = graph.shape(target)
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    new_shape = graph.add_tensor(
        f"{graph.name(target)}/shape", (len(shape),), np.int32, np.array(shape, np.int32)
    )
    graph.add_operator(
        "RESHAPE",
        [source, new_shape],
        [target],
        at=place,
        options=options,
        options_type=schema.BuiltinOptions.ReshapeOptions,
    )
