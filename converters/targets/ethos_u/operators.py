"""Operators that Ethos-U NPUs support, from ``vela --supported-ops-report`` (ethos-u-vela 5.2).

There are two tables: Ethos-U55 and U65 support the same operators, Ethos-U85 supports more. The tables leave out operators that embedding networks
do not use (LSTM, SCATTER_ND, variables), some of which vela supports.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.targets.operator_table import (
    Condition,
    activations,
    axes,
    condition_texts,
    operand,
    option,
    output,
    scales,
    zero_point,
)

# 127 * 65536, the limit of the accumulator in vela's report.
_LARGEST_WEIGHT_SUM = 8_323_072
_REDUCED = {"int8": 1 << 24, "uint8": 1 << 23, "int16": 1 << 16}
_BITS = {"int8": 8, "uint8": 8, "int16": 16, "int32": 32, "int64": 64, "bool": 8}


def integer_activations(graph: Graph, operator: schema.OperatorT) -> str:
    """activations are integers"""
    for i in activations(graph, operator):
        if graph.dtype_name(i) not in _BITS:
            return f"{graph.dtype_name(i)} activations"
    return ""


def narrow_activations(graph: Graph, operator: schema.OperatorT) -> str:
    """activations are int8, uint8 or int16"""
    for i in activations(graph, operator):
        if _BITS.get(graph.dtype_name(i), 32) > 16 or graph.dtype_name(i) == "bool":
            return f"{graph.dtype_name(i)} activations"
    return ""


def quantized(graph: Graph, operator: schema.OperatorT) -> str:
    """activations and weights have quantization scales above 0"""
    weights = [i for i in indices(operator.inputs)[:2] if i >= 0 and graph.dtype_name(i) in ("int8", "uint8")]
    for i in dict.fromkeys([*activations(graph, operator), *weights]):
        values = scales(graph, i)
        if not values.size:
            return f"no scale on {graph.name(i)!r}"
        if not (values > 0).all():
            return f"a scale that is not above 0 on {graph.name(i)!r}"
    return ""


def one_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """each tensor has one scale; only weights may have one per channel"""
    for i in [i for i in indices(operator.inputs) if i >= 0] + indices(operator.outputs):
        if scales(graph, i).size > 1:
            return f"a scale per channel on {graph.name(i)!r}"
    return ""


def constant_bias(graph: Graph, operator: schema.OperatorT) -> str:
    """the bias is constant, int32 or int64, with one value per output channel"""
    bias = operand(operator, 2)
    if bias < 0:
        return ""
    if graph.constant(bias) is None:
        return "a computed bias"
    if graph.dtype_name(bias) not in ("int32", "int64"):
        return f"a bias of {graph.dtype_name(bias)}"
    return ""


def eight_bit_weights(graph: Graph, operator: schema.OperatorT) -> str:
    """weights have 8 bits"""
    weights = operand(operator, 1)
    if graph.dtype_name(weights) not in ("int8", "uint8"):
        return f"weights of {graph.dtype_name(weights)}"
    return ""


def weights_that_sum(graph: Graph, operator: schema.OperatorT) -> str:
    """the absolute weights of each output channel sum to at most 8323072"""
    weights = graph.constant(operand(operator, 1))
    if weights is None or weights.dtype.kind not in "iu" or not weights.size:
        return ""
    axis = weights.ndim - 1 if graph.op_name(operator) == "DEPTHWISE_CONV_2D" else 0
    centred = np.abs(weights.astype(np.int64) - zero_point(graph, operand(operator, 1)))
    largest = int(np.moveaxis(centred, axis, 0).reshape(weights.shape[axis], -1).sum(axis=1).max())
    return f"weights that sum to {largest}" if largest > _LARGEST_WEIGHT_SUM else ""


def short_strides(graph: Graph, operator: schema.OperatorT) -> str:
    """strides are 1 to 3"""
    strides = (option(operator, "strideH", 1), option(operator, "strideW", 1))
    return f"a stride of {strides[0]}x{strides[1]}" if max(strides) > 3 else ""


def strides_that_unroll(graph: Graph, operator: schema.OperatorT) -> str:
    """strides are 1 to 3, or larger without dilation and padding"""
    dilated = max(option(operator, "dilationHFactor", 1), option(operator, "dilationWFactor", 1)) > 1
    return short_strides(graph, operator) if dilated or _pads(graph, operator) else ""


def _pads(graph: Graph, operator: schema.OperatorT) -> bool:
    """Return True if the operator pads its input; ``SAME`` adds no padding if the windows tile the input exactly."""
    if option(operator, "padding") != schema.Padding.SAME:
        return False
    before, after = graph.shape(operand(operator, 0))[1:3], graph.shape(output(operator))[1:3]
    kernel = [option(operator, "filterHeight"), option(operator, "filterWidth")]
    if not all(kernel):
        weights = graph.shape(operand(operator, 1))[1:3]
        dilation = [option(operator, f"dilation{side}Factor", 1) for side in "HW"]
        kernel = [(n - 1) * d + 1 for n, d in zip(weights, dilation, strict=True)]
    strides = [option(operator, f"stride{side}", 1) for side in "HW"]
    reach = [(n - 1) * s + k for n, s, k in zip(after, strides, kernel, strict=True)]
    return any(r > n for r, n in zip(reach, before, strict=True))


def small_average_kernel(graph: Graph, operator: schema.OperatorT) -> str:
    """with padding, the kernel is at most 8x8; without padding, it is at most 256 high and has at most 65536 elements"""
    height, width = option(operator, "filterHeight"), option(operator, "filterWidth")
    if _pads(graph, operator):
        return f"a padded kernel of {height}x{width}" if max(height, width) > 8 else ""
    return small_kernel(graph, operator)


def small_kernel(_: Graph, operator: schema.OperatorT) -> str:
    """the kernel is at most 256 high and has at most 65536 elements"""
    height, width = option(operator, "filterHeight"), option(operator, "filterWidth")
    return f"a kernel of {height}x{width}" if height > 256 or height * width > 65536 else ""


def equal_scales(graph: Graph, operator: schema.OperatorT) -> str:
    """both inputs have the output's scale and zero point"""

    def quantization(index: int) -> tuple[tuple[float, ...], int]:
        return tuple(scales(graph, index)), zero_point(graph, index)

    expected = quantization(output(operator))
    same = all(quantization(i) == expected for i in indices(operator.inputs))
    return "" if same else "inputs of other scales"


