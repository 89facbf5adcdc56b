"""Strangers with the disguise or blur of an enrolled person are rarely accepted, because such faces are not enrolled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.cli.program import main as edge_convert
from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.model.card import InputContract
from tools.enrolment_quality import main

pytestmark = [pytest.mark.real, pytest.mark.slow]

COVERED = ("dark glasses", "mask", "mask and dark glasses", "cap and dark glasses")


def test_few_strangers_in_the_same_disguise_are_accepted(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    contract = InputContract.from_json(
        {"size": [112, 112], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
    )
    network = shared / "zoo" / "mobilefacenet_y1_float32.tflite"
    convert(ConversionOptions(network, contract, calibration, tmp_path, name="y1"))
    yunet = shared / "zoo" / "yunet_n_320_320.onnx"
    convert_auxiliary(AuxiliaryRequest(yunet, "yunet", tmp_path, calibration, name="yunet"))
    embedder = tmp_path / "y1.cpu_int8.tflite"
    images = shared / "faces" / "lfw_devtest_aligned112.tar"
    assert (
        edge_convert(["evaluate", str(embedder), "--images", str(images), "--write-card", "--no-cache"]) == 0
    )
    capsys.readouterr()
    detector = tmp_path / "yunet.cpu_int8.tflite"
    photographs = shared / "faces" / "lfw_devtest_raw250.tar"
    files = ["--detector", str(detector), "--embedder", str(embedder), "--photographs", str(photographs)]
    code = main([*files, "--subjects", "40", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    plain = result["plain"]
    assert plain["refused_by_enrolment"] <= 0.08 * plain["accepted_by_the_door"]
    rows = {(row["disguise"], row["style"]): row for row in result["disguises"]}
    for (kind, style), row in rows.items():
        severe = kind == "motion blur" and not style.startswith("9 px")
        if row["captures"] < 20 or not (kind in COVERED or severe):
            continue
        rates = row["embedders"]["y1.cpu_int8"]
        assert rates["after"]["rate"] <= 0.015, (kind, style)
    assert rows["dark glasses", "black"]["embedders"]["y1.cpu_int8"]["before"]["rate"] > 0.03
    for kind in ("clear glasses", "darker face"):
        for row in (row for (name, _), row in rows.items() if name == kind):
            assert row["refused_by_enrolment"] <= 0.15 * row["captures"]
