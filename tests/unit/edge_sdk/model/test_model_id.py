"""The id of an embedding space changes with whatever changes embeddings, and with nothing else."""

import copy
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.landmark_template import arcface
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.model_id import ModelId, space_id

NETWORK = "ab" * 32


def test_a_space_id_has_the_bytes_of_the_format(make_contract: Callable[..., InputContract]) -> None:
    contract = make_contract(color="bgr", alignment=tuple((float(i), i / 3) for i in range(5)))
    numbers = [127.5] * 3 + [128.0] * 3 + [value for i in range(5) for value in (float(i), i / 3)]
    data = b"edge-sdk/model/space@v1" + NETWORK.encode() + struct.pack("<HHHBB", 1, 96, 96, 2, 5)
    assert space_id(NETWORK, contract) == hashlib.sha256(data + struct.pack("<16d", *numbers)).digest()
    gray = make_contract(color="gray", height=32)
    data = (
        b"edge-sdk/model/space@v1" + NETWORK.encode() + struct.pack("<HHHBBdd", 1, 32, 96, 3, 0, 127.5, 128)
    )
    assert space_id(NETWORK.upper(), gray) == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"height": 112},
        {"width": 112},
        {"color": "bgr"},
        {"color": "gray"},
        {"mean": (127.5, 127.5, 127.4)},
        {"scale": (128.0, 127.5, 128.0)},
        {"alignment": arcface(96, 96)},
        {"alignment": tuple((0.0, 0.0) for _ in range(5))},
    ],
)
def test_another_contract_is_another_space(
    make_contract: Callable[..., InputContract], change: dict[str, Any]
) -> None:
    assert space_id(NETWORK, make_contract(**change)) != space_id(NETWORK, make_contract())


def test_another_network_is_another_space_and_equal_contracts_are_one(
    make_contract: Callable[..., InputContract],
) -> None:
    zero = make_contract(mean=(0.0,) * 3)
    assert space_id("cd" * 32, zero) != space_id(NETWORK, zero)
    assert space_id(NETWORK, make_contract(mean=(-0.0, 0, -0.0))) == space_id(NETWORK, zero)
    same = InputContract.from_json({"size": [96, 96], "color": "rgb", "mean": 127.5, "scale": 128})
    assert space_id(NETWORK, same) == space_id(NETWORK, make_contract())


def test_evidence_golden_vectors_and_names_keep_the_space(
    make_model: Callable[..., bytes], make_evidence: Callable[..., Any], tmp_path: Path
) -> None:
    ids = []
    for changes in ({}, {"operating_points": (make_evidence(),)}, {"golden": True}, {"limits": "none"}):
        path = tmp_path / "model.tflite"
        path.write_bytes(make_model(**changes))
        ids.append(ModelFile.open(path).model_id)
    assert len(set(ids)) == len(ids), "the files differ"
    assert len({model.space for model in ids}) == 1
    assert [model.evidence == ids[0].evidence for model in ids] == [True, False, True, True]
    path.write_bytes(make_model(seed=1))
    assert ModelFile.open(path).model_id.space != ids[0].space


def test_a_model_id_is_the_files_digest_and_keeps_its_space(make_card: Callable[..., ModelCard]) -> None:
    file = hashlib.sha256(b"file").digest()
    model = ModelId.of(file, make_card(network_sha256=NETWORK))
    assert (model, model.hex(), len(model)) == (file, file.hex(), 32)
    for same in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (same, same.space, same.evidence) == (file, model.space, model.evidence)


def test_the_digest_without_evidence_is_that_of_the_file_before(
    make_model: Callable[..., bytes], make_evidence: Callable[..., Any], tmp_path: Path
) -> None:
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    before.write_bytes(make_model(golden=True))
    after.write_bytes(make_model(golden=True, operating_points=(make_evidence(),)))
    original = ModelFile.open(before)
    assert ModelFile.open(after).sha256_without_evidence() == original.sha256
    assert original.sha256_without_evidence() == original.sha256
