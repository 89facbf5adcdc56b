"""HARD_SWISH, GELU and clips are decomposed or folded for full int8."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.data.embedding import embed_crops
from converters.graph.canonical import bring_into_form, run_float
from converters.graph.network import Network
from converters.quantize.int8 import build_float_reference, quantize_int8
from converters.quantize.recipe import shipped
from converters.quantize.statistics import channel_statistics
from converters.targets.edgetpu.target import an_int8_form
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops

KINDS = ("HARD_SWISH", "GELU", "RELU_N1_TO_1", "RELU_0_TO_1", "clip", "SILU")


def gated(kind: str) -> Network:
    """Build a network with two activations on images and one on a vector."""
    net = NetworkBuilder(seed=3)

    def activate(x: int) -> int:
        if kind == "clip":
            low, high = (net.constant(np.array(limit, np.float32)) for limit in (-0.5, 1.5))
            return net.binary("MAXIMUM", net.binary("MINIMUM", x, high), low)
        if kind == "SILU":
            return net.binary("MUL", x, net.unary("LOGISTIC", x))
        return net.unary(kind, x, schema.GeluOptionsT() if kind == "GELU" else None)

    x = activate(net.conv(activate(net.conv(net.input, 16)), 24))
    graph = net.finish(net.dense(activate(net.dense(net.mean(x), 16)), 16)).edit()
    bring_into_form(graph, CONTRACT)
    return Network.of(graph)


@pytest.mark.parametrize("name", ["full_int8", "microcontroller_int8", "ethos_u_int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_run_in_full_int8(kind: str, name: str) -> None:
    network, recipe, pixels = gated(kind), shipped(name), crops(40)
    statistics = channel_statistics(network, CONTRACT, pixels)
    reference = build_float_reference(network, recipe, statistics)
    images = np.random.default_rng(5).normal(0, 2, (4, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        run_float(reference.network, images),
        run_float(network, images),
        atol=3e-3 if kind == "GELU" else 1e-5,
    )
    measured = channel_statistics(reference.network, CONTRACT, pixels)
    for tensor, channels in measured.items():
        slack = 2e-3 if kind == "GELU" else 1e-4
        assert (channels.low >= reference.statistics[tensor].low - slack).all(), tensor
        assert (channels.high <= reference.statistics[tensor].high + slack).all(), tensor
    integer = quantize_int8(network, recipe, statistics, CONTRACT, pixels).network
    kinds = set(integer.graph.operator_counts())
    assert not kinds & {"GELU", "MINIMUM", "MAXIMUM", "RELU_0_TO_1"}
    if name == "full_int8":
        assert not kinds & {"HARD_SWISH", "RELU_N1_TO_1", "RELU"}
        assert not list(an_int8_form(network.graph))
    float_ = embed_crops(network, CONTRACT, pixels)
    assert cosine(float_, embed_crops(integer, CONTRACT, pixels)).mean() > 0.998


def test_a_clip_stays_if_another_operator_reads_its_operand() -> None:
    net = NetworkBuilder(seed=5)
    x = net.conv(net.input, 16)
    clipped = net.binary("MINIMUM", x, net.constant(np.array(0.2, np.float32)))
    network = net.finish(net.embedding(net.binary("ADD", clipped, x), 16))
    pixels = crops(40)
    statistics = channel_statistics(network, CONTRACT, pixels)
    integer = quantize_int8(network, shipped("full_int8"), statistics, CONTRACT, pixels).network
    assert "MINIMUM" in integer.graph.operator_counts() or "QUANTIZE" in integer.graph.operator_counts()
    float_ = embed_crops(network, CONTRACT, pixels)
    assert cosine(float_, embed_crops(integer, CONTRACT, pixels)).mean() > 0.99
