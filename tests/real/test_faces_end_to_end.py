"""The complete path from photographs to decisions is accurate with int8 networks converted by this project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.model.card import InputContract
from tools.faces_end_to_end import main

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_raw_photographs_end_to_end(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    contract = InputContract.from_json(
        {"size": [112, 112], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
    )
    convert(
        ConversionOptions(
            shared / "zoo" / "sface_2021dec_float.onnx", contract, calibration, tmp_path, name="sface"
        )
    )
    yunet = shared / "zoo" / "yunet_n_320_320.onnx"
    convert_auxiliary(AuxiliaryRequest(yunet, "yunet", tmp_path, calibration, name="yunet"))
    capsys.readouterr()
    code = main(
        [
            "--detector",
            str(tmp_path / "yunet.cpu_int8.tflite"),
            "--embedder",
            str(tmp_path / "sface.cpu_int8.tflite"),
            "--photographs",
            str(shared / "faces" / "lfw_devtest_raw250.tar"),
            "--pairs",
            str(shared / "faces" / "pairsDevTest.txt"),
            "--json",
        ]
    )
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["photographs"] == 1549
    assert sum(result["failures_to_acquire"].values()) <= 0.005 * 1549
    assert result["accuracy"] >= 0.99
    by_measure = {point["measure"]: point for point in result["discard"]}
    # Discarding the 5 % with the lowest detector score reduces FNMR more than discarding a random 5 %.
    assert by_measure["detection"]["fnmr"] < result["rates"][-1]["fnmr"]
    assert by_measure["detection"]["fnmr"] < by_measure["detection"]["by_chance"][0]
