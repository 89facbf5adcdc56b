"""The recipe search restores the accuracy that plain int8 loses in a real network, without losing the speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Search
from converters.quantize.budget import CosineBudget
from edge_sdk.model.card import InputContract

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_search_finds_what_keeps_mobilefacenet_y1(shared: Path, tmp_path: Path) -> None:
    report = convert(
        ConversionOptions(
            shared / "zoo" / "mobilefacenet_y1_float32.tflite",
            InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]}),
            shared / "faces" / "lfw_calibration_aligned112.tar",
            tmp_path / "out",
            quantization=Search(CosineBudget(0.997)),
            min_cosine=0.997,
        )
    )
    search = report.searches["cpu_int8"]
    plain = search["trials"][0]
    assert search["met"] and plain["cosine_mean"] < 0.9
    assert max(trial["float_share"] for trial in search["trials"]) < 0.1
    (int8,) = (artefact for artefact in report.artefacts if artefact.precision == "int8")
    assert int8.cosine_mean >= 0.997 and int8.cosine_min >= 0.99
    assert int8.partitions == 1 and all(gate.passed for gate in int8.gates)
