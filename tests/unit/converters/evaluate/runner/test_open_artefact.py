"""Files with a card open without options, files without a card need a contract; both give the device's embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.evaluate.runner.open_artefact import open_artefact
from converters.graph.graph import Graph
from edge_sdk.errors import ModelContractError, ModelError
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import split
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.vision.embedder import Embedder
from tests.labelled_images import photo


def test_a_file_with_a_card_gives_the_embeddings_of_the_device(model_path: Path) -> None:
    artefact = open_artefact(model_path)
    image = photo(1, 1)
    assert np.array_equal(artefact.embedder().embed(image), Embedder.open(model_path).embed(image))
    assert artefact.has_card
    assert artefact.notes == ()


def test_a_contract_that_contradicts_the_card_is_refused(
    model_path: Path, make_contract: Callable[..., InputContract]
) -> None:
    assert open_artefact(model_path, contract=make_contract()).has_card
    with pytest.raises(ModelContractError, match="of its card"):
        open_artefact(model_path, contract=make_contract(color="bgr"))


def test_a_file_without_a_card_needs_a_contract(
    tmp_path: Path, model_bytes: bytes, make_contract: Callable[..., InputContract]
) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(split(model_bytes)[0])
    with pytest.raises(ModelContractError, match="no card inside"):
        open_artefact(path)
    artefact = open_artefact(path, contract=make_contract())
    assert (artefact.card.name, artefact.card.precision, artefact.has_card) == ("bare", "int8", False)
    with pytest.raises(ModelContractError, match="input tensor of shape"):
        open_artefact(path, contract=make_contract(height=64))


@pytest.mark.parametrize("integer", [True, False])
def test_a_dynamic_batch_is_measured_with_one_image(
    tmp_path: Path,
    integer: bool,
    make_model: Callable[..., bytes],
    make_contract: Callable[..., InputContract],
) -> None:
    network = split(make_model(integer=integer))[0]
    graph = Graph.parse(network)
    for index in [*graph.inputs, *graph.computed()]:
        graph.tensors[index].shapeSignature = [-1, *graph.shape(index)[1:]]
    path = tmp_path / "dynamic.tflite"
    path.write_bytes(graph.to_bytes())
    (tmp_path / "static.tflite").write_bytes(network)
    dynamic = open_artefact(path, contract=make_contract())
    static = open_artefact(tmp_path / "static.tflite", contract=make_contract())
    assert dynamic.notes == ("the batch was dynamic; measured with one image at a time",)
    for subject in range(3):
        image = photo(subject, 0)
        assert np.array_equal(dynamic.embedder().embed(image), static.embedder().embed(image))


def test_the_key_identifies_the_embedding_space(
    tmp_path: Path,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., OperatingPoint],
    make_contract: Callable[..., InputContract],
) -> None:
    def key(**changes: object) -> str:
        path = tmp_path / "m.tflite"
        path.write_bytes(make_model(**changes))
        return open_artefact(path).key

    assert key() == key(operating_points=(make_evidence(),), limits="others")
    other = {key(seed=1), key(integer=False), key(input=make_contract(scale=(127.0,) * 3)), key()}
    assert len(other) == 4


def test_a_damaged_file_is_refused_before_it_runs(tmp_path: Path, model_bytes: bytes) -> None:
    path = tmp_path / "m.tflite"
    damaged = bytearray(model_bytes)
    damaged[2000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="the network does not match its card"):
        open_artefact(path)
