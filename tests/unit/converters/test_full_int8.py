"""Full int8: no float tensor anywhere, operators spelled out without another answer, refusals that name the operator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import CONTRACT, Network, crops, tiny

from converters.calibration import channel_statistics
from converters.embedding import embed_crops
from converters.errors import ConversionError
from converters.float_model import run_float
from converters.gates import xnnpack_partitions
from converters.graph import Graph
from converters.quantizers.int8 import float_twin, make_int8
from converters.recipe import Recipe, shipped
from edge_sdk.decision.matching import cosine

FULL = shipped("full_int8")
OPERATOR = replace(FULL, spelled=())


def made(network: bytes, recipe: Recipe = FULL, pixels: np.ndarray | None = None) -> bytes:
    pixels = crops(24) if pixels is None else pixels
    return make_int8(network, recipe, channel_statistics(network, CONTRACT, pixels), CONTRACT, pixels)


def fidelity(network: bytes, recipe: Recipe = FULL) -> float:
    pixels = crops(24)
    found = embed_crops(made(network, recipe, pixels), CONTRACT, pixels)
    return float(cosine(embed_crops(network, CONTRACT, pixels), found).mean())


def dtypes(network: bytes) -> set[str]:
    graph = Graph.parse(network)
    return {graph.dtype_name(i) for i in range(len(graph.tensors))}


@pytest.mark.parametrize("recipe", [FULL, OPERATOR], ids=["spelled", "operator"])
def test_no_tensor_is_float_and_the_embedding_stays(recipe: Recipe) -> None:
    assert dtypes(made(tiny(), recipe)) <= {"int8", "int32"}
    assert fidelity(tiny(), recipe) > 0.998


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert made(tiny()) == made(tiny())


@pytest.mark.parametrize(
    "slopes",
    [np.linspace(0.05, 0.4, 8), np.linspace(-0.5, 1.0, 8), np.linspace(0.1, 2.5, 8), np.full(8, 1.7)],
    ids=["usual", "negative", "some above 1", "all above 1"],
)
def test_spelled_prelu_is_prelu_in_float_and_near_it_in_int8(slopes: np.ndarray) -> None:
    net = Network()
    x = net.prelu(net.conv(net.input, 8), slopes)
    network = net.finish(net.embedding(net.conv(x, 16)))
    twin, predicted = float_twin(network, FULL, channel_statistics(network, CONTRACT, crops(24)))
    assert "PRELU" not in Graph.parse(twin).operator_counts()
    images = np.random.default_rng(4).normal(0, 2, (6, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(run_float(twin, images), run_float(network, images), rtol=1e-5, atol=1e-5)
    for name, found in channel_statistics(twin, CONTRACT, crops(24)).items():
        np.testing.assert_allclose(predicted[name].low, found.low, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(predicted[name].high, found.high, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(predicted[name].mean, found.mean, rtol=1e-3, atol=1e-5)
    assert fidelity(network) > 0.998
    assert xnnpack_partitions(made(network)).count == 1


def test_an_operator_without_an_integer_form_is_named() -> None:
    net = Network()
    network = net.finish(net.embedding(net.unary("ELU", net.conv(net.input, 8))))
    with pytest.raises(ConversionError, match=r"full int8: ELU 'elu_[0-9]+' has no int8 form"):
        made(network)


def test_a_recipe_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConversionError, match="leaves nothing in float, found 'PRELU'"):
        made(tiny(), replace(FULL, float_operators=("PRELU",)))
    with pytest.raises(ConversionError, match="expected activations of PRELU, LEAKY_RELU"):
        made(tiny(), replace(FULL, spelled=("GELU",)))


def test_recipes_of_before_mean_what_they_meant() -> None:
    old = {k: v for k, v in shipped("cpu_int8").to_json().items() if k not in ("quantizer", "spelled")}
    assert Recipe.from_json(old) == shipped("cpu_int8")
    with pytest.raises(ConversionError, match="malformed field: expected one of 'ai-edge-quantizer'"):
        Recipe.from_json({**old, "quantizer": "mine"})
