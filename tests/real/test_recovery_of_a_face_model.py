"""A short distillation brings MobileFaceNet y1 with LeakyReLU close to its float network."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Distillation
from edge_sdk.model.card import InputContract

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_mobilefacenet_y1_with_leaky_relu_is_recovered_in_one_partition(shared: Path, tmp_path: Path) -> None:
    report = convert(
        ConversionOptions(
            shared / "zoo" / "mobilefacenet_y1_float32.tflite",
            InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]}),
            shared / "faces" / "lfw_calibration_aligned112.tar",
            tmp_path / "out",
            distillation=Distillation(minutes=2, leaky_share=0.5),
        )
    )
    distillation = report.recoveries["cpu_int8"]
    assert distillation["kept"] and distillation["leaky"] > 5
    assert distillation["after"] > 0.9 and distillation["after"] > distillation["before"] + 0.05
    (int8,) = (artefact for artefact in report.artefacts if artefact.precision == "int8")
    assert int8.cosine_mean > 0.9
    assert int8.partitions == 1 and "PRELU" not in int8.operators and all(gate.passed for gate in int8.gates)
