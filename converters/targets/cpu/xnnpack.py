"""What XNNPACK, LiteRT's CPU delegate, takes, and into how many partitions a network falls.

Measured, not read: networks of one operator each, in float32, int8 and uint8, loaded into ai-edge-litert 2.3;
``tests/unit/converters/targets/cpu/test_xnnpack.py`` loads them again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import SourceError
from converters.graph.graph import Graph, indices
from converters.targets.operator_table import (
    OperatorTable,
    fused_activation,
    is_integer,
    operand,
    option,
    output,
    refusals,
    scales,
    statements,
    zero_point,
)

_CLAMPS = {"NONE", "RELU", "RELU6", "RELU_N1_TO_1"}
_TYPES = {"float32", "int8", "uint8"}
_MAX_CONCATENATED = 5
_MAX_SPLIT = 4


def known_type(graph: Graph, operator: schema.OperatorT) -> str:
    """float32, int8 or uint8."""
    found = graph.dtype_name(output(operator))
    return "" if found in _TYPES else found


def constant_shape(graph: Graph, operator: schema.OperatorT) -> str:
    """The new shape is constant."""
    index = operand(operator, 1)
    return "a computed shape" if index >= 0 and graph.constant(index) is None else ""


def float_only(graph: Graph, operator: schema.OperatorT) -> str:
    """In float only."""
    return f"{graph.dtype_name(output(operator))}" if _quantized(graph, operator) else ""


def float_or_int8(graph: Graph, operator: schema.OperatorT) -> str:
    """Not in uint8."""
    return "uint8" if graph.dtype_name(output(operator)) == "uint8" else ""


def clamp_fused(_: Graph, operator: schema.OperatorT) -> str:
    """A fused activation is RELU, RELU6 or RELU_N1_TO_1."""
    found = fused_activation(operator)
    return "" if found in _CLAMPS else f"fused {found}"


def static_operands(graph: Graph, operator: schema.OperatorT) -> str:
    """Weights are constant."""
    return "" if graph.constant(operand(operator, 1)) is not None else "computed weights"


def quantized_throughout(graph: Graph, operator: schema.OperatorT) -> str:
    """Weights in integers take activations in integers."""
    weights = is_integer(graph, operand(operator, 1))
    return "integer weights, float activations" if weights and not _quantized(graph, operator) else ""


def sum_scales(graph: Graph, operator: schema.OperatorT) -> str:
    """In integers: each operand's scale over the output's in 2^-10..2^8."""
    return _ratios(graph, operator, 2.0**-10, 2.0**8)


def product_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """In integers: the product of the operands' scales over the output's in 2^-16..2^8."""
    parts = [scales(graph, i) for i in (operand(operator, 0), operand(operator, 1), output(operator))]
    if not _quantized(graph, operator) or any(len(part) != 1 for part in parts):
        return ""
    ratio = float(parts[0][0] * parts[1][0] / parts[2][0])
    return "" if 2.0**-16 <= ratio < 2.0**8 else f"a scale ratio of {ratio:.3g}"


def slope_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """In integers: input over output scale in 1/256..128, times the slope at least 1/256 in magnitude and at most 128."""
    found = [scales(graph, i) for i in (operand(operator, 0), output(operator))]
    if not _quantized(graph, operator) or any(len(part) != 1 for part in found):
        return ""
    ratio = float(found[0][0] / found[1][0])
    slope = float(option(operator, "alpha", 0.0))
    # Float32 scales of what is exactly 1/256 on paper may lie a rounding below it.
    least = (1 - 1e-6) / 256
    if not least <= ratio <= 128:
        return f"a scale ratio of {ratio:.3g}"
    return "" if least <= abs(slope * ratio) <= 128 else f"slope {slope:g} at a scale ratio of {ratio:.3g}"


def requantized(graph: Graph, operator: schema.OperatorT) -> str:
    """From integers: to the same type, input over output scale in 1/256..128."""
    source, target = operand(operator, 0), output(operator)
    if not is_integer(graph, source):
        return ""
    if graph.dtype_name(source) != graph.dtype_name(target):
        return f"{graph.dtype_name(source)} to {graph.dtype_name(target)}"
    ratio = float(scales(graph, source)[0] / scales(graph, target)[0])
    return "" if 1 / 256 <= ratio <= 128 else f"a scale ratio of {ratio:.3g}"


def fixed_output(graph: Graph, operator: schema.OperatorT) -> str:
    """In integers: the output's scale and zero point are the ones the function's range asks for."""
    if not _quantized(graph, operator):
        return ""
    index = output(operator)
    signed = graph.dtype_name(index) == "int8"
    logistic = graph.op_name(operator) == "LOGISTIC"
    wanted = (1 / 256, -128 if signed else 0) if logistic else (1 / 128, 0 if signed else 128)
    found = (float(scales(graph, index)[0]) if len(scales(graph, index)) else 0.0, zero_point(graph, index))
    return "" if np.isclose(found[0], wanted[0]) and found[1] == wanted[1] else f"scale {found[0]:.3g}"


def few_inputs(_: Graph, operator: schema.OperatorT) -> str:
    """At most 5 inputs."""
    count = len(indices(operator.inputs))
    return f"{count} inputs" if count > _MAX_CONCATENATED else ""


def one_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """In integers: every input has the output's scale and zero point."""
    if not _quantized(graph, operator):
        return ""
    wanted = (scales(graph, output(operator)).tolist(), zero_point(graph, output(operator)))
    found = [(scales(graph, i).tolist(), zero_point(graph, i)) for i in indices(operator.inputs)]
    return "" if all(one == wanted for one in found) else "inputs of other scales"


