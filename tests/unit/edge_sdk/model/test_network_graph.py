"""The reader of networks agrees with LiteRT's object API, and refuses damaged bytes with one error."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph
from converters.graph.network import Network
from edge_sdk.errors import ModelError
from edge_sdk.model.network_graph import OPERATOR_NAMES, NetworkGraph
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests.conftest import build_network
from tests.networks import NetworkBuilder, tiny


@pytest.mark.parametrize("network", [tiny(), build_network(), build_network(integer=False)])
def test_it_reads_what_the_object_api_reads(network: Network) -> None:
    read, graph = NetworkGraph.read(network.data), Graph.parse(network.data)
    assert [t.name for t in read.tensors] == [graph.name(i) for i in range(len(graph.tensors))]
    assert [t.shape for t in read.tensors] == [graph.shape(i) for i in range(len(graph.tensors))]
    assert [list(o.inputs) for o in read.operators] == [list(o.inputs) for o in graph.operators]
    assert (read.inputs, read.outputs) == (tuple(graph.inputs), tuple(graph.outputs))
    for index, tensor in enumerate(read.tensors):
        constant = graph.constant(index)
        if constant is None:
            assert tensor.data is None and read.constant(index) is None
        else:
            np.testing.assert_array_equal(tensor.stored(), constant)
            quantization = graph.tensors[index].quantization
            scale = quantization.scale if quantization is not None and quantization.scale is not None else ()
            np.testing.assert_array_equal(tensor.scales, scale)


def test_operators_have_the_names_of_the_schema() -> None:
    for code, name in OPERATOR_NAMES.items():
        assert getattr(schema.BuiltinOperator, name) == code


def test_options_are_read_by_their_field() -> None:
    read = NetworkGraph.read(tiny().data)
    convolution = read.operators[0]
    assert (convolution.name, convolution.option(0), convolution.option(1, "i")) == ("CONV_2D", 0, 2)
    assert (convolution.option(2, "i"), convolution.option(3), convolution.option(4, "i", 1)) == (2, 0, 1)


def test_channels_with_scales_of_their_own_are_dequantized() -> None:
    net = NetworkBuilder()
    weights = net.constant(np.array([[1, 2], [3, 4]], np.int8))
    net.graph.tensors[weights].quantization = schema.QuantizationParametersT()
    net.graph.tensors[weights].quantization.scale = [0.5, 2.0]
    net.graph.tensors[weights].quantization.zeroPoint = [0, 1]
    data = net.finish(net.embedding(net.conv(net.input, 8))).data
    np.testing.assert_array_equal(NetworkGraph.read(data).constant(weights), [[0.5, 1.0], [4.0, 6.0]])


def test_another_tensor_becomes_the_output() -> None:
    network = tiny()
    read = NetworkGraph.read(network.data)
    inner = read.operators[0].outputs[0]
    backend = LiteRtBackend(read.with_output(network.data, inner))
    assert backend.output.shape == read.tensors[inner].shape == (1, 8, 8, 8)
    with pytest.raises(ModelError, match="expected a tensor below"):
        read.with_output(network.data, len(read.tensors))


def test_computed_tensors_have_no_stored_values() -> None:
    read = NetworkGraph.read(tiny().data)
    with pytest.raises(ModelError, match="expected a constant"):
        read.tensors[read.outputs[0]].stored()


def test_damaged_bytes_are_one_error() -> None:
    data = tiny().data
    for length in (0, 3, 8, 40, len(data) // 2):
        with pytest.raises(ModelError, match="a whole"):
            NetworkGraph.read(data[:length])
    random = np.random.default_rng(0)
    damaged = 0
    for _ in range(400):
        changed = bytearray(data)
        for place in random.integers(0, min(len(data), 4000), 4):
            changed[place] = int(random.integers(0, 256))
        try:
            NetworkGraph.read(bytes(changed))
        except ModelError:
            damaged += 1
    assert damaged > 20


def _tensors_of_one_shape(count: int, axes: int) -> bytes:
    """Write a network whose tensors refer to the same bytes as their shape."""
    builder = flatbuffers.Builder(0)
    shape = builder.CreateNumpyVector(np.ones(axes, np.int32))
    tensors = []
    for _ in range(count):
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        tensors.append(schema.TensorEnd(builder))

    def vector(places: list[int]) -> int:
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())

    all_tensors, outputs = vector(tensors), builder.CreateNumpyVector(np.zeros(1, np.int32))
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, all_tensors)
    schema.SubGraphAddOutputs(builder, outputs)
    subgraphs = vector([schema.SubGraphEnd(builder)])
    schema.BufferStart(builder)
    buffers = vector([schema.BufferEnd(builder)])
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder))
    return bytes(builder.Output())


def test_parts_that_use_the_same_bytes_are_bounded() -> None:
    assert len(NetworkGraph.read(_tensors_of_one_shape(3, 4)).tensors) == 3
    with pytest.raises(ModelError, match="larger than the data"):
        NetworkGraph.read(_tensors_of_one_shape(1000, 10_000))


def test_a_network_without_a_subgraph_is_refused() -> None:
    builder = flatbuffers.Builder(0)
    schema.ModelStart(builder)
    builder.Finish(schema.ModelEnd(builder))
    with pytest.raises(ModelError, match="no subgraph"):
        NetworkGraph.read(bytes(builder.Output()))
