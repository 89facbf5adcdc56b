"""Every operator of the full-int8 table: LiteRT loads the written version, and its output is close to float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.data.embedding import embed_crops
from converters.quantize.full_int8 import _FORMS, quantize_full_int8
from converters.quantize.ranges import find_ranges
from converters.quantize.statistics import channel_statistics
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops

SAME = (1, 8, 8, 8)
AROUND = [[0, 0], [1, 1], [1, 1], [0, 0]]
NOT_AROUND = [[0, 0], [0, 0]]


def options(kind: str, **values: Any) -> Any:
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def with_constants(
    name: str, shape: Sequence[int], kind: str, *constants: Any, **values: Any
) -> Callable[..., int]:
    """Return a function that appends an operator with one computed operand, followed by integer constants."""

    def add(net: NetworkBuilder, x: int) -> int:
        operands = [net.constant(np.array(constant, np.int32)) for constant in constants]
        return net.op(name, [x, *operands], tuple(shape), options(kind, **values))

    return add


def with_two_operands(
    name: str, shape: Sequence[int] = SAME, kind: str = "", **values: Any
) -> Callable[..., int]:
    """Return a function that appends an operator with two computed operands of different ranges."""

    def add(net: NetworkBuilder, x: int) -> int:
        other = net.conv(net.input, 8)
        return (
            net.op(name, [x, other], tuple(shape), options(kind, **values))
            if kind
            else net.binary(name, x, other)
        )

    return add


def unary(name: str, made: Any = None) -> Callable[..., int]:
    return lambda net, x: net.unary(name, x, made)


def parts(net: NetworkBuilder, name: str, operands: list[int], made: Any, shape: tuple[int, ...]) -> int:
    """Append an operator with two outputs and return their sum."""
    outputs = [net.graph.add_tensor(f"{name}_{i}", shape, np.float32) for i in range(2)]
    kind = getattr(schema.BuiltinOptions, type(made).__name__.removesuffix("T"))
    net.graph.add_operator(
        name, operands, outputs, at=len(net.graph.operators), options=made, options_type=kind
    )
    return net.binary("ADD", *outputs)


def split(net: NetworkBuilder, x: int) -> int:
    axis = net.constant(np.array(3, np.int32))
    return parts(net, "SPLIT", [axis, x], options("Split", numSplits=2), (1, 8, 8, 4))


def packed(net: NetworkBuilder, x: int) -> int:
    both = with_two_operands("PACK", (*SAME, 2), "Pack", valuesCount=2, axis=4)(net, x)
    return parts(net, "UNPACK", [both], options("Unpack", num=2, axis=4), SAME)


def squeezed(net: NetworkBuilder, x: int) -> int:
    wide = with_constants("EXPAND_DIMS", (1, *SAME), "ExpandDims", [0])(net, x)
    return with_constants("SQUEEZE", SAME, "Squeeze", squeezeDims=[0])(net, wide)


def batched(net: NetworkBuilder, x: int) -> int:
    blocks = with_constants("SPACE_TO_BATCH_ND", (4, 4, 4, 8), "SpaceToBatchND", [2, 2], NOT_AROUND)(net, x)
    return with_constants("BATCH_TO_SPACE_ND", SAME, "BatchToSpaceND", [2, 2], NOT_AROUND)(net, blocks)


def rsqrt(net: NetworkBuilder, x: int) -> int:
    positive = net.binary("ADD", net.unary("RELU", x), net.constant(np.float32([0.5])))
    return net.unary("RSQRT", positive)


def reduced(name: str) -> Callable[..., int]:
    return with_constants(name, (1, 1, 1, 8), "Reducer", [1, 2], keepDims=True)


def pooled(name: str) -> Callable[..., int]:
    window = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": 1}
    return with_constants(name, (1, 4, 4, 8), "Pool2D", **window)


def depthwise(net: NetworkBuilder, x: int) -> int:
    weights = net.constant(net.random.normal(0, 1, (1, 1, 1, 8)).astype(np.float32))
    made = options("DepthwiseConv2D", padding=1, strideH=1, strideW=1, depthMultiplier=1)
    made.dilationHFactor = made.dilationWFactor = 1
    return net.op("DEPTHWISE_CONV_2D", [x, weights, net.constant(np.zeros(8, np.float32))], SAME, made)


BUILD: dict[str, Callable[..., int]] = {
    **{
        name: unary(name)
        for name in ("RELU", "RELU6", "RELU_N1_TO_1", "ABS", "HARD_SWISH", "LOGISTIC", "TANH")
    },
    **{name: with_two_operands(name) for name in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")},
    **{name: pooled(name) for name in ("MAX_POOL_2D", "AVERAGE_POOL_2D")},
    **{name: reduced(name) for name in ("MEAN", "SUM", "REDUCE_MAX")},
    **dict.fromkeys(("SQUEEZE", "EXPAND_DIMS"), squeezed),
    **dict.fromkeys(("PACK", "UNPACK"), packed),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), batched),
    **dict.fromkeys(("CONV_2D", "FULLY_CONNECTED"), lambda net, x: x),
    "DEPTHWISE_CONV_2D": depthwise,
    "PRELU": lambda net, x: net.prelu(x, np.linspace(-0.5, 0.5, 8)),
    "LEAKY_RELU": unary("LEAKY_RELU", options("LeakyRelu", alpha=0.1)),
    "L2_NORMALIZATION": unary("L2_NORMALIZATION", schema.L2NormOptionsT()),
    "SOFTMAX": unary("SOFTMAX", options("Softmax", beta=1.0)),
    "RSQRT": rsqrt,
    "SQUARED_DIFFERENCE": with_two_operands("SQUARED_DIFFERENCE", kind="SquaredDifference"),
    "BATCH_MATMUL": with_two_operands("BATCH_MATMUL", kind="BatchMatMul"),
    "CONCATENATION": with_two_operands("CONCATENATION", (1, 8, 8, 16), "Concatenation", axis=3),
    "RESHAPE": lambda net, x: net.reshape(x, (1, 4, 16, 8)),
    "PAD": with_constants("PAD", (1, 10, 10, 8), "Pad", AROUND),
    "MIRROR_PAD": with_constants("MIRROR_PAD", (1, 10, 10, 8), "MirrorPad", AROUND, mode=0),
    "TRANSPOSE": with_constants("TRANSPOSE", SAME, "Transpose", [0, 2, 1, 3]),
    "STRIDED_SLICE": with_constants(
        "STRIDED_SLICE", (1, 4, 4, 8), "StridedSlice", [0, 0, 0, 0], [1, 8, 8, 8], [1, 2, 2, 1]
    ),
    "SLICE": with_constants("SLICE", (1, 6, 6, 8), "Slice", [0, 1, 1, 0], [1, 6, 6, 8]),
    "SPLIT": split,
    "GATHER": with_constants("GATHER", SAME, "Gather", [7, 0, 1, 2, 3, 4, 5, 6], axis=3),
    "RESIZE_BILINEAR": with_constants("RESIZE_BILINEAR", (1, 16, 16, 8), "ResizeBilinear", [16, 16]),
    "RESIZE_NEAREST_NEIGHBOR": with_constants(
        "RESIZE_NEAREST_NEIGHBOR", (1, 16, 16, 8), "ResizeNearestNeighbor", [16, 16]
    ),
    "DEPTH_TO_SPACE": with_constants("DEPTH_TO_SPACE", (1, 16, 16, 2), "DepthToSpace", blockSize=2),
    "SPACE_TO_DEPTH": with_constants("SPACE_TO_DEPTH", (1, 4, 4, 32), "SpaceToDepth", blockSize=2),
}


@pytest.mark.parametrize("name", sorted(_FORMS))
def test_every_operator_of_the_table_loads_and_is_close_to_float(name: str) -> None:
    net, pixels = NetworkBuilder(), crops(16)
    y = BUILD[name](net, net.conv(net.input, 8))
    network = net.finish(net.embedding(net.conv(y, 8)))
    statistics = channel_statistics(network, CONTRACT, pixels)
    ranges = find_ranges(network, "min_max", CONTRACT, statistics, pixels)
    quantized = quantize_full_int8(network, ranges)
    assert name in quantized.graph.operator_counts()
    cosines = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(quantized, CONTRACT, pixels))
    assert cosines.min() > 0.996
