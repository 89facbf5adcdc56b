"""Full int8: no float tensors, decomposed operators with the same function, errors that name the operator."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.data.embedding import embed_crops
from converters.errors import ConversionError
from converters.graph.canonical import run_float
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.quantize.int8 import build_float_reference, quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import channel_statistics
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny

FULL = shipped("full_int8")
OPERATOR = replace(FULL, decomposed=())


def quantized(network: Network, recipe: Recipe = FULL, pixels: np.ndarray | None = None) -> Network:
    pixels = crops(24) if pixels is None else pixels
    return quantize_int8(
        network, recipe, channel_statistics(network, CONTRACT, pixels), CONTRACT, pixels
    ).network


def fidelity(network: Network, recipe: Recipe = FULL) -> float:
    pixels = crops(24)
    embeddings = embed_crops(quantized(network, recipe, pixels), CONTRACT, pixels)
    return float(cosine(embed_crops(network, CONTRACT, pixels), embeddings).mean())


def dtypes(network: Network) -> set[str]:
    graph = network.edit()
    return {graph.dtype_name(i) for i in range(len(graph.tensors))}


@pytest.mark.parametrize("recipe", [FULL, OPERATOR], ids=["decomposed", "operator"])
def test_no_tensor_is_float_and_the_embedding_stays(recipe: Recipe) -> None:
    assert dtypes(quantized(tiny(), recipe)) <= {"int8", "int32"}
    assert fidelity(tiny(), recipe) > 0.998


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert quantized(tiny()) == quantized(tiny())


@pytest.mark.parametrize(
    "slopes",
    [np.linspace(0.05, 0.4, 8), np.linspace(-0.5, 1.0, 8), np.linspace(0.1, 2.5, 8), np.full(8, 1.7)],
    ids=["usual", "negative", "some above 1", "all above 1"],
)
def test_a_decomposed_prelu_is_equal_in_float_and_close_in_int8(slopes: np.ndarray) -> None:
    net = NetworkBuilder()
    x = net.prelu(net.conv(net.input, 8), slopes)
    network = net.finish(net.embedding(net.conv(x, 16)))
    built = build_float_reference(network, FULL, channel_statistics(network, CONTRACT, crops(24)))
    reference, predicted = built.network, built.statistics
    assert "PRELU" not in reference.graph.operator_counts()
    images = np.random.default_rng(4).normal(0, 2, (6, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(run_float(reference, images), run_float(network, images), rtol=1e-5, atol=1e-5)
    for name, measured in channel_statistics(reference, CONTRACT, crops(24)).items():
        np.testing.assert_allclose(predicted[name].low, measured.low, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(predicted[name].high, measured.high, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(predicted[name].mean, measured.mean, rtol=1e-3, atol=1e-5)
    assert fidelity(network) > 0.998
    assert xnnpack_partitions(quantized(network)).count == 1


def test_an_operator_without_an_integer_form_is_named() -> None:
    net = NetworkBuilder()
    network = net.finish(net.embedding(net.unary("ELU", net.conv(net.input, 8))))
    with pytest.raises(ConversionError, match=r"full int8: ELU 'elu_[0-9]+' has no int8 form"):
        quantized(network)


def test_a_recipe_that_contradicts_itself_is_rejected() -> None:
    with pytest.raises(
        ConversionError, match="expected no operators in float with the quantizer 'integer', found 'PRELU'"
    ):
        quantized(tiny(), replace(FULL, float_operators=("PRELU",)))
    with pytest.raises(ConversionError, match="only PRELU, LEAKY_RELU"):
        quantized(tiny(), replace(FULL, decomposed=("ELU",)))


def test_older_recipes_keep_their_meaning() -> None:
    old = {k: v for k, v in shipped("cpu_int8").to_json().items() if k not in ("quantizer", "spelled")}
    assert Recipe.from_json(old) == shipped("cpu_int8")
    with pytest.raises(
        ConversionError, match="malformed field 'quantizer': expected one of 'ai-edge-quantizer'"
    ):
        Recipe.from_json({**old, "quantizer": "mine"})


def steep(*, pad: bool = False) -> Network:
    """Build a network with large and small PReLU slopes between convolutions."""
    net = NetworkBuilder(seed=2)
    x = net.prelu(net.conv(net.input, 8), [-9.0, 0.02, 0.05, 2.5, -0.1, 1.0, -1.5, 0.3])
    if pad:
        around = net.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        x = net.op("PAD", [x, around], (1, 10, 10, 8), schema.PadOptionsT())
    return net.finish(net.embedding(net.conv(x, 16)))


def slopes(network: Network) -> np.ndarray:
    graph = network.edit()
    values = [graph.constant(op.inputs[1]) for op in graph.operators if graph.op_name(op) == "PRELU"]
    return np.concatenate([np.ravel(alpha) for alpha in values])


@pytest.mark.parametrize("pad", [False, True])
def test_bounded_slopes_leave_the_float_function_alone(pad: bool) -> None:
    network, recipe = steep(pad=pad), replace(OPERATOR, equalize="all")
    built = build_float_reference(network, recipe, channel_statistics(network, CONTRACT, crops(24)))
    reference, predicted = built.network, built.statistics
    assert np.abs(slopes(network)).max() == 9 and np.abs(slopes(reference)).max() <= 1
    images = np.random.default_rng(4).normal(0, 2, (6, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(run_float(reference, images), run_float(network, images), rtol=1e-4, atol=1e-4)
    for name, measured in channel_statistics(reference, CONTRACT, crops(24)).items():
        for which in ("low", "high", "mean"):
            np.testing.assert_allclose(
                getattr(predicted[name], which), getattr(measured, which), rtol=1e-3, atol=1e-4
            )


def test_bounded_slopes_lose_less_in_int8() -> None:
    network = steep()
    recipe = replace(OPERATOR, equalize="all")
    lost = 1 - fidelity(network, replace(recipe, bound_slopes=False))
    assert 1 - fidelity(network, recipe) < 0.5 * lost


@pytest.mark.parametrize("after", ["ADD", "output"])
def test_slopes_stay_if_other_operators_than_a_convolution_follow(after: str) -> None:
    net = NetworkBuilder(seed=2)
    x = net.prelu(net.conv(net.input, 8), np.linspace(-2, 2, 8))
    y = net.mean(net.binary("ADD", x, net.conv(x, 8, stride=1)) if after == "ADD" else x)
    network = net.finish(net.dense(y, 8) if after == "ADD" else y)
    statistics = channel_statistics(network, CONTRACT, crops(8))
    reference = build_float_reference(network, OPERATOR, statistics).network
    np.testing.assert_array_equal(slopes(reference), slopes(network))


def test_a_relu_with_one_reader_is_fused_and_otherwise_becomes_a_product() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 8)
    both = net.binary("ADD", net.unary("RELU", x), x)
    network = net.finish(net.embedding(net.unary("RELU6", net.conv(both, 16))))
    full = quantized(network)
    counts = full.graph.operator_counts()
    assert counts == {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "ADD": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert xnnpack_partitions(full).outside == ()
    assert fidelity(network) > 0.998


def test_global_average_pooling_gets_its_own_scale() -> None:
    net = NetworkBuilder()
    x = net.unary("RELU", net.conv(net.input, 32))
    options = schema.Pool2DOptionsT()
    options.filterHeight = options.filterWidth = 8
    options.strideH = options.strideW = 1
    options.padding = schema.Padding.VALID
    pooled = net.op("AVERAGE_POOL_2D", [x], (1, 1, 1, 32), options)
    network = net.finish(net.dense(net.reshape(pooled, (1, 32)), 16))
    assert "AVERAGE_POOL_2D" not in quantized(network).graph.operator_counts()
    assert fidelity(network) > fidelity(network, OPERATOR) - 1e-4


def every_operator() -> Network:
    """Build a network with the other parts of embedding networks: squeeze-and-excitation, branches, attention."""
    net = NetworkBuilder(seed=5)
    x = net.unary("HARD_SWISH", net.conv(net.input, 8))
    squeezed = net.reshape(net.mean(x), (1, 1, 1, 8))
    gate = net.unary("LOGISTIC", net.conv(squeezed, 8, size=1, stride=1))
    x = net.binary("MUL", x, gate)
    options = schema.Pool2DOptionsT()
    options.filterHeight = options.filterWidth = options.strideH = options.strideW = 2
    options.padding = schema.Padding.VALID
    half = (1, 4, 4, 8)
    pooled = [net.op(kind, [x], half, options) for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D")]
    joined = schema.ConcatenationOptionsT()
    joined.axis = 3
    branches = [*pooled, net.unary("TANH", pooled[0]), net.conv(x, 8)]
    x = net.op("CONCATENATION", branches, (1, 4, 4, 32), joined)
    turned = net.constant(np.array([0, 2, 1, 3], np.int32))
    x = net.op("TRANSPOSE", [x, turned], net.shape(x), schema.TransposeOptionsT())
    x = net.binary("SUB", x, net.constant(np.linspace(-1, 1, 32).astype(np.float32)))
    return net.finish(net.embedding(net.binary("MAXIMUM", x, net.constant(np.float32([-0.2]))), 16))


@pytest.mark.parametrize("equalize", ["", "all"])
def test_all_parts_of_embedding_networks_become_integers(equalize: str) -> None:
    network = every_operator()
    full = quantized(network, replace(FULL, equalize=equalize))
    assert dtypes(full) <= {"int8", "int32"}
    # A branch whose tensor has other readers is requantized to the common scale.
    assert full.graph.operator_counts()["QUANTIZE"] == 3
    assert fidelity(network, replace(FULL, equalize=equalize)) > 0.99


def test_a_channel_disabled_by_training_keeps_its_bias() -> None:
    net = NetworkBuilder(seed=6)
    x = net.conv(net.input, 8)
    weights, bias = (int(i) for i in net.graph.operators[-1].inputs[1:])
    dead = net.graph.constant(weights).copy()
    dead[2], dead[5] = 0, 1e-20
    net.graph.set_constant(weights, dead)
    net.graph.set_constant(bias, np.linspace(1, 3, 8).astype(np.float32))
    network = net.finish(net.embedding(net.conv(x, 16)))
    assert fidelity(network) > 0.998


def test_a_saved_recipe_replays_to_the_same_bytes() -> None:
    recipe = replace(FULL, equalize="all", weight_share=0.3, bias_correction=True, ranges="mse")
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe and quantized(steep(), again) == quantized(steep(), recipe)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    slopes=st.lists(st.floats(-12, 12, width=32), min_size=8, max_size=8),
    bounded=st.booleans(),
    decompose=st.booleans(),
    equalize=st.sampled_from(["", "depthwise", "all"]),
)
def test_the_float_reference_has_the_same_function_for_all_slopes(
    slopes: list[float], bounded: bool, decompose: bool, equalize: str
) -> None:
    net = NetworkBuilder(seed=8)
    network = net.finish(net.embedding(net.conv(net.prelu(net.conv(net.input, 8), slopes), 16)))
    kinds = FULL.decomposed if decompose else ()
    recipe = replace(FULL, bound_slopes=bounded, decomposed=kinds, equalize=equalize)
    statistics = channel_statistics(network, CONTRACT, crops(4))
    reference = build_float_reference(network, recipe, statistics).network
    images = np.random.default_rng(9).normal(0, 2, (3, 16, 16, 3)).astype(np.float32)
    expected = run_float(network, images)
    np.testing.assert_allclose(run_float(reference, images), expected, atol=1e-4 * np.abs(expected).max())
