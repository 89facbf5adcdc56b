"""A face network converts again without images, in another process with another hash seed and number of threads, to the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay
from converters.quantize.recipe import shipped
from edge_sdk.model.card import InputContract

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "file",
    [
        "mobilefacenet_y1_float32.tflite",
        pytest.param("sface_2021dec_int8bq.onnx", marks=pytest.mark.slow),
    ],
)
def test_a_recorded_recipe_gives_the_same_bytes_without_images(
    shared: Path, tmp_path: Path, file: str
) -> None:
    plan = tmp_path / "plan.json"
    recipe = replace(shipped("cpu_int8"), equalize="all", bias_correction=True)
    plan.write_text(json.dumps(recipe.to_json()))
    contract = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})
    images = shared / "faces" / "lfw_calibration_aligned112.tar"
    source, first, again = shared / "zoo" / file, tmp_path / "first", tmp_path / "again"
    convert(ConversionOptions(source, contract, images, first, name="face", quantization=Replay(plan)))
    saved = first / "face.cpu_int8.recipe.json"
    assert saved.stat().st_size < 500_000
    command = ["-m", "converters.cli", "convert", str(source), "--name", "face", "--recipe", str(saved)]
    result = subprocess.run(
        [sys.executable, *command, "--output", str(again)],
        env={**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cpu_int8 replayed: same bytes as recorded" in result.stdout
    for suffix in ("tflite", "recipe.json"):
        name = f"face.cpu_int8.{suffix}"
        assert (first / name).read_bytes() == (again / name).read_bytes()
