"""Operators that XNNPACK, LiteRT's CPU delegate, supports.

The table was measured: networks of one operator each, in float32, int8 and uint8, were loaded into ai-edge-litert 2.3.
``tests/unit/converters/targets/cpu/test_cpu.py`` repeats the measurement.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.targets.operator_table import (
    OperatorTable,
    condition_texts,
    fused_activation,
    is_integer,
    operand,
    option,
    output,
    scales,
    zero_point,
)

_CLAMPS = {"NONE", "RELU", "RELU6", "RELU_N1_TO_1"}
_TYPES = {"float32", "int8", "uint8"}
_MAX_CONCATENATED = 5
_MAX_SPLIT = 4


def known_type(graph: Graph, operator: schema.OperatorT) -> str:
    """the output is float32, int8 or uint8"""
    dtype = graph.dtype_name(output(operator))
    return "" if dtype in _TYPES else dtype


def constant_shape(graph: Graph, operator: schema.OperatorT) -> str:
    """the new shape is constant"""
    index = operand(operator, 1)
    return "a computed shape" if index >= 0 and graph.constant(index) is None else ""


def float_only(graph: Graph, operator: schema.OperatorT) -> str:
    """only in float"""
    return graph.dtype_name(output(operator)) if _quantized(graph, operator) else ""


def float_or_int8(graph: Graph, operator: schema.OperatorT) -> str:
    """only in float or int8"""
    return "uint8" if graph.dtype_name(output(operator)) == "uint8" else ""


def clamp_fused(_: Graph, operator: schema.OperatorT) -> str:
    """a fused activation function, if any, is RELU, RELU6 or RELU_N1_TO_1"""
    fused = fused_activation(operator)
    return "" if fused in _CLAMPS else f"fused {fused}"


def static_operands(graph: Graph, operator: schema.OperatorT) -> str:
    """the weights are constant"""
    return "" if graph.constant(operand(operator, 1)) is not None else "computed weights"


def quantized_throughout(graph: Graph, operator: schema.OperatorT) -> str:
    """integer weights only with integer activations"""
    weights = is_integer(graph, operand(operator, 1))
    return "integer weights, float activations" if weights and not _quantized(graph, operator) else ""


def sum_scales(graph: Graph, operator: schema.OperatorT) -> str:
    """in integers, input scale / output scale is in 2^-10..2^8 for both inputs"""
    return _ratios(graph, operator, 2.0**-10, 2.0**8)


def product_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """in integers, product of the input scales / output scale is in 2^-16..2^8"""
    three = [scales(graph, i) for i in (operand(operator, 0), operand(operator, 1), output(operator))]
    if not _quantized(graph, operator) or any(len(s) != 1 for s in three):
        return ""
    ratio = float(three[0][0] * three[1][0] / three[2][0])
    return "" if 2.0**-16 <= ratio < 2.0**8 else f"a scale ratio of {ratio:.3g}"


def slope_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """in integers, input scale / output scale is in 1/256..128, and its product with the slope has a magnitude in 1/256..128"""
    both = [scales(graph, i) for i in (operand(operator, 0), output(operator))]
    if not _quantized(graph, operator) or any(len(s) != 1 for s in both):
        return ""
    ratio = float(both[0][0] / both[1][0])
    slope = float(option(operator, "alpha", 0.0))
    # Scales are float32: rounding can put an exact ratio of 1/256 just below 1/256.
    least = (1 - 1e-6) / 256
    if not least <= ratio <= 128:
        return f"a scale ratio of {ratio:.3g}"
    return "" if least <= abs(slope * ratio) <= 128 else f"slope {slope:g} at a scale ratio of {ratio:.3g}"


def requantized(graph: Graph, operator: schema.OperatorT) -> str:
    """integers only to the same integer type, with input scale / output scale in 1/256..128"""
    source, target = operand(operator, 0), output(operator)
    if not is_integer(graph, source):
        return ""
    if graph.dtype_name(source) != graph.dtype_name(target):
        return f"{graph.dtype_name(source)} to {graph.dtype_name(target)}"
    ratio = float(scales(graph, source)[0] / scales(graph, target)[0])
    return "" if 1 / 256 <= ratio <= 128 else f"a scale ratio of {ratio:.3g}"


def fixed_output(graph: Graph, operator: schema.OperatorT) -> str:
    """in integers, output scale and zero point cover exactly the function's range"""
    if not _quantized(graph, operator):
        return ""
    index = output(operator)
    signed = graph.dtype_name(index) == "int8"
    logistic = graph.op_name(operator) == "LOGISTIC"
    expected = (1 / 256, -128 if signed else 0) if logistic else (1 / 128, 0 if signed else 128)
    scale = float(scales(graph, index)[0]) if len(scales(graph, index)) else 0.0
    fits = np.isclose(scale, expected[0]) and zero_point(graph, index) == expected[1]
    return "" if fits else f"scale {scale:.3g}"


def few_inputs(_: Graph, operator: schema.OperatorT) -> str:
    """at most 5 inputs"""
    count = len(indices(operator.inputs))
    return f"{count} inputs" if count > _MAX_CONCATENATED else ""


def one_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """in integers, every input has the output's scale and zero point"""
    if not _quantized(graph, operator):
        return ""
    expected = (scales(graph, output(operator)).tolist(), zero_point(graph, output(operator)))
    inputs = [(scales(graph, i).tolist(), zero_point(graph, i)) for i in indices(operator.inputs)]
    return "" if all(item == expected for item in inputs) else "inputs of other scales"


def few_outputs(_: Graph, operator: schema.OperatorT) -> str:
    """at most 4 outputs"""
    count = len(indices(operator.outputs))
    return f"{count} outputs" if count > _MAX_SPLIT else ""


def unit_strides(graph: Graph, operator: schema.OperatorT) -> str:
    """all strides are 1"""
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
        inputs = scales(graph, operand(operator, position))
        if len(inputs) == 1 and len(outputs) == 1 and not low <= inputs[0] / outputs[0] < high:
            return f"a scale ratio of {inputs[0] / outputs[0]:.3g}"
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
OPERATORS = condition_texts(_CONDITIONS)
