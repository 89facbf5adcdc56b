"""Dynamic range leaves the first operators with weights in float if the input does not survive rounding."""

from __future__ import annotations

from converters.data.embedding import embed_crops
from converters.graph.canonical import bring_into_form
from converters.graph.network import Network
from converters.quantize.ai_edge_quantizer import quantize_dynamic
from converters.quantize.dynamic import choose_dynamic, first_weighted
from converters.quantize.recipe import shipped
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops


def sensitive() -> Network:
    """Build a network whose first layer has one channel of weights a thousand times as large as the others."""
    net = NetworkBuilder(seed=3)
    x = net.conv(net.input, 16)
    weights = net.graph.operators[-1].inputs[1]
    value = net.graph.constant(weights).copy()
    value[..., 0] *= 1000.0
    net.graph.set_constant(weights, value)
    network = net.finish(net.embedding(net.conv(x, 16), 16))
    graph = network.edit()
    bring_into_form(graph, CONTRACT)
    return Network.of(graph)


def test_the_better_of_two_networks_is_chosen() -> None:
    network, recipe = sensitive(), shipped("dynamic_range")
    assert len(first_weighted(network.graph)) == 1
    pixels = crops(6).copy()
    pixels[..., 0] = (
        128  # almost zero, so that the large weights of the channel carry the rounding errors of the others
    )
    baseline = embed_crops(network, CONTRACT, pixels)
    chosen, quantized = choose_dynamic(network, recipe, CONTRACT, pixels, baseline)
    plain = quantize_dynamic(network, float_operators=recipe.float_operators)
    before, after = (cosine(baseline, embed_crops(n, CONTRACT, pixels)).mean() for n in (plain, quantized))
    assert before < 0.9 < 0.999 < after
    assert chosen.keep_float == first_weighted(network.graph)
