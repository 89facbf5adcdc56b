"""Fuse piecewise-linear activations that an exporter decomposed into several operators.

Exporters write PReLU as MAXIMUM/MINIMUM/MUL/ADD, as RELU/ABS/SUB/MUL/ADD, or (from PyTorch) as RELU/MUL/MUL/SUB with
a RELU fused into the first MUL. Each intermediate tensor is ``a * x`` for x >= 0 and ``b * x`` for x < 0, per channel,
so the operators are evaluated symbolically as the pair (a, b). If a is 1, they compute PReLU(x) with slope b
(arXiv:1502.01852). One operator is faster in float, and in int8 it rounds once instead of four times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.rewrites.equalize import fused_activation
from edge_sdk.types import FloatArray

_UNARY = {"RELU", "ABS", "NEG", "LEAKY_RELU", "PRELU"}
_BINARY = {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"}
# The longest known form is PReLU as RELU/ABS/SUB/MUL/MUL/ADD; the limit keeps the search linear.
_MAX_OPERATORS = 8
_NONE, _RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU


@dataclass(frozen=True)
class _Slopes:
    """The tensor ``right * x`` for x >= 0 and ``left * x`` for x < 0; shapes broadcast to (C,)."""

    right: FloatArray
    left: FloatArray


def fuse_activations(graph: Graph) -> int:
    """Replace each decomposed PReLU, LeakyReLU or ReLU by one operator, in place. Call ``graph.prune()`` afterwards.

    Returns:
        Number of fused activations.
    """
    producers = {i: op for op in graph.operators for i in indices(op.outputs)}
    fused = 0
    for operator in list(graph.operators):
        if graph.op_name(operator) not in {"ADD", "SUB", "MAXIMUM"} or fused_activation(operator):
            continue
        output = indices(operator.outputs)[0]
        activation = _as_activation(graph, producers, output)
        if activation is not None:
            base, slopes = activation
            _replace(graph, operator, base, slopes)
            fused += 1
    return fused


def split_clips(graph: Graph) -> int:
    """Replace RELU_0_TO_1 (from ONNX HardSigmoid), which XNNPACK does not support, by RELU and MINIMUM, in place.

    Returns:
        Number of replaced operators.
    """
    clips = [operator for operator in graph.operators if graph.op_name(operator) == "RELU_0_TO_1"]
    for operator in clips:
        source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
        name = graph.name(output)
        above = graph.add_tensor(f"{name}/relu", graph.shape(output), np.float32)
        limit = graph.add_tensor(f"{name}/one", (), np.float32, np.ones((), np.float32))
        at = graph.operators.index(operator)
        graph.operators.remove(operator)
        graph.add_operator("RELU", [source], [above], at=at)
        options = schema.MaximumMinimumOptionsT()
        graph.add_operator(
            "MINIMUM",
            [above, limit],
            [output],
            at=at + 1,
            options=options,
            options_type=schema.BuiltinOptions.MaximumMinimumOptions,
        )
    return len(clips)


def _as_activation(
    graph: Graph, producers: dict[int, schema.OperatorT], output: int
) -> tuple[int, _Slopes] | None:
    shape = graph.shape(output)
    for base in _bases(graph, producers, output):
        if graph.shape(base) != shape:
            continue
        slopes = _evaluate(graph, producers, output, base, {})
        if slopes is not None and np.all(slopes.right == 1):
            return base, slopes
    return None


def _bases(graph: Graph, producers: dict[int, schema.OperatorT], output: int) -> list[int]:
    """Return the computed tensors that the output depends on through a few element-wise operators, nearest first."""
    seen: list[int] = []
    frontier = [output]
    for _ in range(_MAX_OPERATORS):
        following: list[int] = []
        for index in frontier:
            operator = producers.get(index)
            if operator is None or graph.op_name(operator) not in _UNARY | _BINARY:
                continue
            following += [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
        frontier = [i for i in dict.fromkeys(following) if i not in seen]
        seen += frontier
    return seen


def _evaluate(
    graph: Graph,
    producers: dict[int, schema.OperatorT],
    index: int,
    base: int,
    known: dict[int, _Slopes | None],
) -> _Slopes | None:
    if index == base:
        identity = np.ones(1, np.float32)
        return _Slopes(identity, identity)
    if index not in known:
        known[index] = None
        operator = producers.get(index)
        if operator is not None and fused_activation(operator) in (_NONE, _RELU):
            slopes = _apply(graph, producers, operator, base, known)
            if slopes is not None and fused_activation(operator) == _RELU:
                slopes = _relu(slopes)
            known[index] = slopes
    return known[index]


def _apply(
    graph: Graph,
    producers: dict[int, schema.OperatorT],
    operator: schema.OperatorT,
    base: int,
    known: dict[int, _Slopes | None],
) -> _Slopes | None:
    name = graph.op_name(operator)
    if name not in _UNARY | _BINARY or len(known) > 2 * _MAX_OPERATORS:
        return None
    operands: list[_Slopes | FloatArray] = []
    for i in indices(operator.inputs):
        constant = graph.constant(i)
        value = (
            _per_channel(constant) if constant is not None else _evaluate(graph, producers, i, base, known)
        )
        if value is None:
            return None
        operands.append(value)
    if name in _UNARY:
        return _unary(name, operator, operands)
    return _binary(name, operands[0], operands[1])


def _unary(name: str, operator: schema.OperatorT, operands: list[Any]) -> _Slopes | None:
    x = operands[0]
    if not isinstance(x, _Slopes):
        return None
    if name == "RELU":
        return _relu(x)
    if name == "ABS":
        return _Slopes(np.abs(x.right), -np.abs(x.left))
    if name == "NEG":
        return _Slopes(-x.right, -x.left)
    slope = operands[1] if name == "PRELU" else np.float32(operator.builtinOptions.alpha)
    if isinstance(slope, _Slopes):
        return None
    return _Slopes(
        np.where(x.right >= 0, x.right, x.right * slope), np.where(x.left <= 0, x.left, x.left * slope)
    )


def _binary(name: str, first: _Slopes | FloatArray, second: _Slopes | FloatArray) -> _Slopes | None:
    if isinstance(first, _Slopes) and isinstance(second, _Slopes):
        if name == "ADD":
            return _Slopes(first.right + second.right, first.left + second.left)
        if name == "SUB":
            return _Slopes(first.right - second.right, first.left - second.left)
        if name == "MAXIMUM":
            return _Slopes(np.maximum(first.right, second.right), np.minimum(first.left, second.left))
        if name == "MINIMUM":
            return _Slopes(np.minimum(first.right, second.right), np.maximum(first.left, second.left))
        return None
    x, constant = (first, second) if isinstance(first, _Slopes) else (second, first)
    if not isinstance(x, _Slopes) or isinstance(constant, _Slopes):
        return None
    if name == "MUL":
        return _Slopes(x.right * constant, x.left * constant)
    if np.any(constant != 0):
        return None
    if name == "MAXIMUM":
        return _relu(x)
    if name == "MINIMUM":
        return _Slopes(np.minimum(x.right, 0), np.maximum(x.left, 0))
    return None


def _relu(x: _Slopes) -> _Slopes:
    return _Slopes(np.maximum(x.right, 0), np.minimum(x.left, 0))


def _per_channel(constant: Any) -> FloatArray | None:
    """Return a constant that varies only along the last axis in shape (C,) or (1,), otherwise None."""
    if constant.dtype != np.float32 or constant.size not in (1, *constant.shape[-1:]):
        return None
    flat: FloatArray = constant.reshape(-1)
    return flat


def _replace(graph: Graph, operator: schema.OperatorT, base: int, slopes: _Slopes) -> None:
    output = indices(operator.outputs)[0]
    channels = graph.shape(output)[-1]
    left = np.broadcast_to(slopes.left, (channels,)).astype(np.float32)
    at = graph.operators.index(operator)
    if np.all(left == 0):
        graph.add_operator("RELU", [base], [output], at=at)
    elif np.all(left == left[0]):
        options = schema.LeakyReluOptionsT()
        options.alpha = float(left[0])
        graph.add_operator(
            "LEAKY_RELU",
            [base],
            [output],
            at=at,
            options=options,
            options_type=schema.BuiltinOptions.LeakyReluOptions,
        )
    else:
        # XNNPACK, TensorFlow's calibrator and tflite-micro all accept slopes of shape [1, 1, C].
        alpha = left.reshape((1,) * (len(graph.shape(output)) - 2) + (channels,))
        slope = graph.add_tensor(f"{graph.name(output)}/slope", alpha.shape, np.float32, alpha)
        graph.add_operator("PRELU", [base, slope], [output], at=at)
    graph.operators.remove(operator)