def constant_parameters(graph: Graph, operator: schema.OperatorT) -> str:
    """all inputs but the first are constant"""
    computed = [i for i in indices(operator.inputs)[1:] if i >= 0 and graph.constant(i) is None]
    return f"a computed {graph.name(computed[0])!r}" if computed else ""


def reducible(graph: Graph, operator: schema.OperatorT) -> str:
    """batch 1; constant axes, with sizes below 4096; channels are reduced only if height, width or channels is 1"""
    source = operand(operator, 0)
    shape, over = graph.shape(source), axes(graph, operator)
    if over is None:
        return "computed axes"
    if len(shape) == 4 and shape[0] != 1:
        return f"a batch of {shape[0]}"
    if graph.dtype_name(source) not in _REDUCED:
        return f"{graph.dtype_name(source)} activations"
    elements = int(np.prod([shape[axis] for axis in over], dtype=np.int64))
    if any(shape[axis] >= 4096 for axis in over) or elements > _REDUCED[graph.dtype_name(source)]:
        return f"a mean of {elements} values"
    if len(shape) - 1 in over and not any(n == 1 for n in shape[-3:]):
        return "a mean over channels"
    return ""


def small_plane(graph: Graph, operator: schema.OperatorT) -> str:
    """height times width is below 65536"""
    plane = int(np.prod(graph.shape(operand(operator, 0))[:-1], dtype=np.int64))
    return f"{plane} rows" if plane >= 65536 else ""


def same_int8(graph: Graph, operator: schema.OperatorT) -> str:
    """input and output are int8"""
    kinds = {graph.dtype_name(i) for i in activations(graph, operator)}
    return "" if kinds <= {"int8"} else f"{', '.join(sorted(kinds))} activations"


def power_of_two_upscale(graph: Graph, operator: schema.OperatorT) -> str:
    """the factor is 2, 4 or 8, the same for height and width; with half-pixel centres it is 2"""
    factors = _upscale(graph, operator)
    half = bool(option(operator, "halfPixelCenters", False)) and graph.op_name(operator) == "RESIZE_BILINEAR"
    allowed = {2.0} if half else {2.0, 4.0, 8.0}
    return "" if not factors or (len(factors) == 1 and factors <= allowed) else _resized(graph, operator)


def even_upscale(graph: Graph, operator: schema.OperatorT) -> str:
    """both factors are powers of two"""
    powers = {2.0**power for power in range(12)}
    return "" if _upscale(graph, operator) <= powers else _resized(graph, operator)


def _upscale(graph: Graph, operator: schema.OperatorT) -> set[float]:
    before, after = graph.shape(operand(operator, 0)), graph.shape(output(operator))
    if before == after or before[1:3] == (1, 1):
        return set()
    less = 1 if option(operator, "alignCorners", False) else 0
    sides = zip(before[1:3], after[1:3], strict=True)
    return {(b - less) / (a - less) if a > less else 0.0 for a, b in sides}


def _resized(graph: Graph, operator: schema.OperatorT) -> str:
    before, after = graph.shape(operand(operator, 0)), graph.shape(output(operator))
    return f"{before[1]}x{before[2]} resized to {after[1]}x{after[2]}"


def short_depth_axis(graph: Graph, operator: schema.OperatorT) -> str:
    """only over the channels, of which there are at most 127"""
    shape, over = graph.shape(operand(operator, 0)), axes(graph, operator)
    if over != (len(shape) - 1,):
        return f"over axes {over}"
    return f"over {shape[-1]} channels" if shape[-1] > 127 else ""


