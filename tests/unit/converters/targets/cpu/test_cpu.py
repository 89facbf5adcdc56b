"""Predictions of XNNPACK's partitions, compared with networks loaded into LiteRT."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.quantize.float16 import to_float16
from converters.targets.cpu.placement import predict_placement
from converters.targets.cpu.target import confirm
from converters.targets.operator_table import parse_for_rules
from tests.integer_networks import IntegerNetwork
from tests.networks import tiny
from tests.operator_networks import IMAGE, OPERATORS, one_operator, reshape, unary


def assert_prediction_matches(network: Network) -> None:
    graph = parse_for_rules(network)
    predicted, measured = predict_placement(graph), xnnpack_partitions(network)
    names = Counter(graph.op_name(graph.operators[place]) for place in predicted.outside)
    assert (predicted.count, names) == (measured.count, Counter(measured.outside))


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_is_predicted_as_it_is_run(name: str) -> None:
    loaded = 0
    for dtype in (np.float32, np.int8, np.uint8):
        network = one_operator(name, dtype)
        try:
            xnnpack_partitions(network)
        except (RuntimeError, ValueError):
            continue  # LiteRT cannot load this operator in this type
        assert_prediction_matches(network)
        loaded += 1
    assert loaded


def test_float16_weights_are_unpacked_by_xnnpack_itself() -> None:
    assert_prediction_matches(to_float16(tiny()))


def test_partitions_are_counted_as_litert_counts_them() -> None:
    net = IntegerNetwork(IMAGE)
    x = net.convolution(net.input)
    for _ in range(3):
        x = net.convolution(net.prelu_of(x))
    branch = net.apply("ADD", [net.prelu_of(x), net.convolution(x)], IMAGE, version=2)
    network = net.finish(net.head(branch))
    assert predict_placement(parse_for_rules(network)).count == 5
    assert_prediction_matches(network)


def test_a_branch_outside_does_not_cut_the_other_one() -> None:
    net = IntegerNetwork(IMAGE)
    left = unary("HARD_SWISH")(net, net.convolution(net.input))
    right = net.convolution(net.convolution(net.input))
    assert_prediction_matches(net.finish(reshape(net, net.apply("ADD", [left, right], IMAGE, version=2))))


def test_loading_confirms_the_prediction() -> None:
    assert confirm(one_operator("prelu", np.int8)) == ()
