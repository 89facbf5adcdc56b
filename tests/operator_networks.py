"""Named networks of one operator each, in float or integers, to test which operators a runtime supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.network import Network
from tests.integer_networks import IntegerNetwork
from tests.networks import SAME

IMAGE = (1, 16, 16, 8)

#: Appends an operator that reads tensor x and returns its output.
Build = Callable[[IntegerNetwork, int], int]


def indices_of(net: IntegerNetwork, *values: int) -> int:
    return net.constant(np.array(values, np.int32))


def options(kind: str, **fields: Any) -> Any:
    values = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(values, name, value)
    return values


def unary(name: str, kind: str = "", **fields: Any) -> Build:
    return lambda net, x: net.apply(name, [x], net.shape(x), options(kind, **fields) if kind else None)


def ranged(name: str, signed: tuple[float, int], unsigned: tuple[float, int]) -> Build:
    """Return a builder of an operator whose integer kernel supports only one output scale."""

    def build(net: IntegerNetwork, x: int) -> int:
        codes = signed if net.dtype == np.int8 else unsigned
        extra = options("Softmax", beta=1.0) if name == "SOFTMAX" else None
        return net.apply(name, [x], net.shape(x), extra, quantization=codes, version=2)

    return build


def binary(name: str, kind: str = "", *, scale: float = 0.05, constant: bool = False, **fields: Any) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        other = net.weights(net.shape(x), axis=None) if constant else x
        made = options(kind, **fields) if kind else None
        return net.apply(name, [x, other], net.shape(x), made, quantization=(scale, 0), version=2)

    return build


def leaky(slope: float, scale: float = 0.05) -> Build:
    return lambda net, x: net.apply(
        "LEAKY_RELU", [x], net.shape(x), options("LeakyRelu", alpha=slope), quantization=(scale, 0), version=2
    )


def shaped(
    name: str, shape: tuple[int, ...], kind: str, *operands: Any, version: int = 2, **fields: Any
) -> Build:
    """Return a builder of an operator with further constant int32 inputs and an output of the given shape."""

    def build(net: IntegerNetwork, x: int) -> int:
        constants = [net.constant(np.array(values, np.int32)) for values in operands]
        return net.apply(name, [x, *constants], shape, options(kind, **fields), version=version)

    return build


def reshape(net: IntegerNetwork, x: int) -> int:
    count = int(np.prod(net.shape(x)))
    return net.apply(
        "RESHAPE", [x, indices_of(net, 1, count)], (1, count), options("Reshape", newShape=[1, count])
    )


def resize(name: str, **fields: Any) -> Build:
    kind = {"RESIZE_BILINEAR": "ResizeBilinear", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor"}[name]
    return shaped(name, (1, 32, 32, 8), kind, [32, 32], **fields)


def concatenation(count: int, *, axis: int = 3, fused: int = 0) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        shape = tuple(n * count if i == axis else n for i, n in enumerate(net.shape(x)))
        made = options("Concatenation", axis=axis, fusedActivationFunction=fused)
        return net.apply("CONCATENATION", [x] * count, shape, made, version=2)

    return build


def split(count: int, *, axis: int = 3) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        shape = tuple(n // count if i == axis else n for i, n in enumerate(net.shape(x)))
        outputs = [net.quantize(net.graph.add_tensor(f"part_{i}", shape, net.dtype)) for i in range(count)]
        net.graph.add_operator(
            "SPLIT",
            [net.constant(np.array(axis, np.int32)), x],
            outputs,
            at=len(net.graph.operators),
            version=2,
            options=options("Split", numSplits=count),
            options_type=schema.BuiltinOptions.SplitOptions,
        )
        total = outputs[0]
        for part in outputs[1:]:
            total = net.apply("ADD", [total, part], shape, options("Add"), version=2)
        return total

    return build


def transposed_convolution(net: IntegerNetwork, x: int) -> int:
    made = options("TransposeConv", padding=SAME, strideH=2, strideW=2)
    operands = [indices_of(net, 1, 32, 32, 8), net.weights((8, 3, 3, 8)), x, net.bias(8)]
    return net.apply("TRANSPOSE_CONV", operands, (1, 32, 32, 8), made, version=3)


def matrix_product(net: IntegerNetwork, x: int) -> int:
    rows = net.apply("RESHAPE", [x, indices_of(net, 1, 256, 8)], (1, 256, 8), options("Reshape"))
    return net.apply(
        "BATCH_MATMUL",
        [rows, net.weights((1, 8, 8), axis=None)],
        (1, 256, 8),
        options("BatchMatMul"),
        version=2,
    )


def requantized(scale: float = 0.07, dtype: Any = None) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        return net.apply(
            "QUANTIZE",
            [x],
            net.shape(x),
            options("Quantize"),
            dtype=np.dtype(dtype or net.dtype),
            quantization=(scale, 3),
            version=2,
        )

    return build


def through_float(net: IntegerNetwork, x: int) -> int:
    real = net.op("DEQUANTIZE", [x], net.shape(x), options("Dequantize"), version=2)
    return net.apply("QUANTIZE", [real], net.shape(x), options("Quantize"), version=2)


def hybrid(depthwise: bool = False) -> Build:
    """Return a builder of a convolution with int8 weights and float activations."""

    def build(net: IntegerNetwork, x: int) -> int:
        shape = (1, 3, 3, 8) if depthwise else (8, 3, 3, 8)
        weights = net.constant(net.random.integers(-100, 100, shape).astype(np.int8))
        codes = schema.QuantizationParametersT()
        codes.scale, codes.zeroPoint = [0.01] * 8, [0] * 8
        codes.quantizedDimension = 3 if depthwise else 0
        net.graph.tensors[weights].quantization = codes
        made = options(
            "DepthwiseConv2D" if depthwise else "Conv2D",
            padding=SAME,
            strideH=1,
            strideW=1,
            dilationHFactor=1,
            dilationWFactor=1,
        )
        if depthwise:
            made.depthMultiplier = 1
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return net.apply(name, [x, weights, net.bias(8)], IMAGE, made, version=6 if depthwise else 5)

    return build


OPERATORS: dict[str, Build] = {
    **{
        name.lower(): unary(name)
        for name in (
            "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "ELU", "ABS", "NEG", "EXP", "SQUARE", "SQRT", "RSQRT",
            "HARD_SWISH", "GELU", "FLOOR", "CEIL", "ROUND", "LOG", "SIN", "COS",
        )
    },
    "l2 normalization": ranged("L2_NORMALIZATION", (1 / 128, 0), (1 / 128, 128)),
    "logistic": ranged("LOGISTIC", (1 / 256, -128), (1 / 256, 0)),
    "tanh": ranged("TANH", (1 / 128, 0), (1 / 128, 128)),
    "softmax": ranged("SOFTMAX", (1 / 256, -128), (1 / 256, 0)),
    **{f"leaky relu {slope:g}": leaky(slope) for slope in (0.3, 2.0, -0.3, 1 / 64, 0.01, 1 / 256, 1 / 300, 0.001)},
    "leaky relu 0.02 to a wide scale": leaky(0.02, 0.3),
    "leaky relu 0.5 to a narrow scale": leaky(0.5, 0.0003),
    "prelu": lambda net, x: net.prelu_of(x),
    "prelu per value": lambda net, x: net.prelu_of(x, (16, 16, 8)),
    "add": binary("ADD", "Add"),
    "add a constant": binary("ADD", "Add", constant=True),
    "add, narrow": binary("ADD", "Add", scale=0.05 / 300),
    "add, wide": binary("ADD", "Add", scale=60.0),
    "sub": binary("SUB", "Sub"),
    "mul": binary("MUL", "Mul"),
    "mul, narrow": binary("MUL", "Mul", scale=0.0025 / 300),
    "mul, wide": binary("MUL", "Mul", scale=175.0),
    "div": binary("DIV", "Div"),
    "maximum": binary("MAXIMUM", "MaximumMinimum"),
    "minimum": binary("MINIMUM", "MaximumMinimum"),
    "squared difference": binary("SQUARED_DIFFERENCE", "SquaredDifference"),
    "convolution": lambda net, x: net.convolution(x),
    "convolution, dilated": lambda net, x: net.convolution(x, dilation=(2, 2)),
    "convolution, fused tanh": lambda net, x: net.convolution(x, fused=schema.ActivationFunctionType.TANH),
    "convolution, fused relu6": lambda net, x: net.convolution(x, fused=schema.ActivationFunctionType.RELU6),
    "convolution, int8 weights alone": hybrid(),
    "depthwise": lambda net, x: net.depthwise(x),
    "depthwise, int8 weights alone": hybrid(depthwise=True),
    "dense": lambda net, x: net.head(x),
    "dense per channel": lambda net, x: net.fully_connected(net.reduced(x), axis=0),
    "average pool": lambda net, x: net.pooled(x),
    "max pool": lambda net, x: net.pooled(x, "MAX_POOL_2D"),
    "mean": lambda net, x: net.reduced(x),
    "mean over channels": lambda net, x: net.reduced(x, axes=(3,)),
    "mean over the batch": lambda net, x: net.reduced(x, axes=(0,)),
    "sum": lambda net, x: net.reduced(x, "SUM"),
    "reduce max": lambda net, x: net.reduced(x, "REDUCE_MAX"),
    "reduce min": lambda net, x: net.reduced(x, "REDUCE_MIN"),
    "reshape": reshape,
    "pad": shaped("PAD", (1, 18, 18, 8), "Pad", [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "mirror pad": shaped("MIRROR_PAD", (1, 18, 18, 8), "MirrorPad", [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "concatenate 2": concatenation(2),
    "concatenate 5": concatenation(5),
    "concatenate 6": concatenation(6),
    "split 2": split(2),
    "split 4": split(4),
    "split 8": split(8),
    "resize bilinear": resize("RESIZE_BILINEAR"),
    "resize nearest": resize("RESIZE_NEAREST_NEIGHBOR"),
    "transpose": shaped("TRANSPOSE", (1, 8, 16, 16), "Transpose", [0, 3, 1, 2]),
    "strided slice": shaped("STRIDED_SLICE", (1, 8, 8, 8), "StridedSlice", [0, 0, 0, 0], [1, 8, 8, 8], [1, 1, 1, 1]),
    "strided slice by 2": shaped("STRIDED_SLICE", (1, 8, 8, 8), "StridedSlice", [0, 0, 0, 0], [1, 16, 16, 8], [1, 2, 2, 1]),
    "slice": shaped("SLICE", (1, 8, 8, 8), "Slice", [0, 0, 0, 0], [1, 8, 8, 8]),
    "depth to space": shaped("DEPTH_TO_SPACE", (1, 32, 32, 2), "DepthToSpace", blockSize=2),
    "space to depth": shaped("SPACE_TO_DEPTH", (1, 8, 8, 32), "SpaceToDepth", blockSize=2),
    "expand dimensions": shaped("EXPAND_DIMS", (1, 1, 16, 16, 8), "ExpandDims", 0, version=1),
    "squeeze": shaped("SQUEEZE", (16, 16, 8), "Squeeze", squeezeDims=[0], version=1),
    "gather": shaped("GATHER", (1, 16, 16, 2), "Gather", [0, 1], axis=3),
    "tile": shaped("TILE", (1, 16, 16, 16), "Tile", [1, 1, 1, 2]),
    "transposed convolution": transposed_convolution,
    "matrix product": matrix_product,
    "requantize": requantized(),
    "requantize, narrow": requantized(0.05 / 140),
    "requantize, wide": requantized(15.0),
    "through float": through_float,
}  # fmt: skip


def one_operator(name: str, dtype: Any) -> Network:
    """Build the network of one entry of ``OPERATORS``."""
    net = IntegerNetwork(IMAGE, dtype=dtype)
    return net.finish(OPERATORS[name](net, net.input))
