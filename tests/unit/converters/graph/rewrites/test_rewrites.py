"""Rewrites keep the float function and produce the operators that targets support."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import SourceError
from converters.graph.canonical import run_float
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.graph.rewrites.fuse_activations import fuse_activations, split_clips
from converters.graph.rewrites.max_pool_padding import replace_max_pool_padding
from converters.graph.rewrites.static_shapes import fold_constants, infer_shapes, make_batch_one
from converters.graph.rewrites.strip_l2norm import strip_l2norm
from tests.networks import CONTRACT, NetworkBuilder

SLOPES = np.array([0.25, -0.1, 0.9, 1.7], np.float32)


def images(count: int = 4) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (count, 16, 16, 3)).astype(np.float32)


def by_maximum_minimum(net: NetworkBuilder, x: int) -> int:
    zero = net.constant(np.zeros((), np.float32))
    negative = net.binary("MUL", net.constant(SLOPES), net.binary("MINIMUM", zero, x))
    return net.binary("ADD", net.binary("MAXIMUM", zero, x), negative)


def by_relu_and_absolute(net: NetworkBuilder, x: int) -> int:
    half = net.binary(
        "MUL", net.binary("SUB", x, net.unary("ABS", x, schema.AbsOptionsT())), net.constant(SLOPES / 2)
    )
    return net.binary("ADD", net.unary("RELU", x), half)


def by_two_relus(net: NetworkBuilder, x: int) -> int:
    negative = net.unary("RELU", net.unary("NEG", x, schema.NegOptionsT()))
    return net.binary("SUB", net.unary("RELU", x), net.binary("MUL", negative, net.constant(SLOPES)))


def by_a_fused_relu(net: NetworkBuilder, x: int, *, fused: int = schema.ActivationFunctionType.RELU) -> int:
    """Build PReLU as litert-torch writes it: the second RELU is fused into the multiplication by -1."""
    options = schema.MulOptionsT()
    options.fusedActivationFunction = fused
    negative = net.op("MUL", [x, net.constant(np.float32(-1))], net.shape(x), options)
    return net.binary("SUB", net.unary("RELU", x), net.binary("MUL", negative, net.constant(SLOPES)))


@pytest.mark.parametrize(
    "decomposition", [by_maximum_minimum, by_relu_and_absolute, by_two_relus, by_a_fused_relu]
)
def test_a_decomposed_prelu_becomes_one_operator(decomposition: Callable[[NetworkBuilder, int], int]) -> None:
    net = NetworkBuilder()
    network = net.finish(net.embedding(decomposition(net, net.conv(net.input, 4))))
    graph = network.edit()
    fuse_activations(graph)
    graph.prune()
    assert graph.operator_counts() == {"CONV_2D": 1, "PRELU": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    np.testing.assert_allclose(
        run_float(Network.of(graph), images()), run_float(network, images()), atol=1e-6
    )


def test_an_activation_that_saturates_on_the_way_is_left_alone() -> None:
    net = NetworkBuilder()
    y = by_a_fused_relu(net, net.conv(net.input, 4), fused=schema.ActivationFunctionType.RELU6)
    assert fuse_activations(net.finish(net.embedding(y)).graph) == 0


def test_a_leaky_relu_and_a_relu_are_recognized() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 4)
    leaky = net.binary("MAXIMUM", x, net.binary("MUL", x, net.constant(np.float32(0.1))))
    y = net.conv(leaky, 4)
    network = net.finish(net.embedding(net.binary("MAXIMUM", y, net.constant(np.float32(0)))))
    graph = network.edit()
    fuse_activations(graph)
    graph.prune()
    assert {"LEAKY_RELU", "RELU"} <= set(graph.operator_counts())
    assert not {"MAXIMUM", "MUL"} & set(graph.operator_counts())
    np.testing.assert_allclose(
        run_float(Network.of(graph), images()), run_float(network, images()), atol=1e-6
    )


def test_a_residual_addition_and_a_scaled_one_are_left_alone() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 4)
    other = net.conv(x, 4, stride=1)
    doubled = net.binary("ADD", x, x)
    network = net.finish(net.embedding(net.binary("ADD", doubled, other)))
    graph = network.edit()
    assert fuse_activations(graph) == 0
    assert graph.operator_counts() == network.graph.operator_counts()


def test_a_maximum_with_another_number_than_zero_is_left_alone() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 4)
    network = net.finish(net.embedding(net.binary("MAXIMUM", x, net.constant(np.float32(0.3)))))
    graph = network.edit()
    assert fuse_activations(graph) == 0


def l2_normalization(net: NetworkBuilder, x: int) -> int:
    return net.unary("L2_NORMALIZATION", x, schema.L2NormOptionsT())


def division_by_the_norm(net: NetworkBuilder, x: int) -> int:
    options = schema.ReducerOptionsT()
    options.keepDims = True
    squares = net.binary("MUL", x, x)
    total = net.op("SUM", [squares, net.constant(np.array([1], np.int32))], (1, 1), options)
    return net.binary("DIV", x, net.unary("SQRT", total))


@pytest.mark.parametrize("decomposition", [l2_normalization, division_by_the_norm])
@pytest.mark.parametrize("reshaped", [False, True])
def test_a_final_l2_normalization_goes_and_the_direction_stays(
    decomposition: Callable[[NetworkBuilder, int], int], reshaped: bool
) -> None:
    net = NetworkBuilder()
    output = decomposition(net, net.embedding(net.conv(net.input, 4)))
    network = net.finish(net.reshape(output, (1, 1, 1, 8)) if reshaped else output)
    graph = network.edit()
    assert strip_l2norm(graph)
    graph.prune()
    assert not {"L2_NORMALIZATION", "DIV", "SQRT", "SUM"} & set(graph.operator_counts())
    raw, unit = run_float(Network.of(graph), images()), run_float(network, images())
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), unit, atol=1e-5)


def test_a_network_without_normalization_keeps_its_tail() -> None:
    net = NetworkBuilder()
    embedding = net.embedding(net.conv(net.input, 4))
    network = net.finish(net.binary("MUL", embedding, net.constant(np.float32(3))))
    assert not strip_l2norm(network.graph)


def test_a_batch_of_two_becomes_one() -> None:
    net = NetworkBuilder((2, 16, 16, 3))
    x = net.reshape(net.mean(net.conv(net.input, 4)), (2, 1, 1, 4))
    network = net.finish(net.reshape(net.conv(x, 8, size=1, stride=1), (2, 8)))
    graph = network.edit()
    assert make_batch_one(graph) == 2
    infer_shapes(graph, CONTRACT)
    assert graph.shape(graph.outputs[0]) == (1, 8)
    single = run_float(Network.of(graph), images())
    from edge_sdk.runtime.backends.litert import LiteRtBackend

    backend = LiteRtBackend(network.data)
    np.copyto(backend.input_view(), images()[:2])
    backend.invoke()
    np.testing.assert_allclose(single[:2], backend.output_view(), atol=1e-6)


def with_computed_shape() -> Network:
    """Build a dynamic batch as Keras writes it: SHAPE, STRIDED_SLICE, PACK, RESHAPE, and -1 in signatures."""
    net = NetworkBuilder()
    x = net.mean(net.conv(net.input, 4))
    shape_options = schema.ShapeOptionsT()
    shape_options.outType = schema.TensorType.INT32
    shape = net.op("SHAPE", [x], (2,), shape_options, dtype=np.int32)
    cuts = [net.constant(np.array([n], np.int32)) for n in (0, 1, 1)]
    options = schema.StridedSliceOptionsT()
    options.shrinkAxisMask = 1
    first = net.op("STRIDED_SLICE", [shape, *cuts], (), options, dtype=np.int32)
    pack = schema.PackOptionsT()
    pack.valuesCount = 2
    new_shape = net.op("PACK", [first, net.constant(np.array(4, np.int32))], (2,), pack, dtype=np.int32)
    reshaped = net.op("RESHAPE", [x, new_shape], (1, 4), schema.ReshapeOptionsT())
    output = net.dense(reshaped, 8)
    for index in (net.input, x, reshaped, output):
        signature = list(net.shape(index))
        signature[0] = -1
        net.graph.tensors[index].shapeSignature = signature
    return net.finish(output)


def test_a_dynamic_batch_is_settled_and_its_arithmetic_folded() -> None:
    network = with_computed_shape()
    graph = network.edit()
    assert make_batch_one(graph) == -1
    infer_shapes(graph, CONTRACT)
    assert fold_constants(graph, CONTRACT) == 3
    graph.prune()
    assert graph.operator_counts() == {"CONV_2D": 1, "MEAN": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}
    assert all(-1 not in graph.shape(i) for i in range(len(graph.tensors)))
    assert np.isfinite(run_float(Network.of(graph), images())).all()


def test_a_network_of_another_size_is_rejected() -> None:
    net = NetworkBuilder((1, 24, 24, 3))
    x = net.reshape(net.conv(net.input, 4), (1, 12 * 12 * 4))
    graph = net.finish(net.dense(x, 8)).edit()
    with pytest.raises(SourceError, match="16x16"):
        infer_shapes(graph, CONTRACT)


def padded_max_pool(
    *, activation: str, pads: tuple[int, int], size: int, value: float = -np.inf, output: bool = False
) -> Network:
    """Build a network with a convolution, an activation, padding by PADV2, and max pooling."""
    net = NetworkBuilder()
    x = net.conv(net.input, 4, stride=1)
    x = net.unary("RELU", x) if activation == "RELU" else net.prelu(x, SLOPES)
    side = 16 + sum(pads)
    padding = net.constant(np.array([[0, 0], pads, pads, [0, 0]], np.int32))
    operands = [x, padding, net.constant(np.float32(value))]
    padded = net.op("PADV2", operands, (1, side, side, 4), schema.PadV2OptionsT())
    options = schema.Pool2DOptionsT()
    options.padding, options.filterHeight, options.filterWidth = schema.Padding.VALID, size, size
    options.strideH = options.strideW = 2
    pooled = net.op("MAX_POOL_2D", [padded], (1, *[(side - size) // 2 + 1] * 2, 4), options)
    return net.finish(net.embedding(pooled), *([padded] if output else []))


@pytest.mark.parametrize("activation", ["RELU", "PRELU"])
@pytest.mark.parametrize(("pads", "size"), [((1, 1), 3), ((0, 1), 2), ((2, 2), 5), ((2, 0), 3)])
@pytest.mark.parametrize("value", [-np.inf, float(np.finfo(np.float32).min)])
def test_padding_below_every_activation_becomes_quantizable(
    activation: str, pads: tuple[int, int], size: int, value: float
) -> None:
    network = padded_max_pool(activation=activation, pads=pads, size=size, value=value)
    graph = network.edit()
    assert replace_max_pool_padding(graph) == 1
    graph.prune()
    assert "PADV2" not in graph.operator_counts()
    assert np.array_equal(run_float(Network.of(graph), images()), run_float(network, images()))
    assert xnnpack_partitions(Network.of(graph)).count == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": -3.0},  # an activation may be lower
        {"size": 2, "pads": (2, 2)},  # windows entirely inside the padding
        {"output": True},  # the padded tensor is an output too
    ],
)
def test_another_padding_before_a_pooling_is_left_alone(change: dict) -> None:
    graph = padded_max_pool(**{"activation": "PRELU", "pads": (1, 1), "size": 3, **change}).edit()
    assert replace_max_pool_padding(graph) == 0


def test_a_clip_to_0_and_1_becomes_operators_that_xnnpack_supports() -> None:
    net = NetworkBuilder()
    network = net.finish(net.embedding(net.unary("RELU_0_TO_1", net.conv(net.input, 4))))
    graph = network.edit()
    assert xnnpack_partitions(network).outside == ("RELU_0_TO_1",)
    assert split_clips(graph) == 1
    graph.prune()
    assert np.array_equal(run_float(Network.of(graph), images()), run_float(network, images()))
    assert xnnpack_partitions(Network.of(graph)).outside == ()


def test_a_norm_that_is_repeated_before_the_division_goes_as_well() -> None:
    net = NetworkBuilder()
    x = net.embedding(net.conv(net.input, 4))
    options = schema.ReducerOptionsT()
    options.keepDims = True
    squares = net.op("SUM", [net.unary("SQUARE", x), net.constant(np.array([1], np.int32))], (1, 1), options)
    norm = net.op(
        "MUL",
        [net.unary("SQRT", squares), net.constant(np.ones((1, 8), np.float32))],
        (1, 8),
        schema.MulOptionsT(),
    )
    graph = net.finish(net.binary("DIV", x, norm)).edit()
    assert strip_l2norm(graph)
    graph.prune()
    assert graph.operator_counts() == {"CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
