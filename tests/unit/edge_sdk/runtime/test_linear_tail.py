"""The sum of the parts is the interpreter's own answer, for every linear operator; other tails are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.network import Network
from edge_sdk.errors import ModelContractError, ModelError
from edge_sdk.model.network_graph import NetworkGraph
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.linear_operators import data_input, linear_step
from edge_sdk.runtime.linear_tail import LinearTail
from edge_sdk.runtime.quantization import make_encoder
from tests.networks import CONTRACT, SAME, VALID, NetworkBuilder, crops
from tests.unit.converters.report.test_layers import int8

Build = Callable[[NetworkBuilder, int], int]
RANDOM = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.3, shape).astype(np.float32)


def depthwise(
    net: NetworkBuilder,
    x: int,
    size: tuple[int, int],
    padding: int = VALID,
    stride: int = 1,
    dilation: int = 1,
) -> int:
    _, height, width, channels = net.shape(x)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideH, options.strideW, options.depthMultiplier = padding, stride, stride, 1
    options.dilationHFactor = options.dilationWFactor = dilation
    reach = [(s - 1) * dilation + 1 if padding == VALID else 1 for s in size]
    out = (1, -(-(height - reach[0] + 1) // stride), -(-(width - reach[1] + 1) // stride), channels)
    operands = [x, net.constant(weights(1, *size, channels)), net.constant(weights(channels))]
    return net.op("DEPTHWISE_CONV_2D", operands, out, options)


def convolution(
    net: NetworkBuilder, x: int, size: int, channels: int, padding: int, stride: int = 1, activation: int = 0
) -> int:
    _, height, width, depth = net.shape(x)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = padding, stride, stride
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = activation
    reach = size if padding == VALID else 1
    out = (1, -(-(height - reach + 1) // stride), -(-(width - reach + 1) // stride), channels)
    operands = [x, net.constant(weights(channels, size, size, depth)), net.constant(weights(channels))]
    return net.op("CONV_2D", operands, out, options)


def pool(net: NetworkBuilder, x: int, size: int, padding: int, name: str = "AVERAGE_POOL_2D") -> int:
    _, height, width, channels = net.shape(x)
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = padding, 2, 2
    options.filterHeight = options.filterWidth = size
    reach = size if padding == VALID else 1
    out = (1, -(-(height - reach + 1) // 2), -(-(width - reach + 1) // 2), channels)
    return net.op(name, [x], out, options)


def reduce_sum(net: NetworkBuilder, x: int) -> int:
    options = schema.ReducerOptionsT()
    options.keepDims = True
    return net.op("SUM", [x, net.constant(np.array([-3, -2], np.int32))], (1, 1, 1, net.shape(x)[3]), options)


def elementwise(net: NetworkBuilder, name: str, x: int, *, first: bool = False) -> int:
    value = net.constant(1 + np.abs(weights(net.shape(x)[-1])))
    options = getattr(schema, f"{name.title()}OptionsT")()
    return net.op(name, [value, x] if first else [x, value], net.shape(x), options)


def transposed(net: NetworkBuilder, x: int) -> int:
    _, height, width, channels = net.shape(x)
    order = net.constant(np.array([0, 3, 1, 2], np.int32))
    moved = net.op("TRANSPOSE", [x, order], (1, channels, height, width), schema.TransposeOptionsT())
    return net.reshape(moved, (1, channels * height * width))


def padded(net: NetworkBuilder, x: int) -> int:
    _, height, width, channels = net.shape(x)
    margins = net.constant(np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    wide = net.op("PAD", [x, margins], (1, height + 3, width + 1, channels), schema.PadOptionsT())
    return convolution(net, wide, 3, 5, VALID)


def flat(net: NetworkBuilder, x: int) -> int:
    return net.dense(net.reshape(x, (1, int(np.prod(net.shape(x))))), 8)


def plus_a_value_of_four_axes(net: NetworkBuilder, x: int) -> int:
    y = net.op("ADD", [flat(net, x), net.constant(weights(1, 1, 1, 8))], (1, 1, 1, 8), schema.AddOptionsT())
    return net.reshape(y, (1, 8))


TAILS: dict[str, Build] = {
    "mean": lambda net, x: net.embedding(x),
    "sum": lambda net, x: flat(net, reduce_sum(net, x)),
    "depthwise of the whole map": lambda net, x: flat(net, depthwise(net, x, (4, 4))),
    "depthwise, strided": lambda net, x: flat(net, depthwise(net, x, (3, 3), SAME, 2)),
    "depthwise, dilated": lambda net, x: flat(net, depthwise(net, x, (2, 1), VALID, 1, 2)),
    "1x1 convolution": lambda net, x: net.embedding(convolution(net, x, 1, 6, VALID)),
    "3x3 convolution": lambda net, x: flat(net, convolution(net, x, 3, 6, SAME, 2)),
    "average pool": lambda net, x: flat(net, pool(net, x, 2, VALID)),
    "average pool, padded": lambda net, x: flat(net, pool(net, x, 3, SAME)),
    "normalization": lambda net, x: flat(net, elementwise(net, "ADD", elementwise(net, "MUL", x))),
    "difference": lambda net, x: flat(net, elementwise(net, "SUB", x)),
    "difference from a constant": lambda net, x: flat(net, elementwise(net, "SUB", x, first=True)),
    "quotient": lambda net, x: flat(net, elementwise(net, "DIV", x)),
    "transposition": lambda net, x: net.dense(transposed(net, x), 8),
    "padding": lambda net, x: flat(net, padded(net, x)),
    "a sum with a constant of more axes": plus_a_value_of_four_axes,
}


def run(data: bytes, image: np.ndarray) -> np.ndarray:
    backend = LiteRtBackend(data)
    backend.input_view()[0] = image
    backend.invoke()
    return backend.output_view().copy()


def network(build: Build) -> bytes:
    net = NetworkBuilder()
    activated = net.prelu(net.conv(net.input, 8, stride=4), np.linspace(0.05, 0.4, 8))
    return net.finish(build(net, activated)).data


@pytest.mark.parametrize("name", TAILS)
def test_the_parts_add_up_to_the_output(name: str) -> None:
    data = network(TAILS[name])
    graph = NetworkGraph.read(data)
    tail = LinearTail.find(graph)
    image = np.random.default_rng(0).normal(0, 1, (16, 16, 3)).astype(np.float32)
    assert tail.after == "PRELU" and tail.shape == (1, 4, 4, 8) and not tail.integer
    parts, constant = tail.parts(run(graph.with_output(data, tail.tensor), image))
    assert parts.shape[:2] == (4, 4)
    output = run(data, image).ravel()
    np.testing.assert_allclose(
        parts.sum(axis=(0, 1)) + constant, output, rtol=0, atol=2e-5 * np.abs(output).max()
    )


@pytest.mark.parametrize(
    "name",
    [
        "mean",
        "depthwise, strided",
        "average pool, padded",
        "normalization",
        "quotient",
        "transposition",
        "padding",
    ],
)
def test_integer_operators_agree_with_the_interpreter_within_half_a_step(name: str) -> None:
    pixels = crops(12)
    data = int8(Network(network(TAILS[name])), pixels).data
    graph = NetworkGraph.read(data)

    def value(tensor: int, crop: np.ndarray) -> np.ndarray:
        backend = LiteRtBackend(graph.with_output(data, tensor))
        make_encoder(CONTRACT, backend.input)(crop, backend.input_view())
        backend.invoke()
        return graph.tensors[tensor].real(backend.output_view().copy())

    tail = LinearTail.find(graph)
    assert tail.integer
    for operator in graph.operators[-len(tail.operators) :]:
        (output,) = operator.outputs
        step = linear_step(graph, operator)
        for crop in pixels[:3]:
            answer = step(value(data_input(graph, operator), crop)[None])[0]
            assert np.abs(answer - value(output, crop)).max() <= 0.52 * graph.tensors[output].scales[0]


def test_a_part_depends_on_its_position_only() -> None:
    data = network(TAILS["3x3 convolution"])
    graph = NetworkGraph.read(data)
    tail = LinearTail.find(graph)
    values = np.random.default_rng(0).normal(0, 1, tail.shape).astype(np.float32)
    parts, constant = tail.parts(values)
    values[0, 2, 1] *= 3
    changed, same = tail.parts(values)
    np.testing.assert_allclose(changed[2, 1], 3 * parts[2, 1], rtol=1e-5, atol=1e-6)
    changed[2, 1] = parts[2, 1]
    np.testing.assert_array_equal(changed, parts)
    np.testing.assert_array_equal(same, constant)


def test_large_maps_are_split_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = LinearTail.find(NetworkGraph.read(network(TAILS["mean"])))
    values = np.random.default_rng(0).normal(0, 1, tail.shape).astype(np.float32)
    whole = tail.parts(values)
    monkeypatch.setattr("edge_sdk.runtime.linear_tail._BLOCK_VALUES", 1)
    for one_block, blocks in zip(whole, tail.parts(values), strict=True):
        np.testing.assert_allclose(blocks, one_block, atol=1e-6)


def test_a_final_normalization_is_left_out() -> None:
    def normalized(net: NetworkBuilder, x: int) -> int:
        return net.unary("L2_NORMALIZATION", net.embedding(x), schema.L2NormOptionsT())

    data = network(normalized)
    tail = LinearTail.find(NetworkGraph.read(data))
    assert tail.operators == ("MEAN", "FULLY_CONNECTED")


def test_a_map_of_many_positions_is_followed_to_a_smaller_one() -> None:
    net = NetworkBuilder((1, 96, 96, 3))
    data = net.finish(flat(net, pool(net, net.input, 2, VALID))).data
    assert LinearTail.find(NetworkGraph.read(data)).shape == (1, 48, 48, 3)
    net = NetworkBuilder((1, 96, 96, 3))
    with pytest.raises(ModelContractError, match="activation map, found 96x96"):
        LinearTail.find(NetworkGraph.read(net.finish(net.embedding(net.input)).data))


def divided(net: NetworkBuilder, x: int) -> int:
    pooled = net.embedding(x)
    return net.binary("DIV", pooled, net.unary("SQRT", net.unary("SQUARE", pooled)))


REFUSED: dict[str, tuple[Build, str]] = {
    "activation after pooling": (
        lambda net, x: net.dense(net.unary("RELU", net.mean(x)), 8),
        "found RELU after",
    ),
    "fused activation after pooling": (
        lambda net, x: net.reshape(
            convolution(net, depthwise(net, x, (4, 4)), 1, 8, VALID, activation=3), (1, 8)
        ),
        "found CONV_2D with RELU6 after",
    ),
    "scale that depends on the data": (divided, "found DIV joins 2 computed tensors after"),
    "maximum": (
        lambda net, x: flat(net, pool(net, pool(net, x, 2, VALID), 2, VALID, "MAX_POOL_2D")),
        "MAX_POOL_2D",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_tails_are_refused_with_the_reason(name: str) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(ModelContractError, match=reason) as refusal:
        LinearTail.find(NetworkGraph.read(network(build)))
    assert "occlusion" in str(refusal.value.hint)


def test_several_outputs_are_refused() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 8)
    data = net.finish(net.embedding(x), net.embedding(x)).data
    with pytest.raises(ModelContractError, match="one output, found 2"):
        LinearTail.find(NetworkGraph.read(data))


def test_grouped_convolutions_are_refused() -> None:
    def grouped(net: NetworkBuilder, x: int) -> Any:
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        options.padding = VALID
        y = net.op("CONV_2D", [net.mean(x), net.constant(weights(8, 1, 1, 4)), -1], (1, 1, 1, 8), options)
        return net.reshape(y, (1, 8))

    with pytest.raises(ModelContractError, match="CONV_2D of 2 axes"):
        LinearTail.find(NetworkGraph.read(network(grouped)))


def test_operands_that_contradict_each_other_are_refused() -> None:
    def flat_filter(net: NetworkBuilder, x: int) -> Any:
        y = net.op("CONV_2D", [x, net.constant(weights(8, 8)), -1], net.shape(x), schema.Conv2DOptionsT())
        return net.embedding(y)

    with pytest.raises(ModelError, match="contradict each other"):
        LinearTail.find(NetworkGraph.read(network(flat_filter)))


def test_a_map_of_another_size_than_the_file_states_is_refused() -> None:
    tail = LinearTail.find(NetworkGraph.read(network(TAILS["mean"])))
    with pytest.raises(ModelError, match="contradict each other"):
        tail.parts(np.zeros((1, 3, 3, 8), np.float32))
