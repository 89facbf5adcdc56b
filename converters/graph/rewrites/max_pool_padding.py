"""Replace the padding before max pooling by padding that can be quantized.

ONNX exporters pad before max pooling with a value below every activation, in TFLite a PADV2 with the lowest float32.
No quantization range and no float16 can represent that value next to real activations, and XNNPACK does not support
PADV2. Two replacements are exact: zero, if no activation is negative (usually a ReLU precedes the pooling), or copies
of the edge, which every window that reaches into the padding contains anyway.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.rewrites.equalize import fused_activation

# Below every activation; exporters write the lowest float32 or minus infinity.
_LOWEST_ACTIVATION = -1e30
_RELU, _RELU6 = 1, 3
_NOT_NEGATIVE = {"RELU", "RELU6", "RELU_0_TO_1", "LOGISTIC", "SOFTMAX", "ABS", "SQUARE", "SQRT", "EXP"}
_KEEPS_SIGN = {"MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION", "PAD", "RESHAPE", "MEAN"}


def replace_max_pool_padding(graph: Graph) -> int:
    """Replace padding with very low values before max pooling, in place. Call ``graph.prune()`` afterwards.

    Returns:
        Number of replaced paddings.
    """
    replaced = 0
    for operator in list(graph.operators):
        pads = _padding(graph, operator)
        if pads is None:
            continue
        source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
        readers = graph.consumers(output)
        if not readers or output in graph.outputs or not all(_reads_edge(graph, op, pads) for op in readers):
            continue
        at = graph.operators.index(operator)
        graph.operators.remove(operator)
        if _never_negative(graph, source):
            paddings = indices(operator.inputs)[1]
            graph.add_operator(
                "PAD",
                [source, paddings],
                [output],
                at=at,
                options=schema.PadOptionsT(),
                options_type=schema.BuiltinOptions.PadOptions,
            )
        else:
            _repeat_edges(graph, source, output, pads, at)
        replaced += 1
    return replaced


def _padding(graph: Graph, operator: schema.OperatorT) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the rows (above, below) and columns (left, right) that a PADV2 with a very low value adds, otherwise None."""
    if graph.op_name(operator) != "PADV2":
        return None
    operands = indices(operator.inputs)
    pads, value = graph.constant(operands[1]), graph.constant(operands[2])
    if (
        pads is None
        or value is None
        or pads.shape != (4, 2)
        or float(value.reshape(-1)[0]) > _LOWEST_ACTIVATION
    ):
        return None
    if pads.min() < 0 or pads[0].any() or pads[3].any():
        return None
    return (int(pads[1][0]), int(pads[1][1])), (int(pads[2][0]), int(pads[2][1]))


def _reads_edge(
    graph: Graph, operator: schema.OperatorT, pads: tuple[tuple[int, int], tuple[int, int]]
) -> bool:
    """Return True for a max pooling if each of its windows contains a position outside the padding."""
    if graph.op_name(operator) != "MAX_POOL_2D" or operator.builtinOptions.padding != schema.Padding.VALID:
        return False
    options = operator.builtinOptions
    return max(pads[0]) < int(options.filterHeight) and max(pads[1]) < int(options.filterWidth)


def _never_negative(graph: Graph, index: int) -> bool:
    operator = graph.producer(index)
    if operator is None:
        return False
    if graph.op_name(operator) in _NOT_NEGATIVE or fused_activation(operator) in (_RELU, _RELU6):
        return True
    computed = [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
    return graph.op_name(operator) in _KEEPS_SIGN and all(_never_negative(graph, i) for i in computed)


def _repeat_edges(
    graph: Graph, source: int, output: int, pads: tuple[tuple[int, int], tuple[int, int]], at: int
) -> None:
    """Concatenate copies of the outermost rows, then of the outermost columns, to the tensor."""
    name = graph.name(output)
    for axis, (before, after) in ((1, pads[0]), (2, pads[1])):
        last = axis == 2
        shape = list(graph.shape(source))
        first_edge = [] if not before else [_edge(graph, source, axis, 0, f"{name}/edge{axis}a", at)]
        last_edge = (
            [] if not after else [_edge(graph, source, axis, shape[axis] - 1, f"{name}/edge{axis}b", at)]
        )
        parts = first_edge * before + [source] + last_edge * after
        at += len(first_edge) + len(last_edge)
        shape[axis] += before + after
        joined = output if last else graph.add_tensor(f"{name}/rows", shape, np.float32)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        graph.add_operator(
            "CONCATENATION",
            parts,
            [joined],
            at=at,
            options=options,
            options_type=schema.BuiltinOptions.ConcatenationOptions,
        )
        at += 1
        source = joined


def _edge(graph: Graph, source: int, axis: int, position: int, name: str, at: int) -> int:
    """Add an operator that slices one row or column and return its output tensor."""
    shape = list(graph.shape(source))
    begin = [0, 0, 0, 0]
    begin[axis], shape[axis] = position, 1
    edge = graph.add_tensor(name, shape, np.float32)
    bounds = [
        graph.add_tensor(f"{name}/{part}", (4,), np.int32, np.array(value, np.int32))
        for part, value in (("begin", begin), ("size", shape))
    ]
    graph.add_operator(
        "SLICE",
        [source, *bounds],
        [edge],
        at=at,
        options=schema.SliceOptionsT(),
        options_type=schema.BuiltinOptions.SliceOptions,
    )
    return edge
