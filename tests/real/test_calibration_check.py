"""Faults of calibration images for a real face network: each seeded fault is named, random subsets have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.analyze.calibration_check import check_calibration
from converters.data.calibration import CalibrationSet, real_inputs
from converters.data.generated import generated_inputs
from converters.data.image_set import Crops, ImageSet
from converters.sources.float_model import FloatModel, read_float_model
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface
from edge_sdk.vision.resize import fit

pytestmark = [pytest.mark.real, pytest.mark.slow]
CONTRACT = InputContract(112, 96, "rgb", (127.5,) * 3, (128.0,) * 3, arcface(112, 96))


@pytest.fixture(scope="module")
def model(shared: Path) -> FloatModel:
    inputs = real_inputs(generated_inputs(CONTRACT), CONTRACT)
    path = shared / "zoo/mobilefacenet_casia_112x96.onnx"
    return read_float_model(path, contract=CONTRACT, inputs=inputs)


@pytest.fixture(scope="module")
def faces(shared: Path) -> np.ndarray:
    return ImageSet.open(shared / "faces/lfw_calibration_aligned112.tar").crops(CONTRACT).pixels


def faults(model: FloatModel, pixels: np.ndarray) -> list[str]:
    images = Crops(tuple(map(str, range(len(pixels)))), np.ascontiguousarray(pixels), "", 0)
    check = check_calibration(
        model.network, model.contract, CalibrationSet(images, images, images, True, len(pixels))
    )
    return [finding.fault for finding in check.findings]


def reduced(pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels, ((0, 0), (28, 28), (24, 24), (0, 0)), mode="edge")
    return np.stack([fit(image, 112, 96) for image in padded])


def test_random_subsets_of_good_crops_have_no_fault(model: FloatModel, faces: np.ndarray) -> None:
    random = np.random.default_rng(11)
    for _ in range(5):
        assert faults(model, faces[random.permutation(len(faces))[:110]]) == []


@pytest.mark.parametrize("fault", ["turned", "channels", "size", "shifted", "kind"])
def test_a_seeded_fault_is_named(model: FloatModel, faces: np.ndarray, fault: str) -> None:
    pixels = faces[:110]
    seeded = {
        "turned": pixels[:, ::-1, ::-1],
        "channels": pixels[..., ::-1],
        "size": reduced(pixels),
        "shifted": np.concatenate([pixels[:, :1].repeat(18, axis=1), pixels[:, :-18]], axis=1),
        "kind": np.random.default_rng(3).integers(0, 256, pixels.shape, dtype=np.uint8),
    }
    assert fault in faults(model, seeded[fault])
