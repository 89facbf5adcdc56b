"""Fixtures with real networks for the examples, converted once per session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.model.card import InputContract


@dataclass(frozen=True)
class FaceNetworks:
    """Files of an embedder, a face detector and two networks for presentation attack detection."""

    embedder: Path
    detector: Path
    pad: tuple[Path, Path]


@pytest.fixture(scope="session")
def face_networks(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceNetworks:
    folder = tmp_path_factory.mktemp("networks")
    contract = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})
    convert(
        ConversionOptions(
            model=shared / "zoo" / "mobilefacenet_y1_float32.tflite",
            contract=contract,
            calibration=shared / "faces" / "lfw_calibration_aligned112.tar",
            output=folder,
            name="face",
        )
    )
    for name, scale in {"minifasnet_v2_scale2.7": 2.7, "minifasnet_v1se_scale4.0": 4.0}.items():
        source = shared / "zoo" / f"{name}.onnx"
        convert_auxiliary(AuxiliaryRequest(source, "minifasnet", folder, parameters={"crop_scale": scale}))
    return FaceNetworks(
        folder / "face.float32.tflite",
        shared / "zoo" / "blazeface_full_range.tflite",
        (
            folder / "minifasnet_v2_scale2.7.float32.tflite",
            folder / "minifasnet_v1se_scale4.0.float32.tflite",
        ),
    )