def few_outputs(_: Graph, operator: schema.OperatorT) -> str:
    """At most 4 outputs."""
    count = len(indices(operator.outputs))
    return f"{count} outputs" if count > _MAX_SPLIT else ""


def unit_strides(graph: Graph, operator: schema.OperatorT) -> str:
    """All strides are 1."""
    strides = graph.constant(operand(operator, 3))
    if strides is None:
        return "computed strides"
    return "" if (strides == 1).all() else f"strides {strides.tolist()}"


def _quantized(graph: Graph, operator: schema.OperatorT) -> bool:
    return is_integer(graph, output(operator))


def _ratios(graph: Graph, operator: schema.OperatorT, low: float, high: float) -> str:
    if not _quantized(graph, operator):
        return ""
    outputs = scales(graph, output(operator))
    for position in (0, 1):
        found = scales(graph, operand(operator, position))
        if len(found) == 1 and len(outputs) == 1 and not low <= found[0] / outputs[0] < high:
            return f"a scale ratio of {found[0] / outputs[0]:.3g}"
    return ""


_CONVOLUTION = (static_operands, clamp_fused)

_CONDITIONS: OperatorTable = {
    **dict.fromkeys(
        (
            "DEQUANTIZE", "PAD", "TRANSPOSE", "SLICE", "DEPTH_TO_SPACE",
            "SPACE_TO_DEPTH", "RESIZE_BILINEAR", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN",
        ),
        (),
    ),
    **dict.fromkeys(
        (
            "RELU", "RELU6", "RELU_N1_TO_1", "ABS", "NEG", "EXP", "SQUARE", "SQRT", "RSQRT", "HARD_SWISH",
            "GELU", "FLOOR", "CEIL", "ROUND", "LOG", "SIN", "COS", "PRELU", "SOFTMAX", "DIV", "MAXIMUM",
            "MINIMUM", "SQUARED_DIFFERENCE", "AVERAGE_POOL_2D",
        ),
        (float_only,),
    ),
    "QUANTIZE": (requantized,),
    "RESHAPE": (constant_shape,),
    "CONV_2D": _CONVOLUTION,
    "TRANSPOSE_CONV": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": (*_CONVOLUTION, quantized_throughout),
    "FULLY_CONNECTED": (clamp_fused,),
    "BATCH_MATMUL": (float_or_int8,),
    "ELU": (float_or_int8,),
    "ADD": (clamp_fused, sum_scales),
    "SUB": (clamp_fused, sum_scales),
    "MUL": (clamp_fused, product_scale),
    "LEAKY_RELU": (slope_scale,),
    "LOGISTIC": (fixed_output,),
    "TANH": (fixed_output,),
    "MAX_POOL_2D": (clamp_fused,),
    "CONCATENATION": (few_inputs, one_scale),
    "SPLIT": (few_outputs,),
    "STRIDED_SLICE": (unit_strides,),
}  # fmt: skip

TABLE: OperatorTable = {name: (known_type, *conditions) for name, conditions in _CONDITIONS.items()}
OPERATORS = statements(_CONDITIONS)


@dataclass(frozen=True)
class Prediction:
    """How XNNPACK will take a network.

    Args:
        count: Stretches of the network that it runs.
        outside: What it leaves to LiteRT's own kernels: position of the operator -> why.
    """

    count: int
    outside: dict[int, str]


def predict(graph: Graph) -> Prediction:
    """Say which operators XNNPACK takes and in how many partitions, without loading the network.

    Args:
        graph: From ``legible``: XNNPACK unpacks constants in float16 itself.
    """
    outside = refusals(TABLE, graph)
    return Prediction(_partitions(graph, outside), outside)


def _partitions(graph: Graph, outside: Collection[int]) -> int:
    """As LiteRT's partitioner does it: rounds of all that can run, taken operators and others in turn."""
    waiting = list(enumerate(graph.operators))
    computed = set(graph.computed())
    ready = {i for operator in graph.operators for i in indices(operator.inputs)} - computed
    count = 0
    while waiting:
        # What runs first in a round says which kind the round is.
        taken: bool | None = None
        later = []
        for place, operator in waiting:
            runs = all(i < 0 or i in ready for i in indices(operator.inputs))
            if runs and taken is None:
                taken = place not in outside
            if runs and (place not in outside) == taken:
                ready.update(indices(operator.outputs))
            else:
                later.append((place, operator))
        if taken is None:
            raise SourceError(
                "expected operators in execution order, found one that reads what is computed later"
            )
        count += taken
        waiting = later
    return count
