"""Operators that compiler 16.0.384591198 (runtime 14) maps to the Edge TPU.

Source: Coral, "TensorFlow models on the Edge TPU", coral.ai/docs/edgetpu/models-intro, section "Supported operations". Each condition is one
entry of its column "Known limitations". The documentation states that a limit exists, but not its value, for the sizes that MEAN and both
resizing operators may have, and omits TILE; ``INFERRED`` lists what was inferred for them from networks and logs that Coral and its users
published.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.targets.operator_table import (
    Condition,
    OperatorTable,
    axes,
    condition_texts,
    fused_activation,
    operand,
    option,
    output,
    scales,
    zero_point,
)

_MAX_SOFTMAX = 16_000
_LANES = 4  # channels that a reduction processes at a time
_MAX_BILINEAR_FACTOR = 8
_MAX_RESIZED = 1 << 21
_MAX_MEAN = 1 << 14

#: Conditions whose limit was inferred from published networks and logs, with the evidence.
INFERRED = (
    "RESIZE_BILINEAR by a factor of at most 8: the compiler rejects a loss of precision (google-coral/edgetpu#31), and weights of factors above 8 need"
    " more than 8 bits; factors of 2 are mapped in Coral's MoveNet, factors of 16 and 33 are not in its DeepLab v3.",
    "RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR of at most 2,097,152 output elements: 524,288 are mapped (google-coral/edgetpu#31),"
    " 3,145,728 are not (google-coral/edgetpu#597).",
    "MEAN of at most 16,384 positions: 64x128 are mapped, 256x128 are not (google-coral/edgetpu#461).",
    "TILE: it is mapped in networks that Coral published.",
)


def nothing_fused(_: Graph, operator: schema.OperatorT) -> str:
    """no fused activation function"""
    fused = fused_activation(operator)
    return "" if fused == "NONE" else f"fused {fused}"


def zero_padding_alone(graph: Graph, operator: schema.OperatorT) -> str:
    """a constant input is all zeros, and is one of exactly two inputs"""
    inputs = indices(operator.inputs)
    constants = [value for i in inputs if (value := graph.constant(i)) is not None]
    if constants and len(inputs) != 2:
        return f"a constant among {len(inputs)} inputs"
    for i, value in ((i, graph.constant(i)) for i in inputs):
        if value is not None and (value != zero_point(graph, i)).any():
            return "a constant that is not zero"
    return ""


def even_dilation(_: Graph, operator: schema.OperatorT) -> str:
    """the dilation is the same in x and y"""
    height, width = int(option(operator, "dilationHFactor", 1)), int(option(operator, "dilationWFactor", 1))
    return "" if height == width else f"dilation {height} by {width}"


def default_weights(_: Graph, operator: schema.OperatorT) -> str:
    """the weights have the default format"""
    weights_format = int(option(operator, "weightsFormat"))
    return f"weights format {weights_format}" if weights_format else ""


def one_weight_scale(graph: Graph, operator: schema.OperatorT) -> str:
    """one scale for all weights; a scale per channel needs version 12 of the operator, which is newer than the compiler"""
    count = len(scales(graph, operand(operator, 1)))
    return f"{count} weight scales" if count > 1 else ""


def flat_output(graph: Graph, operator: schema.OperatorT) -> str:
    """the output is one-dimensional"""
    shape = graph.shape(output(operator))
    return "" if all(n == 1 for n in shape[:-1]) else f"an output of shape {list(shape)}"


def reduces_inside(graph: Graph, operator: schema.OperatorT) -> str:
    """no reduction of the batch dimension"""
    reduced = axes(graph, operator)
    if reduced is None:
        return "computed axes"
    rank = len(graph.shape(operand(operator, 0)))
    return "reduces the batch" if 0 in reduced and rank > 1 else ""


def channels_by_four(graph: Graph, operator: schema.OperatorT) -> str:
    """the number of channels is a multiple of 4 in a reduction over channels"""
    shape, reduced = graph.shape(operand(operator, 0)), axes(graph, operator) or ()
    last = len(shape) - 1
    return f"reduces {shape[last]} channels" if last in reduced and shape[last] % _LANES else ""


def batch_unpadded(graph: Graph, operator: schema.OperatorT) -> str:
    """no padding of the batch dimension"""
    sides = graph.constant(operand(operator, 1))
    if sides is None:
        return "computed padding"
    return "pads the batch" if len(sides) == len(graph.shape(output(operator))) > 3 and sides[0].any() else ""


def batch_unpacked(_: Graph, operator: schema.OperatorT) -> str:
    """no packing in the batch dimension"""
    return "packs the batch" if int(option(operator, "axis")) == 0 else ""


def batch_unsplit(graph: Graph, operator: schema.OperatorT) -> str:
    """no splitting of the batch dimension"""
    axis = graph.constant(operand(operator, 0))
    if axis is None:
        return "a computed axis"
    rank = len(graph.shape(operand(operator, 1)))
    return "splits the batch" if int(np.atleast_1d(axis)[0]) % rank == 0 and rank > 3 else ""


def slopes_per_channel(graph: Graph, operator: schema.OperatorT) -> str:
    """only the innermost dimension of the slopes is above 1 (Keras: shared_axes=[1, 2])"""
    shape = graph.shape(operand(operator, 1))
    return "" if all(n == 1 for n in shape[:-1]) else f"slopes of shape {list(shape)}"


def three_dimensional(graph: Graph, operator: schema.OperatorT) -> str:
    """input and output have three dimensions"""
    for index in (operand(operator, 0), output(operator)):
        shape = graph.shape(index)
        if len(shape) > 4 or (len(shape) == 4 and shape[0] != 1):
            return f"shape {list(shape)}"
    return ""


def moderate_factor(graph: Graph, operator: schema.OperatorT) -> str:
    """height and width grow by a factor of at most 8, so that 8 bits hold the weights of the interpolation"""
    before, after = graph.shape(operand(operator, 0))[1:3], graph.shape(output(operator))[1:3]
    corners = int(bool(option(operator, "alignCorners")))
    # With aligned corners, distances between pixels are scaled; a single pixel has no distance.
    factor = max(
        (large - corners) / (small - corners) if small > corners else large / small
        for small, large in zip(before, after, strict=True)
    )
    return f"a factor of {factor:g}" if factor > _MAX_BILINEAR_FACTOR else ""


def fits_on_chip(graph: Graph, operator: schema.OperatorT) -> str:
    """the output has at most 2,097,152 elements"""
    size = int(np.prod(graph.shape(output(operator))))
    return f"an output of {size:,} elements" if size > _MAX_RESIZED else ""


def few_positions(graph: Graph, operator: schema.OperatorT) -> str:
    """at most 16,384 positions are averaged"""
    shape = graph.shape(operand(operator, 0))
    count = int(np.prod([shape[axis] for axis in axes(graph, operator) or ()]))
    return f"an average of {count:,} positions" if count > _MAX_MEAN else ""


def short_vector(graph: Graph, operator: schema.OperatorT) -> str:
    """the input is one-dimensional, with at most 16,000 elements"""
    shape = graph.shape(operand(operator, 0))
    if any(n != 1 for n in shape[:-1]):
        return f"an input of shape {list(shape)}"
    return f"{shape[-1]} elements" if shape[-1] > _MAX_SOFTMAX else ""


def unit_strides(graph: Graph, operator: schema.OperatorT) -> str:
    """all strides are 1; ellipsis and new-axis masks are 0"""
    strides = graph.constant(operand(operator, 3))
    if strides is None:
        return "computed strides"
    if (strides != 1).any():
        return f"strides {strides.tolist()}"
    masks = [mask for mask in ("ellipsisMask", "newAxisMask") if int(option(operator, mask))]
    return f"{masks[0]} is set" if masks else ""


def one_direction(graph: Graph, operator: schema.OperatorT) -> str:
    """unidirectional only"""
    name = graph.op_name(operator)
    return name if "BIDIRECTIONAL" in name else ""


def constant_weights(graph: Graph, operator: schema.OperatorT) -> str:
    """weights, bias and slopes are constant"""
    needed = {"TRANSPOSE_CONV": (1,), "PRELU": (1,)}.get(graph.op_name(operator), (1, 2))
    computed = [
        p for p in needed if operand(operator, p) >= 0 and graph.constant(operand(operator, p)) is None
    ]
    return "computed parameters" if computed else ""


def known_version(newest: int) -> Condition:
    """Return the condition that an operator's version is at most ``newest``, the newest version that the compiler supports."""

    def condition(graph: Graph, operator: schema.OperatorT) -> str:
        version = graph.version(operator)
        return f"version {version}, the compiler supports versions up to {newest}" if version > newest else ""

    condition.__doc__ = f"version {newest} or older"
    return condition


