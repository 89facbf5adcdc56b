"""LiteRT backends describe tensors, run networks, and refuse unsuitable networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import BackendUnavailableError, InputError, ModelContractError, ModelError
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends import litert
from edge_sdk.runtime.backends.litert import LiteRtBackend

Make = Callable[..., Any]


def test_it_says_what_the_tensors_are(model_bytes: bytes, make_model: Make) -> None:
    backend = LiteRtBackend(model_bytes)
    assert backend.input.shape == (1, 96, 96, 3)
    assert (backend.input.dtype, backend.input.scale, backend.input.zero_point) == (np.int8, 1 / 128, 0)
    assert (backend.output.shape, backend.output.zero_point) == ((1, 32), 3)
    assert backend.output.scale == pytest.approx(0.15)
    float_backend = LiteRtBackend(make_model(integer=False))
    assert (float_backend.input.dtype, float_backend.input.scale) == (np.float32, 0.0)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_answer_does_not_depend_on_the_threads(model_bytes: bytes, threads: int) -> None:
    image = np.random.default_rng(0).integers(-128, 128, (1, 96, 96, 3)).astype(np.int8)
    outputs = []
    for backend in (LiteRtBackend(model_bytes), LiteRtBackend(model_bytes, threads=threads)):
        np.copyto(backend.input_view(), image)
        backend.invoke()
        outputs.append(backend.output_view().copy())
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_a_number_of_threads_that_is_none_is_refused(model_bytes: bytes, threads: Any) -> None:
    with pytest.raises(InputError, match="1 or more interpreter threads"):
        LiteRtBackend(model_bytes, threads=threads)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + bytes(100), b"\xff" * 1000])
def test_what_is_no_network_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="the interpreter refuses the network"):
        LiteRtBackend(data)


def test_a_network_with_two_outputs_is_refused(model_bytes: bytes) -> None:
    from converters.graph.graph import Graph

    graph = Graph.parse(split(model_bytes)[0])
    graph.set_outputs([graph.computed()[0], *graph.outputs])
    with pytest.raises(ModelContractError, match="expected one input and one output, found 1 and 2"):
        LiteRtBackend(graph.to_bytes())


def test_a_network_of_no_fixed_shape_is_refused(model_bytes: bytes) -> None:
    from converters.graph.graph import Graph

    graph = Graph.parse(split(model_bytes)[0])
    for index in (*graph.inputs, *graph.outputs):
        graph.tensors[index].shapeSignature = [-1, *graph.shape(index)[1:]]
    with pytest.raises(ModelContractError, match="static shapes") as refused:
        LiteRtBackend(graph.to_bytes())
    assert "edge-convert convert" in (refused.value.hint or "")


def test_a_view_kept_across_invoke_is_said_in_one_line(model_bytes: bytes) -> None:
    backend = LiteRtBackend(model_bytes)
    view = backend.output_view()
    with pytest.raises(ModelError, match="the interpreter cannot run the network") as refused:
        backend.invoke()
    assert "\n" not in str(refused.value)
    del view
    backend.invoke()


def test_without_an_interpreter_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "PACKAGES", {"none": "edge_sdk.no_such_module"})
    with pytest.raises(BackendUnavailableError, match="no LiteRT interpreter") as refused:
        LiteRtBackend(b"")
    assert refused.value.hint == "pip install 'edge-embedding-sdk[litert]'"
