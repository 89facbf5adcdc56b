"""Each version of a network is parsed only once, and no reader changes the shared graph."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from converters import ConversionOptions, convert
from converters.graph.graph import Graph
from converters.graph.network import Network
from tests.networks import CONTRACT, tiny, to_convert


def test_networks_are_equal_by_their_bytes() -> None:
    first, same, other = tiny(), Network(bytes(tiny().data)), tiny(seed=1)
    assert first == same and hash(first) == hash(same) and first != other
    assert first.digest == hashlib.sha256(first.data).hexdigest()
    assert first.graph is first.graph


def test_an_edited_graph_is_a_new_version_and_the_old_one_stays() -> None:
    network = tiny()
    before = network.graph.to_bytes()
    graph = network.edit()
    output = graph.outputs[0]
    graph.set_shape(output, (1, 1, 8))
    graph.set_constant(
        next(i for i in range(len(graph.tensors)) if graph.constant(i) is not None), np.ones(3)
    )
    graph.prune()
    assert Network.of(graph) != network
    assert network.graph.shape(output) == (1, 8)
    assert network.graph.to_bytes() == before


def test_a_graph_written_without_changes_is_the_version_in_use() -> None:
    network = tiny()
    assert Network.of(network.edit()) is network


def test_a_conversion_parses_each_version_once_and_changes_no_shared_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = to_convert(tmp_path)
    parsed: list[tuple[bytes, Graph]] = []
    parse = Graph.parse

    def counted(data: bytes) -> Graph:
        graph = parse(data)
        parsed.append((data, graph))
        return graph

    monkeypatch.setattr(Graph, "parse", counted)
    convert(
        ConversionOptions(
            model,
            CONTRACT,
            images,
            tmp_path / "out",
            targets=("cpu", "edgetpu", "ethos-u", "mobile", "microcontroller"),
        )
    )
    times = Counter(hashlib.sha256(data).hexdigest() for data, _ in parsed)
    assert len(times) > 10 and set(times.values()) == {1}
    for data, graph in parsed:
        assert graph.to_bytes() == parse(data).to_bytes()
