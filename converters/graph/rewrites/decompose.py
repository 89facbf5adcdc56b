"""Decompose operators without a fast int8 kernel into operators that have one; the float function stays the same.

XNNPACK has no int8 PRELU, RELU, RELU6, HARD_SWISH, GELU, MINIMUM or AVERAGE_POOL_2D, and no LEAKY_RELU with a slope
below 1/64. It runs the operators that replace them here. Only GELU changes, by at most 0.0005 per value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices
from edge_sdk.types import Float64Array

#: Operators that can be decomposed.
DECOMPOSABLE = (
    *("PRELU", "LEAKY_RELU", "RELU", "RELU6", "RELU_N1_TO_1", "AVERAGE_POOL_2D"),
    *("HARD_SWISH", "GELU", "MINIMUM", "MAXIMUM"),
)
#: The tanh form of GELU is x * sigmoid(x (a x^2 + b)) with these a and b (arXiv:1606.08415, section 2).
_GELU_FACTOR, _GELU_SUM = 0.0713548163, 1.5957691216
_FUSED = {kind: getattr(schema.ActivationFunctionType, kind) for kind in ("RELU", "RELU6", "RELU_N1_TO_1")}
_FUSING = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"}


@dataclass(frozen=True)
class Summand:
    """The term ``factor * max(-x, 0)`` that a decomposed activation adds to its operand x.

    Args:
        source: Name of the operand x.
        output: Name of the activation's output.
        factor: Shape (1,), (C,) or (..., C), the same as the slopes.
    """

    source: str
    output: str
    factor: NDArray[np.float32]


@dataclass(frozen=True)
class Increasing:
    """A tensor that an increasing function computes from another.

    Args:
        source: Name of the operand x.
        of: The function.
        even: True if it is a function of the magnitude of x.
    """

    source: str
    of: Callable[[Float64Array], Float64Array]
    even: bool = False


def decompose(graph: Graph, kinds: Collection[str]) -> dict[str, Summand | Increasing]:
    """Decompose operators in place. Call ``graph.prune()`` afterwards.

    - PReLU and LeakyReLU with slope k: x + relu((k - 1) x), which equals x for x >= 0 and k x for x < 0. If a slope
      exceeds 1, the operand of the relu is negated and a second product restores the sign.
    - ReLU and ReLU6: fused into the operator before, or into a product with 1.
    - HARD_SWISH: x * min(relu(x / 6 + 1/2), 1).
    - GELU: x * sigmoid(x (a x^2 + b)), its tanh form.
    - MINIMUM and MAXIMUM with a constant: unchanged here. The full-int8 quantizer removes them if the int8 range of the
      operand ends at the constant.
    - Average pooling over a whole image: MEAN, whose int8 output has its own scale.

    Args:
        graph: A float network.
        kinds: Kinds of operators to decompose, from ``DECOMPOSABLE``.

    Returns:
        The added terms by the name of their tensor.
    """
    added: dict[str, Summand | Increasing] = {}
    for operator in list(graph.operators):
        kind = graph.op_name(operator)
        if kind not in kinds:
            continue
        if kind in ("PRELU", "LEAKY_RELU"):
            slope = _slope(graph, operator)
            if slope is not None:
                added.update(_decompose_slope(graph, operator, slope))
        elif kind in ("HARD_SWISH", "GELU"):
            added.update(_decompose_gate(graph, operator, kind))
        elif kind in _FUSED:
            _fuse(graph, operator, _FUSED[kind])
        elif kind == "AVERAGE_POOL_2D":
            _replace_global_average(graph, operator)
    return added


def _decompose_gate(graph: Graph, operator: schema.OperatorT, kind: str) -> dict[str, Summand | Increasing]:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    x, y, shape = graph.name(source), graph.name(output), graph.shape(source)
    at = graph.operators.index(operator)
    graph.operators.remove(operator)
    linear, gate = (graph.add_tensor(f"{y}/{part}", shape, np.float32) for part in ("linear", "gate"))
    options, options_type = schema.MulOptionsT(), schema.BuiltinOptions.MulOptions
    graph.add_operator("MUL", [source, gate], [output], at=at, options=options, options_type=options_type)
    if kind == "GELU":
        square, inner = (graph.add_tensor(f"{y}/{part}", shape, np.float32) for part in ("square", "inner"))
        graph.add_operator("LOGISTIC", [linear], [gate], at=at)
        for position, (operands, product) in enumerate(
            (([source, source], square), ([source, inner], linear))
        ):
            options = schema.MulOptionsT()
            graph.add_operator(
                "MUL", operands, [product], at=at + position, options=options, options_type=options_type
            )
        _multiply(graph, square, np.full(1, _GELU_FACTOR, np.float32), inner, at=at + 1, bias=_GELU_SUM)
        return {
            graph.name(square): Increasing(x, np.square, even=True),
            f"{graph.name(inner)}/scaled": Increasing(x, lambda v: _GELU_FACTOR * v**2, even=True),
            graph.name(inner): Increasing(x, lambda v: _GELU_FACTOR * v**2 + _GELU_SUM, even=True),
            graph.name(linear): Increasing(x, lambda v: v * (_GELU_FACTOR * v**2 + _GELU_SUM)),
            graph.name(gate): Increasing(
                x, lambda v: 0.5 + 0.5 * np.tanh(v * (_GELU_FACTOR * v**2 + _GELU_SUM) / 2)
            ),
        }
    limit = graph.add_tensor(f"{y}/limit", (), np.float32, np.ones((), np.float32))
    options, options_type = schema.MaximumMinimumOptionsT(), schema.BuiltinOptions.MaximumMinimumOptions
    graph.add_operator("MINIMUM", [linear, limit], [gate], at=at, options=options, options_type=options_type)
    _multiply(
        graph, source, np.full(1, 1 / 6, np.float32), linear, at=at, activation=_FUSED["RELU"], bias=0.5
    )
    return {
        f"{graph.name(linear)}/scaled": Increasing(x, lambda v: v / 6),
        graph.name(linear): Increasing(x, lambda v: np.maximum(v / 6 + 0.5, 0)),
        graph.name(gate): Increasing(x, lambda v: np.clip(v / 6 + 0.5, 0, 1)),
    }


def _decompose_slope(
    graph: Graph, operator: schema.OperatorT, slope: NDArray[np.float32]
) -> dict[str, Summand | Increasing]:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    x, y = graph.name(source), graph.name(output)
    at = graph.operators.index(operator)
    graph.operators.remove(operator)
    size = np.abs(1 - slope)
    added = graph.add_tensor(f"{y}/below", graph.shape(source), np.float32)
    _multiply(graph, source, -size, added, at=at, activation=_FUSED["RELU"])
    summands: dict[str, Summand | Increasing] = {graph.name(added): Summand(x, y, size)}
    if slope.max() > 1:
        at += 1
        signed = graph.add_tensor(f"{y}/signed", graph.shape(source), np.float32)
        _multiply(graph, added, np.sign(1 - slope), signed, at=at)
        summands[graph.name(signed)] = Summand(x, y, 1 - slope)
        added = signed
    options = schema.AddOptionsT()
    kind = schema.BuiltinOptions.AddOptions
    graph.add_operator("ADD", [source, added], [output], at=at + 1, options=options, options_type=kind)
    return summands


def _slope(graph: Graph, operator: schema.OperatorT) -> NDArray[np.float32] | None:
    if graph.op_name(operator) == "LEAKY_RELU":
        return np.full((1,), operator.builtinOptions.alpha, np.float32)
    return graph.constant(indices(operator.inputs)[1])


def _fuse(graph: Graph, operator: schema.OperatorT, activation: int) -> None:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    producer = graph.producer(source)
    at = graph.operators.index(operator)
    graph.operators.remove(operator)
    alone = not graph.consumers(source) and source not in graph.outputs
    if (
        producer is not None
        and alone
        and graph.op_name(producer) in _FUSING
        and not producer.builtinOptions.fusedActivationFunction
    ):
        producer.builtinOptions.fusedActivationFunction = activation
        producer.outputs = [output]
    else:
        _multiply(graph, source, np.ones(1, np.float32), output, at=at, activation=activation)


def _replace_global_average(graph: Graph, operator: schema.OperatorT) -> None:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    options = operator.builtinOptions
    window = (options.filterHeight, options.filterWidth)
    # Padded positions do not count in an average, so a window of this size averages the whole image.
    if graph.shape(source)[1:3] != window or graph.shape(output)[1:3] != (1, 1):
        return
    if options.fusedActivationFunction:
        return
    at = graph.operators.index(operator)
    graph.operators.remove(operator)
    axes = graph.add_tensor(f"{graph.name(output)}/axes", (2,), np.int32, np.array([1, 2], np.int32))
    reducer = schema.ReducerOptionsT()
    reducer.keepDims = True
    kind = schema.BuiltinOptions.ReducerOptions
    graph.add_operator("MEAN", [source, axes], [output], at=at, options=reducer, options_type=kind)


def _multiply(
    graph: Graph,
    source: int,
    factor: NDArray[np.float32],
    product: int,
    *,
    at: int,
    activation: int = 0,
    bias: float = 0.0,
) -> None:
    """Multiply a tensor by a factor per channel, and add a number.

    A 1x1 depthwise convolution is used if possible: XNNPACK runs it faster and with a scale per channel. Other shapes
    and factors use MUL.
    """
    shape, name = graph.shape(source), graph.name(product)
    if len(shape) != 4 or factor.size not in (1, shape[-1]):
        constant = graph.add_tensor(f"{name}/factor", factor.shape, np.float32, factor)
        options, kind = schema.MulOptionsT(), schema.BuiltinOptions.MulOptions
        if bias:
            scaled = graph.add_tensor(f"{name}/scaled", shape, np.float32)
            graph.add_operator("MUL", [source, constant], [scaled], at=at, options=options, options_type=kind)
            constant = graph.add_tensor(f"{name}/bias", (1,), np.float32, np.full(1, bias, np.float32))
            options, kind = schema.AddOptionsT(), schema.BuiltinOptions.AddOptions
            source, at = scaled, at + 1
        options.fusedActivationFunction = activation
        op = "ADD" if bias else "MUL"
        graph.add_operator(op, [source, constant], [product], at=at, options=options, options_type=kind)
        return
    per_channel = np.broadcast_to(factor.reshape(-1), shape[-1:]).astype(np.float32)
    weights = graph.add_tensor(f"{name}/factor", (1, 1, 1, *per_channel.shape), np.float32, per_channel)
    biases = np.full_like(per_channel, bias)
    added = graph.add_tensor(f"{name}/bias", per_channel.shape, np.float32, biases)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = activation
    kind = schema.BuiltinOptions.DepthwiseConv2DOptions
    graph.add_operator(
        "DEPTHWISE_CONV_2D", [source, weights, added], [product], at=at, options=options, options_type=kind
    )
