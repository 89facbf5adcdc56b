"""Fixtures with real networks for the examples, made once per session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.graph.attach_card import with_card
from converters.graph.network import Network
from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from edge_sdk.model.card import InputContract
from tests.conftest import card


@dataclass(frozen=True)
class FaceNetworks:
    """Files of an embedder and a face detector."""

    embedder: Path
    detector: Path


@pytest.fixture(scope="session")
def face_networks(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceNetworks:
    """The published network with a card: a conversion to float32 leaves its numbers as they are."""
    embedder = tmp_path_factory.mktemp("networks") / "face.float32.tflite"
    network = Network((shared / "zoo" / "mobilefacenet_y1_float32.tflite").read_bytes())
    contract = InputContract.from_json(
        {"size": [112, 112], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
    )
    embedder.write_bytes(
        with_card(
            network, card(name="face", target="cpu", precision="float32", dimension=128, input=contract)
        )
    )
    return FaceNetworks(embedder, shared / "zoo" / "blazeface_full_range.tflite")


@pytest.fixture(scope="session")
def liveness_networks(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two converted networks for presentation attack detection."""
    folder = tmp_path_factory.mktemp("liveness")
    names = {"minifasnet_v2_scale2.7": 2.7, "minifasnet_v1se_scale4.0": 4.0}
    for name, scale in names.items():
        source = shared / "zoo" / f"{name}.onnx"
        convert_auxiliary(AuxiliaryRequest(source, "minifasnet", folder, parameters={"crop_scale": scale}))
    first, second = (folder / f"{name}.float32.tflite" for name in names)
    return first, second