def double_strides(graph: Graph, operator: schema.OperatorT) -> str:
    """strides are 1x1 or 2x2, and the output is larger than the input by the same factor"""
    strides = (option(operator, "strideH", 1), option(operator, "strideW", 1))
    return "" if strides in ((1, 1), (2, 2)) else f"a stride of {strides[0]}x{strides[1]}"


_EVERY: tuple[Condition, ...] = (integer_activations, quantized)
_PLAIN: tuple[Condition, ...] = (*_EVERY, one_scale)
_WEIGHTED: tuple[Condition, ...] = (*_EVERY, constant_bias, eight_bit_weights, weights_that_sum)
_UNSCALED: tuple[Condition, ...] = (integer_activations, one_scale)

#: Operators that Ethos-U85 supports.
U85: dict[str, tuple[Condition, ...]] = {
    **dict.fromkeys(
        (
            *("ABS", "ADD", "BATCH_MATMUL", "CAST", "CONCATENATION", "DIV", "EQUAL", "EXP"),
            *("GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOGISTIC"),
            *("MUL", "NEG", "NOT_EQUAL", "PACK", "PRELU", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6"),
            *("RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "REVERSE_V2", "RSQRT", "SPLIT", "SPLIT_V"),
            *("SQUARED_DIFFERENCE", "SQUEEZE", "SUB", "SUM", "TANH", "TILE", "UNPACK"),
        ),
        _PLAIN,
    ),
    **dict.fromkeys(("ARG_MAX", "EXPAND_DIMS", "QUANTIZE", "SELECT", "SELECT_V2"), _UNSCALED),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), _WEIGHTED),
    "AVERAGE_POOL_2D": (*_PLAIN, small_average_kernel),
    "MAX_POOL_2D": (*_PLAIN, small_kernel),
    **dict.fromkeys(("ELU", "GELU", "LOG"), (*_PLAIN, same_int8)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), (*_PLAIN, equal_scales)),
    "MEAN": (*_PLAIN, reducible),
    **dict.fromkeys(("MIRROR_PAD", "PAD", "PADV2", "TRANSPOSE"), (*_UNSCALED, constant_parameters)),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), (*_PLAIN, constant_parameters)),
    "SOFTMAX": (*_PLAIN, small_plane),
    "RESIZE_BILINEAR": (*_PLAIN, even_upscale),
    "RESIZE_NEAREST_NEIGHBOR": _PLAIN,
    "TRANSPOSE_CONV": _EVERY,
}

#: Conditions of almost every operator; docs/reference/targets.md states them once, in a note.
GENERAL = (integer_activations, narrow_activations, quantized, one_scale)

_WIDE = (
    *(
        "ADD",
        "ARG_MAX",
        "BATCH_MATMUL",
        "EXPAND_DIMS",
        "FULLY_CONNECTED",
        "MIRROR_PAD",
        "MUL",
        "NEG",
        "RESHAPE",
    ),
    *("SQUEEZE", "SUB", "SUM", "TRANSPOSE"),
)
_U85_ONLY = (
    *("CAST", "DIV", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"),
    *("SELECT", "SELECT_V2"),
)
_STRICTER: dict[str, tuple[Condition, ...]] = {
    "ARG_MAX": (short_depth_axis,),
    "AVERAGE_POOL_2D": (strides_that_unroll,),
    "CONV_2D": (strides_that_unroll,),
    "DEPTHWISE_CONV_2D": (short_strides,),
    "MAX_POOL_2D": (strides_that_unroll,),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (power_of_two_upscale,)),
    "TRANSPOSE_CONV": (double_strides,),
}

#: Operators that Ethos-U55 and U65 support.
U55_U65: dict[str, tuple[Condition, ...]] = {
    name: (*conditions, *(() if name in _WIDE else (narrow_activations,)), *_STRICTER.get(name, ()))
    for name, conditions in U85.items()
    if name not in _U85_ONLY
}


def conditions() -> dict[str, str]:
    """Return each operator's conditions in words; general conditions are left out, those of Ethos-U55 and U65 alone are marked."""
    every_npu = condition_texts({name: _specific(all_conditions) for name, all_conditions in U85.items()})
    older_only = condition_texts(
        {
            name: tuple(condition for condition in _specific(U55_U65[name]) if condition not in U85[name])
            for name in U55_U65
        }
    )
    lines = {}
    for name, text in every_npu.items():
        parts = [text] if text else []
        if name not in U55_U65:
            parts.insert(0, "only on Ethos-U85")
        elif older_only[name]:
            parts.append(f"on Ethos-U55 and U65: {older_only[name]}")
        lines[name] = "; ".join(parts)
    return lines


def _specific(operator_conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return tuple(condition for condition in operator_conditions if condition not in GENERAL)
