"""Constants with several readers do not stop equalization, and copies do not enlarge the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.graph.canonical import bring_into_form, run_float
from converters.graph.network import Network
from converters.graph.rewrites.equalize import find_groups
from converters.graph.rewrites.unshare import share_weights, unshare_constants
from converters.quantize.int8 import build_float_reference, quantize_int8
from converters.quantize.recipe import shipped
from converters.quantize.statistics import channel_statistics
from tests.networks import CONTRACT, NetworkBuilder, crops
from tests.unit.converters.quantize.test_int8_quality import depthwise


def chain(depth: int = 6) -> Network:
    """Build a chain of depthwise and 1x1 convolutions that read one bias and one tensor of slopes."""
    net = NetworkBuilder(seed=6)
    bias, slopes = net.constant(np.zeros(8, np.float32)), net.constant(np.full((1, 1, 8), 0.2, np.float32))
    x = net.conv(net.input, 8)
    for _ in range(depth):
        x = net.op("PRELU", [depthwise(net, x, {2: 30.0}), slopes], net.shape(x))
        net.graph.operators[-2].inputs = [*net.graph.operators[-2].inputs[:2], bias]
        x = net.conv(x, 8, size=1, stride=1)
        net.graph.operators[-1].inputs = [*net.graph.operators[-1].inputs[:2], bias]
    return net.finish(net.embedding(x, 16))


def siamese() -> Network:
    """Build two branches with the same weights: one reads the image, the other its double."""
    net = NetworkBuilder(seed=7)
    first = net.conv(net.input, 16)
    x = net.unary("RELU", first)
    head = net.conv(x, 24, stride=1)
    weights = [net.graph.operators[0].inputs[1:], net.graph.operators[2].inputs[1:]]
    double = net.binary("ADD", net.input, net.input)
    y = net.op("CONV_2D", [double, *weights[0]], net.shape(first), net.graph.operators[0].builtinOptions)
    y = net.unary("RELU", y)
    y = net.op("CONV_2D", [y, *weights[1]], net.shape(head), net.graph.operators[2].builtinOptions)
    return net.finish(net.embedding(net.binary("ADD", head, y), 16))


def canonical(network: Network) -> Network:
    graph = network.edit()
    bring_into_form(graph, CONTRACT)
    return Network.of(graph)


def test_a_shared_bias_and_shared_slopes_do_not_stop_equalization() -> None:
    shared = chain()
    network = canonical(shared)
    assert not [group for group in find_groups(shared.edit()) if len(group.tensors) > 1]
    assert len(find_groups(network.graph)) == 13
    # Copies share a buffer, so only the description of a tensor is added for each.
    assert len(network.data) < len(shared.data) + 17 * 150
    recipe, pixels = replace(shipped("cpu_int8"), equalize="all"), crops(24)
    reference = build_float_reference(network, recipe, channel_statistics(network, CONTRACT, pixels))
    images = np.random.default_rng(5).normal(0, 1, (4, 16, 16, 3)).astype(np.float32)
    before = run_float(network, images)
    np.testing.assert_allclose(
        run_float(reference.network, images), before, rtol=1e-4, atol=1e-5 * np.abs(before).max()
    )
    assert reference.effect == "13 groups of 20 tensors, 104 channels"


def test_weights_that_two_branches_share_are_scaled_for_each_branch() -> None:
    network, pixels = canonical(siamese()), crops(24)
    assert len({tensor.buffer for tensor in network.graph.tensors if tensor.buffer}) < len(
        network.graph.tensors
    )
    recipe = replace(shipped("cpu_int8"), equalize="all", bias_correction=True)
    statistics = channel_statistics(network, CONTRACT, pixels)
    reference = build_float_reference(network, recipe, statistics)
    assert reference.effect.startswith("3 groups")
    images = np.random.default_rng(5).normal(0, 1, (4, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        run_float(reference.network, images), run_float(network, images), rtol=1e-4, atol=1e-5
    )
    for name in ("cpu_int8", "full_int8"):
        plain = quantize_int8(network, shipped(name), statistics, CONTRACT, pixels).network
        assert len(plain.data) < 0.75 * len(network.data) + 4000


def test_a_network_without_shared_constants_is_unchanged() -> None:
    graph = canonical(chain()).edit()
    before = graph.to_bytes()
    assert unshare_constants(graph) == 0
    assert graph.to_bytes() == before


def test_equal_large_weights_become_one_tensor_again() -> None:
    network = siamese()
    graph = network.edit()
    unshare_constants(graph)
    tensors = len(graph.tensors)
    share_weights(graph)
    graph.prune()
    assert len(graph.tensors) < tensors
    images = np.random.default_rng(1).normal(size=(2, *CONTRACT.shape)).astype(np.float32)
    assert (run_float(Network.of(graph), images) == run_float(network, images)).all()
