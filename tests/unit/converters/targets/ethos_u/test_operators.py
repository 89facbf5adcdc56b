"""The tables of supported operators, compared with vela's results for networks of one operator each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import indices
from converters.targets.ethos_u.compiler import Configuration, compile_network
from converters.targets.ethos_u.operators import U55_U65, U85
from converters.targets.operator_table import OperatorTable, unsupported_operators
from tests.integer_networks import IntegerNetwork
from tests.networks import SAME, VALID

Build = Callable[[IntegerNetwork], int]


def conv(**changes: object) -> Build:
    def build(net: IntegerNetwork) -> int:
        options = {"stride": 1, **changes}
        padding = options.pop("padding", SAME)
        y = net.convolution(net.input, **options)  # type: ignore[arg-type]
        operator = net.graph.operators[-1]
        operator.builtinOptions.padding = padding
        if padding == VALID:
            size, stride = options.get("size", 3), options["stride"]
            side = (16 - int(size)) // int(stride) + 1  # type: ignore[call-overload]
            net.graph.set_shape(y, (1, side, side, 8))
        return y

    return build


def depthwise(stride: int) -> Build:
    return lambda net: net.depthwise(net.input, stride=stride)


def pool(name: str, size: int, *, stride: int = 1, padding: int = SAME) -> Build:
    def build(net: IntegerNetwork) -> int:
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.filterHeight = options.filterWidth = size
        side = -(-16 // stride) if padding == SAME else (16 - size) // stride + 1
        return net.apply(name, [net.input], (1, side, side, 8), options, version=2)

    return build


def unary(name: str, **extra: object) -> Build:
    return lambda net: net.apply(name, [net.input], net.shape(net.input), **extra)  # type: ignore[arg-type]


def binary(name: str, options: object = None, **extra: object) -> Build:
    def build(net: IntegerNetwork) -> int:
        constant = net.weights((1, 1, 1, 8), axis=None)
        return net.apply(name, [net.input, constant], net.shape(net.input), options, **extra)  # type: ignore[arg-type]

    return build


def no_scale(net: IntegerNetwork) -> int:
    y = net.convolution(net.input)
    net.graph.tensors[y].quantization = schema.QuantizationParametersT()
    return y


def computed_weights(net: IntegerNetwork) -> int:
    weights = net.apply("RESHAPE", [net.input, net.constant(np.array([8, 256], np.int32))], (8, 256))
    x = net.apply("RESHAPE", [net.input, net.constant(np.array([8, 256], np.int32))], (8, 256))
    return net.apply("FULLY_CONNECTED", [x, weights, -1], (8, 8), schema.FullyConnectedOptionsT(), version=4)


def mean_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> Build:
    def build(net: IntegerNetwork) -> int:
        x = net.apply("RESHAPE", [net.input, net.constant(np.array(shape, np.int32))], shape)
        return net.reduced(x, axes=axes)

    return build


def resize(name: str, height: int, width: int, *, half: bool = False) -> Build:
    def build(net: IntegerNetwork) -> int:
        bilinear = name == "RESIZE_BILINEAR"
        options = schema.ResizeBilinearOptionsT() if bilinear else schema.ResizeNearestNeighborOptionsT()
        options.halfPixelCenters = half
        size = net.constant(np.array([height, width], np.int32))
        return net.apply(name, [net.input, size], (1, height, width, 8), options, version=2)

    return build


def arg_max(axis: int) -> Build:
    def build(net: IntegerNetwork) -> int:
        options = schema.ArgMaxOptionsT()
        options.outputType = schema.TensorType.INT32
        shape = tuple(n for place, n in enumerate(net.shape(net.input)) if place != axis)
        over = net.constant(np.array(axis, np.int32))
        return net.apply("ARG_MAX", [net.input, over], shape, options, version=2, dtype=np.int32)

    return build


def padded(net: IntegerNetwork) -> int:
    amounts = net.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    return net.apply("PAD", [net.input, amounts], (1, 18, 18, 8), schema.PadOptionsT(), version=2)


def transposed(net: IntegerNetwork) -> int:
    order = net.constant(np.array([0, 3, 1, 2], np.int32))
    return net.apply("TRANSPOSE", [net.input, order], (1, 8, 16, 16), schema.TransposeOptionsT(), version=2)


def heavy_weights(net: IntegerNetwork) -> int:
    x = net.apply("RESHAPE", [net.input, net.constant(np.array([1, 2048], np.int32))], (1, 2048))
    for _ in range(6):  # 131072 values
        x = net.apply(
            "CONCATENATION",
            [x, x],
            (1, 2 * net.shape(x)[1]),
            _concatenation(1),
            version=2,
        )
    weights = net.quantize(net.constant(np.full((4, net.shape(x)[1]), 100, np.int8)), 0.01)
    return net.apply("FULLY_CONNECTED", [x, weights, -1], (1, 4), schema.FullyConnectedOptionsT(), version=4)


def _concatenation(axis: int) -> schema.ConcatenationOptionsT:
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    return options


def floats(net: IntegerNetwork) -> int:
    y = net.apply("DEQUANTIZE", [net.input], net.shape(net.input), version=2, dtype=np.float32)
    z = net.op("ABS", [y], net.shape(y))
    return net.apply("QUANTIZE", [z], net.shape(z))


NETWORKS: dict[str, Build] = {
    "a plain convolution": conv(),
    "a stride of 4 that tiles the image": conv(stride=4),
    "a stride of 4 with padding": conv(stride=4, size=5),
    "a stride of 4 without padding": conv(stride=4, padding=VALID),
    "a stride of 4 and dilation": conv(stride=4, dilation=(2, 2)),
    "a depthwise stride of 2": depthwise(2),
    "a depthwise stride of 4": depthwise(4),
    "an average over 4x4": pool("AVERAGE_POOL_2D", 4, stride=4, padding=VALID),
    "an average over all": pool("AVERAGE_POOL_2D", 16, stride=16),
    "a padded average over 9x9": pool("AVERAGE_POOL_2D", 9),
    "a padded average over 3x3": pool("AVERAGE_POOL_2D", 3),
    "a padded average in steps of 5": pool("AVERAGE_POOL_2D", 5, stride=5),
    "a maximum over 2x2": pool("MAX_POOL_2D", 2, stride=2),
    "a padded maximum in steps of 5": pool("MAX_POOL_2D", 5, stride=5),
    "no scale": no_scale,
    "computed weights": computed_weights,
    "a mean over the image": mean_of((1, 16, 16, 8), (1, 2)),
    "a mean over channels": mean_of((1, 16, 16, 8), (3,)),
    "a mean over two images": mean_of((2, 8, 16, 8), (1, 2)),
    "a mean over 4096 rows": mean_of((1, 2048, 1, 1), (1,)),
    "twice the size": resize("RESIZE_BILINEAR", 32, 32),
    "three times the size": resize("RESIZE_BILINEAR", 48, 48),
    "two sizes": resize("RESIZE_NEAREST_NEIGHBOR", 32, 64),
    "half-pixel centres at four times the size": resize("RESIZE_BILINEAR", 64, 64, half=True),
    "an arg max over rows": arg_max(1),
    "an arg max over channels": arg_max(3),
    "padding": padded,
    "channels first": transposed,
    "heavy weights": heavy_weights,
    "a float operator between integers": floats,
    "hard swish": unary("HARD_SWISH"),
    "a prelu": lambda net: net.prelu_of(net.input),
    "a leaky relu": unary("LEAKY_RELU", options=schema.LeakyReluOptionsT()),
    "a square root": unary("SQRT"),
    "a floor": unary("FLOOR"),
    "an elu": unary("ELU"),
    "a division": binary("DIV", schema.DivOptionsT()),
    "a product": binary("MUL", schema.MulOptionsT(), version=2),
    "a maximum of other scales": binary("MAXIMUM", schema.MaximumMinimumOptionsT(), version=2),
    "a squared difference": binary("SQUARED_DIFFERENCE", schema.SquaredDifferenceOptionsT(), version=2),
    "an l2 normalization": unary("L2_NORMALIZATION", options=schema.L2NormOptionsT(), version=2),
    "a softmax": unary("SOFTMAX", options=schema.SoftmaxOptionsT(), version=2),
}


@pytest.mark.parametrize(
    ("accelerator", "table"), [("ethos-u55-128", U55_U65), ("ethos-u65-256", U55_U65), ("ethos-u85-256", U85)]
)
def test_the_table_says_what_vela_leaves_to_the_cpu(accelerator: str, table: OperatorTable) -> None:
    net = IntegerNetwork()
    outputs = {name: build(net) for name, build in NETWORKS.items()}
    network = net.finish(*outputs.values(), signature=False)
    graph = network.edit()
    # The builder may rename tensors, but it keeps the order of the outputs.
    names = {graph.name(i): name for i, name in zip(graph.outputs, outputs, strict=True)}

    predicted = {
        names.get(tensor := graph.name(indices(graph.operators[i].outputs)[0]), tensor)
        for i in unsupported_operators(table, graph)
    }
    compiled = compile_network(network, Configuration(accelerator))
    on_cpu = {names.get(operator.output, operator.output) for operator in compiled.cpu_operators}

    assert predicted - on_cpu == set(), "predicted for the CPU, mapped by vela"
    assert on_cpu - predicted == set(), "left to the CPU, predicted for the NPU"
    assert len(on_cpu) >= 6
    assert compiled.npu_operators >= 25
