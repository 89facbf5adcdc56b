"""The report of a conversion as a run reads it, and the crops that calibrate it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.data.image_set import ImageSet
from converters.data.samples import open_samples
from edge_sdk.model.card import InputContract
from edge_train.data.subjects import Subjects
from edge_train.run.conversion import CALIBRATION_IMAGES, Conversion, write_crops
from tests.labelled_images import contents


def artefact(file: str, precision: str, **changes: Any) -> dict[str, Any]:
    values = {"size_bytes": 9, "cosine_mean": 0.99, "time_ratio": None, "met": True, "goal": "cosine 0.995"}
    return {"file": file, "precision": precision, **values, **changes}


def write(folder: Path, **changes: Any) -> None:
    files = [artefact("m.float32.tflite", "float32"), artefact("m.cpu_int8.tflite", "int8", met=False)]
    report = {
        "artefacts": files,
        "refused": [],
        "refused_files": [],
        "notes": ["few images"],
        "verdict": "good",
    }
    (folder / "m.report.json").write_text(json.dumps({**report, **changes}))


def test_a_missed_budget_is_a_note_because_the_user_set_none(tmp_path: Path) -> None:
    write(tmp_path)
    conversion = Conversion.read(tmp_path, "m")
    assert conversion.refusals == ()
    assert conversion.notes == (
        "few images",
        "m.cpu_int8.tflite misses the budget of its search: cosine 0.995",
    )
    assert conversion.main.file == "m.cpu_int8.tflite"


def test_refused_targets_and_files_are_refusals(tmp_path: Path) -> None:
    write(
        tmp_path,
        refused=[{"name": "edgetpu", "error": "PReLU", "hint": ""}],
        refused_files=[{"file": "m.float16.tflite", "error": "cosine 0.2", "hint": ""}],
    )
    assert Conversion.read(tmp_path, "m").refusals == (
        "no files for edgetpu: PReLU",
        "m.float16.tflite was not written: cosine 0.2",
    )


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_calibration_crops_have_the_size_of_the_network_and_the_same_bytes_each_time(
    color: str, tmp_path: Path
) -> None:
    for name, content in contents(3, 2).items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    subjects = Subjects.of(open_samples(tmp_path / "pictures"))
    channels = 1 if color == "gray" else 3
    contract = InputContract(24, 32, color, (127.5,) * channels, (128.0,) * channels)
    for archive in ("first.zip", "second.zip"):
        write_crops(subjects, contract, tmp_path / archive)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    crops = ImageSet.open(tmp_path / "first.zip").crops(contract)
    assert crops.pixels.shape == (6, 24, 32, channels)
    assert crops.resized == 0
    expected = subjects.samples.at_size(subjects.flat[0], contract)
    assert np.array_equal(crops.pixels[0], expected)
    assert len(zipfile.ZipFile(tmp_path / "first.zip").namelist()) <= CALIBRATION_IMAGES