_WEIGHTED = (constant_weights,)

_CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (nothing_fused,),
    "CONCATENATION": (nothing_fused, zero_padding_alone),
    "CONV_2D": (*_WEIGHTED, even_dilation),
    "DEPTHWISE_CONV_2D": (*_WEIGHTED, even_dilation),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (*_WEIGHTED, default_weights, one_weight_scale, flat_output),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "LSTM": (one_direction,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (one_direction,),
    "MAXIMUM": (),
    "MAX_POOL_2D": (nothing_fused,),
    "MEAN": (reduces_inside, channels_by_four, few_positions),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (batch_unpacked,),
    "PAD": (batch_unpadded,),
    "PRELU": (*_WEIGHTED, slopes_per_channel),
    "QUANTIZE": (),
    "REDUCE_MAX": (reduces_inside,),
    "REDUCE_MIN": (reduces_inside,),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (three_dimensional, moderate_factor, fits_on_chip),
    "RESIZE_NEAREST_NEIGHBOR": (three_dimensional, fits_on_chip),
    "RSQRT": (),
    "SLICE": (),
    "SOFTMAX": (short_vector,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (batch_unsplit,),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (),
    "STRIDED_SLICE": (unit_strides,),
    "SUB": (),
    "SUM": (reduces_inside,),
    "TANH": (),
    "TILE": (),
    "TRANSPOSE": (),
    "TRANSPOSE_CONV": _WEIGHTED,
}

# The newest versions in TensorFlow Lite when compiler 16.0 was built (July 2021). Error messages of the compiler confirm two
# of them: it rejects CONV_2D 6 (google-coral/edgetpu#631) and TRANSPOSE_CONV 4 (google-coral/edgetpu#845).
_NEWEST = {
    "ADD": 4, "AVERAGE_POOL_2D": 3, "CONCATENATION": 3, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6,
    "EXPAND_DIMS": 1, "FULLY_CONNECTED": 9, "L2_NORMALIZATION": 2, "LOGISTIC": 3, "LSTM": 4, "MAXIMUM": 4,
    "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MUL": 4, "PACK": 3, "PAD": 4, "PRELU": 1, "QUANTIZE": 2,
    "REDUCE_MAX": 3, "REDUCE_MIN": 3, "RELU": 3, "RELU6": 3, "RELU_N1_TO_1": 1, "RESHAPE": 1,
    "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "RSQRT": 2, "SLICE": 5, "SOFTMAX": 3,
    "SPACE_TO_DEPTH": 2, "SPLIT": 4, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 2, "STRIDED_SLICE": 6, "SUB": 5,
    "SUM": 2, "TANH": 3, "TILE": 3, "TRANSPOSE": 5, "TRANSPOSE_CONV": 3, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
}  # fmt: skip

TABLE: OperatorTable = {
    name: (known_version(_NEWEST[name]), *conditions) for name, conditions in _CONDITIONS.items()
}
OPERATORS = condition_texts(TABLE)


def fits_three_dimensions(graph: Graph, index: int) -> bool:
    """Return True if only the 3 innermost dimensions of a tensor are above 1."""
    # -1 is a dynamic dimension, which the rule static-shapes reports.
    return all(n in (1, -1) for n in graph.shape(index)[:-3])
