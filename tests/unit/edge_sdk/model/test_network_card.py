"""Cards of auxiliary networks are read back unchanged, and malformed ones are refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import EdgeSdkError, ModelCardError
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.network_card import NetworkCard

CARD = NetworkCard(
    name="yunet",
    task="face detector",
    method="yunet",
    precision="int8",
    input=InputContract(320, 320, "bgr", (0.0,) * 3, (1.0,) * 3),
    outputs=("cls_8", "obj_8"),
    network_sha256="ab" * 32,
    parameters={"crop_scale": 2.7},
    licence="MIT",
    source={"kind": "onnx"},
    fidelity={"error_share": {"cls_8": 0.1}},
)


def test_a_card_comes_back_as_it_was_written() -> None:
    assert NetworkCard.from_bytes(CARD.to_bytes()) == CARD


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", "edge-sdk/model-card/1", "network-card"),
        ("task", "embedder", "face detector"),
        ("outputs", [], "outputs"),
        ("outputs", ["a", "a"], "different names"),
        ("outputs", [1], "malformed"),
        ("outputs", None, "malformed"),
        ("parameters", {"crop_scale": "2.7"}, "malformed"),
        ("parameters", {"crop_scale": True}, "malformed"),
        ("input", None, "input"),
        ("method", 3, "malformed"),
        ("fidelity", [], "malformed"),
    ],
)
def test_a_field_that_is_not_what_it_must_be_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ModelCardError, match=message):
        NetworkCard.from_bytes(json.dumps({**CARD.to_json(), field: value}).encode())


def test_an_embedder_and_a_detector_that_were_swapped_are_told_apart() -> None:
    embedder = json.dumps({**CARD.to_json(), "schema": "edge-sdk/model-card/1"}).encode()
    with pytest.raises(ModelCardError) as swapped:
        NetworkCard.from_bytes(embedder)
    assert swapped.value.hint is not None and "this file is an embedder" in swapped.value.hint
    with pytest.raises(ModelCardError) as swapped:
        ModelCard.from_bytes(CARD.to_bytes())
    assert swapped.value.hint is not None and "this file is a face detector" in swapped.value.hint


@pytest.mark.parametrize(
    "field", ["name", "task", "method", "precision", "network_sha256", "input", "outputs"]
)
def test_a_missing_field_is_named(field: str) -> None:
    value = CARD.to_json()
    del value[field]
    with pytest.raises(ModelCardError, match=field):
        NetworkCard.from_bytes(json.dumps(value).encode())


@given(st.data())
def test_altered_bytes_are_a_card_or_a_card_error(data: st.DataObject) -> None:
    whole = bytearray(CARD.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        NetworkCard.from_bytes(bytes(whole))
    except EdgeSdkError as error:
        assert isinstance(error, ModelCardError)


def test_more_outputs_than_any_network_has_are_refused() -> None:
    with pytest.raises(ModelCardError, match="1 to 64"):
        replace(CARD, outputs=tuple(f"o{i}" for i in range(65)))
