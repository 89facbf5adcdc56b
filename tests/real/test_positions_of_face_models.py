"""Exact shares of positions of public face networks, and the refusal of one with an activation after pooling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.data.image_set import ImageSet, evenly
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.errors import ModelContractError
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import ModelFile
from edge_sdk.vision.decomposition import Decomposer

pytestmark = pytest.mark.real

AS_PIXELS = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)


def faces(shared: Path, contract: InputContract, count: int = 6) -> np.ndarray:
    images = ImageSet.open(shared / "faces" / "lfw_devtest_aligned112.tar")
    return images.crops(contract, names=evenly(images.names, count)).pixels


def largest_remainder(decomposer: Decomposer, crops: np.ndarray) -> float:
    parts = [decomposer.split(crop) for crop in crops]
    return max(abs(a.shares(b.embedding).remainder) for a in parts for b in parts)


def test_a_float_file_is_split_exactly(shared: Path) -> None:
    data = (shared / "zoo" / "mobilefacenet_y1_float32.tflite").read_bytes()
    decomposer = Decomposer(data, AS_PIXELS)
    assert decomposer.tail.shape == (1, 7, 7, 512)
    assert decomposer.tail.operators == ("DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    assert largest_remainder(decomposer, faces(shared, AS_PIXELS)) < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "tail"),
    [
        ("mobilefacenet_y1.onnx", ("DEPTHWISE_CONV_2D", "FULLY_CONNECTED")),
        ("sface_2021dec_float.onnx", ("MUL", "ADD", "TRANSPOSE", "RESHAPE", "FULLY_CONNECTED")),
    ],
)
def test_every_file_of_a_conversion_is_split(
    shared: Path, tmp_path: Path, file: str, tail: tuple[str, ...]
) -> None:
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    result = convert(ConversionOptions(shared / "zoo" / file, AS_PIXELS, calibration, tmp_path))
    crops = faces(shared, AS_PIXELS)
    remainders = {}
    for artefact in result.artefacts:
        decomposer = Decomposer(ModelFile.open(tmp_path / artefact.file).data, AS_PIXELS)
        assert decomposer.tail.operators == tail
        assert decomposer.tail.integer == (artefact.recipe in ("cpu_int8", "dynamic_range"))
        remainders[artefact.recipe] = largest_remainder(decomposer, crops)
    assert remainders["float32"] < 5e-6 and remainders["float16"] < 5e-6
    assert remainders["dynamic_range"] < 0.01 and remainders["cpu_int8"] < 0.02


@pytest.mark.slow
def test_an_activation_after_pooling_is_refused(shared: Path, tmp_path: Path) -> None:
    """OSNet's last dense layer has a ReLU."""
    contract = InputContract.from_json(
        {
            "size": (256, 128),
            "color": "rgb",
            "mean": [123.675, 116.28, 103.53],
            "scale": [58.395, 57.12, 57.375],
        }
    )
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    options = ConversionOptions(shared / "zoo" / "osnet_x0_25_msmt17.onnx", contract, calibration, tmp_path)
    result = convert(options)
    with pytest.raises(ModelContractError, match="found FULLY_CONNECTED with RELU after that map"):
        Decomposer(ModelFile.open(tmp_path / result.artefacts[0].file).data, contract)
