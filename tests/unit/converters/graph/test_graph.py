"""A .tflite can be read, changed and written, and a damaged file is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import SourceError
from converters.graph.canonical import run_float
from converters.graph.graph import Graph
from converters.graph.network import Network
from tests.networks import NetworkBuilder, tiny


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (count, 16, 16, 3)).astype(np.float32)


def test_round_trip_computes_the_same() -> None:
    network = tiny()
    again = Network.of(network.graph)
    assert np.array_equal(run_float(network, images()), run_float(again, images()))


def test_same_graph_gives_same_bytes() -> None:
    assert Network.of(tiny().graph) == Network.of(tiny().edit())


def test_constants_begin_at_multiples_of_sixteen_bytes() -> None:
    network = tiny()
    model = schema.Model.GetRootAs(network.data, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    data_field = 4
    starts = [b._tab.Vector(b._tab.Offset(data_field)) for b in buffers if b.DataLength()]
    assert len(starts) > 5
    assert all(start % 16 == 0 for start in starts)


def test_operator_codes_of_old_files_are_completed() -> None:
    """Files of TFLite 1.x have CONV_2D only in the deprecated field; a quantizer would read ADD."""
    model = schema.ModelT.InitFromPackedBuf(tiny().data, 0)
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
    old = Graph(model).to_bytes()
    graph = Graph.parse(old)
    assert graph.operator_counts() == tiny().graph.operator_counts()
    assert all(code.builtinCode == code.deprecatedBuiltinCode for code in graph.model.operatorCodes)


def test_prune_drops_what_nothing_reads() -> None:
    net = NetworkBuilder()
    kept = net.conv(net.input, 4)
    net.conv(kept, 4)
    output = net.embedding(kept)
    net.constant(np.zeros(1000, np.float32))
    graph = net.graph
    graph.set_outputs([output])
    before = len(graph.tensors), len(graph.operators), len(graph.model.buffers)
    graph.prune()
    after = len(graph.tensors), len(graph.operators), len(graph.model.buffers)
    assert after == (before[0] - 4, before[1] - 1, before[2] - 3)
    assert run_float(Network.of(graph), images()).shape == (3, 8)


@pytest.mark.parametrize("keep", [0, 3, 8, 100, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(keep: float) -> None:
    network = tiny().data
    cut = network[: int(keep if keep >= 3 or keep == 0 else keep * len(network))]
    with pytest.raises(SourceError):
        Graph.parse(cut)


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(SourceError, match=r"expected a \.tflite"):
        Graph.parse(b"\x89PNG\r\n\x1a\n" + bytes(100))


def test_two_subgraphs_are_refused() -> None:
    model = schema.ModelT.InitFromPackedBuf(tiny().data, 0)
    model.subgraphs = [model.subgraphs[0], model.subgraphs[0]]
    with pytest.raises(SourceError, match="one subgraph, found 2"):
        Graph.parse(Graph(model).to_bytes())
