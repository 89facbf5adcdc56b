"""The card states type and quantization of the input tensor, and a network with another tensor is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import Embedder
from edge_sdk.errors import ModelCardError, ModelContractError
from edge_sdk.model.card import ModelCard
from edge_sdk.model.input_tensor import InputTensor
from edge_sdk.model.model_file import ModelFile, bundle, split
from edge_sdk.model.model_id import ModelId


@pytest.fixture
def model(tmp_path: Path, make_model: Callable[..., bytes]) -> ModelFile:
    path = tmp_path / "model.tflite"
    path.write_bytes(make_model())
    return ModelFile.open(path)


def with_tensor(model: ModelFile, tensor: InputTensor | None, path: Path) -> Path:
    """Write a model file whose card states a tensor."""
    network, _ = split(model.data)
    path.write_bytes(bundle(network, replace(model.card, input_tensor=tensor).to_bytes()))
    return path


def test_the_tensor_stands_in_the_input_of_the_card(model: ModelFile) -> None:
    card = replace(model.card, input_tensor=InputTensor("uint8", 0.5, 3))
    value = json.loads(card.to_bytes())
    assert value["input"]["tensor"] == {"dtype": "uint8", "scale": 0.5, "zero_point": 3}
    assert "input_tensor" not in value
    assert ModelCard.from_bytes(card.to_bytes()) == card


def test_a_card_without_the_tensor_keeps_its_bytes(model: ModelFile) -> None:
    card = replace(model.card, input_tensor=None)
    assert b'"tensor"' not in card.to_bytes()
    assert ModelCard.from_bytes(card.to_bytes()) == card


def test_galleries_stay_bound_to_the_same_space(model: ModelFile) -> None:
    stated, unstated = (
        ModelId.of(model.model_id, replace(model.card, input_tensor=tensor))
        for tensor in (InputTensor("uint8", 0.5, 3), None)
    )
    assert (stated.space, stated.evidence) == (unstated.space, unstated.evidence)


def test_a_network_with_another_tensor_is_refused(model: ModelFile, tmp_path: Path) -> None:
    plain = Embedder.open(with_tensor(model, None, tmp_path / "plain.tflite"))
    right = plain._backend.input.stated()
    Embedder.open(with_tensor(model, right, tmp_path / "right.tflite"))
    wrong = InputTensor("int16", 0.25, 0)
    with pytest.raises(ModelContractError, match="expected the input tensor that the card states"):
        Embedder.open(with_tensor(model, wrong, tmp_path / "wrong.tflite"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"dtype": "int4", "scale": 1.0, "zero_point": 0}, "dtype"),
        ({"dtype": "int8", "scale": 0.0, "zero_point": 0}, "scale"),
        ({"dtype": "int8", "scale": -1.0, "zero_point": 0}, "scale"),
        ({"dtype": "float32", "scale": 1.0, "zero_point": 0}, "scale"),
        ({"dtype": "int8", "scale": 1.0}, "zero_point"),
        ({"dtype": "int8", "scale": 1.0, "zero_point": 0.5}, "zero_point"),
        ([], "input tensor"),
    ],
)
def test_a_malformed_tensor_is_refused(model: ModelFile, value: Any, message: str) -> None:
    card = json.loads(model.card.to_bytes())
    card["input"]["tensor"] = value
    with pytest.raises(ModelCardError, match=message):
        ModelCard.from_bytes(json.dumps(card).encode())
