"""Groups with ReLU6 and other clips are equalized on request, exactly on the calibration images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.canonical import run_float
from converters.graph.network import Network
from converters.graph.rewrites.equalize import find_groups
from converters.quantize.int8 import FloatReference, build_float_reference, quantize_int8, replay_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import channel_statistics
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder
from tests.networks import CONTRACT, NetworkBuilder, crops
from tests.unit.converters.quantize.test_int8_quality import depthwise, fidelity

Activation = Callable[[NetworkBuilder, int], int]
EVEN = {"cpu": shipped("cpu_int8"), "full": shipped("full_int8")}


def fused(kind: int) -> Activation:
    def build(net: NetworkBuilder, x: int) -> int:
        net.graph.operators[-1].builtinOptions.fusedActivationFunction = kind
        return x

    return build


def bounded(net: NetworkBuilder, x: int) -> int:
    """Clip to -2..5 by two operators with constants."""
    low, high = (net.constant(np.array(limit, np.float32)) for limit in (-2, 5))
    return net.binary("MAXIMUM", net.binary("MINIMUM", x, high), low)


KINDS: dict[str, Activation] = {
    "fused RELU6": fused(schema.ActivationFunctionType.RELU6),
    "fused RELU_N1_TO_1": fused(schema.ActivationFunctionType.RELU_N1_TO_1),
    "RELU6": lambda net, x: net.unary("RELU6", x),
    "RELU_N1_TO_1": lambda net, x: net.unary("RELU_N1_TO_1", x),
    "MINIMUM and MAXIMUM": bounded,
}


def clipped(activation: Activation) -> Network:
    """Build a network with one channel that a clip cuts, one that is wide, and 14 that are narrow."""
    net = NetworkBuilder(seed=8)
    x = net.conv(net.input, 16)
    weights, bias = (net.graph.constant(i).copy() for i in net.graph.operators[0].inputs[1:])
    factors = np.full(16, 0.1, np.float32)
    factors[[2, 5]] = (9.0, 1.0)
    net.graph.set_constant(net.graph.operators[0].inputs[1], weights * factors[:, None, None, None])
    net.graph.set_constant(net.graph.operators[0].inputs[2], bias * factors)
    x = depthwise(net, activation(net, x), undo={i: 1 / float(f) for i, f in enumerate(factors)})
    x = activation(net, x)
    return net.finish(net.embedding(net.unary("RELU", net.conv(x, 24)), 16))


def reference_of(network: Network, recipe: Recipe, pixels: np.ndarray) -> FloatReference:
    return build_float_reference(network, recipe, channel_statistics(network, CONTRACT, pixels))


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_scaled_and_the_function_is_the_same_on_the_calibration_images(kind: str) -> None:
    network, pixels = clipped(KINDS[kind]), crops(24)
    assert len(find_groups(network.graph, clips=True)) == len(find_groups(network.graph)) + 2
    recipe = replace(EVEN["cpu"], equalize="all", scale_clips=True)
    reference = reference_of(network, recipe, pixels)
    assert ", 2 groups with clips" in reference.effect
    backend = LiteRtBackend(network.data)
    images = np.empty((24, *CONTRACT.shape), np.float32)
    encode = make_encoder(CONTRACT, backend.input)
    for pixel, image in zip(pixels, images, strict=True):
        encode(pixel, image[None])
    np.testing.assert_allclose(
        run_float(reference.network, images), run_float(network, images), rtol=1e-4, atol=1e-5
    )
    for scale in reference.scales.values():
        assert (scale > 0).all()


@pytest.mark.parametrize("target", EVEN)
@pytest.mark.parametrize("kind", ["fused RELU6", "RELU6", "fused RELU_N1_TO_1"])
def test_scaled_clips_improve_int8_with_uneven_channels(kind: str, target: str) -> None:
    network, pixels = clipped(KINDS[kind]), crops(60)
    plain = fidelity(network, replace(EVEN[target], equalize="all"), pixels)
    scaled = fidelity(network, replace(EVEN[target], equalize="all", scale_clips=True), pixels)
    assert 1 - scaled < 0.6 * (1 - plain)


def test_a_replay_scales_the_same_clips() -> None:
    network, pixels = clipped(KINDS["fused RELU6"]), crops(24)
    recipe = replace(EVEN["cpu"], equalize="all", scale_clips=True)
    first = quantize_int8(network, recipe, channel_statistics(network, CONTRACT, pixels), CONTRACT, pixels)
    assert replay_int8(network, Recipe.from_json(recipe.to_json()), first.statistics).network == first.network


def test_a_recipe_without_scaled_clips_has_the_old_fields() -> None:
    assert "scale_clips" not in shipped("cpu_int8").to_json()
    assert replace(shipped("cpu_int8"), scale_clips=True).to_json()["scale_clips"] is True
