"""Operators that LiteRT's GPU delegate supports, on Android (OpenCL, OpenGL) and iOS (Metal).

The table was read from LiteRT's source, tflite/delegates/gpu/common/model_builder.cc, which all three backends share: the operators that have a
parser, and the parameters that the parsers accept. It was not measured on a GPU.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph
from converters.targets.operator_table import (
    OperatorTable,
    activations,
    condition_texts,
    fused_activation,
    operand,
    option,
)

_FUSED = {"NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"}
_MAX_RANK = 4


def few_dimensions(graph: Graph, operator: schema.OperatorT) -> str:
    """all activations have at most 4 dimensions"""
    wide = [graph.shape(i) for i in activations(graph, operator) if len(graph.shape(i)) > _MAX_RANK]
    return f"shape {list(wide[0])}" if wide else ""


def known_fusion(_: Graph, operator: schema.OperatorT) -> str:
    """a fused activation function, if any, is RELU, RELU6, RELU_N1_TO_1 or TANH"""
    fused = fused_activation(operator)
    return "" if fused in _FUSED else f"fused {fused}"


def constant_parameters(graph: Graph, operator: schema.OperatorT) -> str:
    """weights, slopes, axes, paddings and shapes are constant"""
    index = operand(operator, 1)
    return "computed parameters" if index >= 0 and graph.constant(index) is None else ""


def plain_weights(_: Graph, operator: schema.OperatorT) -> str:
    """the weights have the default format"""
    weights_format = int(option(operator, "weightsFormat"))
    return f"weights format {weights_format}" if weights_format else ""


def plain_softmax(_: Graph, operator: schema.OperatorT) -> str:
    """beta is 1"""
    beta = float(option(operator, "beta", 1.0))
    return "" if beta == 1.0 else f"beta {beta:g}"


def slopes_like_channels(graph: Graph, operator: schema.OperatorT) -> str:
    """one slope for each channel, or one for each value of an image"""
    slopes = graph.shape(operand(operator, 1))
    image = graph.shape(operand(operator, 0))
    flat = tuple(n for n in slopes if n != 1)
    fits = flat in ((), image[-1:]) or tuple(slopes[-3:]) == image[-3:]
    return "" if fits else f"slopes of shape {list(slopes)} for {list(image)}"


def forward_steps(graph: Graph, operator: schema.OperatorT) -> str:
    """all strides are above 0; no ellipsis, new-axis or shrink-axis mask"""
    strides = graph.constant(operand(operator, 3))
    if strides is None:
        return "computed strides"
    if (strides <= 0).any():
        return f"strides {strides.tolist()}"
    masks = ("ellipsisMask", "newAxisMask", "shrinkAxisMask")
    return next((f"{mask} is set" for mask in masks if int(option(operator, mask))), "")


_ELEMENTWISE = (
    "ABS", "ADD_N", "COS", "DIV", "ELU", "EQUAL", "EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "GELU", "GREATER",
    "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGISTIC", "MAXIMUM",
    "MINIMUM", "NEG", "NOT_EQUAL", "POW", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT", "SELECT",
    "SELECT_V2", "SIGN", "SIN", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "TANH",
)  # fmt: skip

_CONDITIONS: OperatorTable = {
    **dict.fromkeys(_ELEMENTWISE, ()),
    **dict.fromkeys(("ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION"), (known_fusion,)),
    **dict.fromkeys(
        (
            "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "PAD", "PADV2", "MIRROR_PAD",
            "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "TILE", "TRANSPOSE",
        ),
        (constant_parameters,),
    ),
    **dict.fromkeys(
        (
            "BATCH_MATMUL", "CAST", "CUMSUM", "DENSIFY", "DEPTH_TO_SPACE", "GATHER", "LSTM", "ONE_HOT", "PACK",
            "RESHAPE", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "UNPACK",
        ),
        (),
    ),
    "CONV_2D": (known_fusion,),
    "DEPTHWISE_CONV_2D": (known_fusion,),
    "TRANSPOSE_CONV": (constant_parameters,),
    "FULLY_CONNECTED": (constant_parameters, plain_weights, known_fusion),
    "PRELU": (constant_parameters, slopes_like_channels),
    "SOFTMAX": (plain_softmax,),
    "STRIDED_SLICE": (constant_parameters, forward_steps),
}  # fmt: skip

TABLE: OperatorTable = {name: (few_dimensions, *conditions) for name, conditions in _CONDITIONS.items()}
OPERATORS = condition_texts(_CONDITIONS)
