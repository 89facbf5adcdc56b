"""``edge-sdk bench`` measures all stages with real networks, on photographs with and without a face."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.cli import main

pytestmark = pytest.mark.real

STAGES = ["detect", "detect network", "align", "quality", "encode", "embed network", "decode", "match"]


@pytest.fixture
def bench(shared: Path, model_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    detector = shared / "zoo" / "blazeface_short_range.tflite"

    def run(*arguments: str | Path) -> dict:
        files = ["--model", model_path, "--detector", detector, "--references", "1000", "--frames", "6"]
        assert main(["bench", *map(str, files), *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_every_stage_of_photographs_adds_up(bench: Callable[..., dict], shared: Path) -> None:
    photographs = sorted((shared / "pad_samples").glob("*.jpg"))
    benchmark = bench("--image", *photographs)
    assert [stage["name"] for stage in benchmark["stages"]] == STAGES
    assert benchmark["stood_in"] == 0
    assert sum(stage["share"] for stage in benchmark["stages"]) == pytest.approx(1)
    assert benchmark["own_share"] < 1
    assert set(benchmark["allocated_bytes"]) == {"detect", "align", "quality", "embed", "match"}


def test_a_frame_without_a_face_is_measured_with_a_stand_in_and_says_so(bench: Callable[..., dict]) -> None:
    benchmark = bench()
    assert (benchmark["stood_in"], benchmark["size"]) == (6, [480, 640])
    assert [stage["name"] for stage in benchmark["stages"]] == STAGES


def test_a_folder_is_a_camera(bench: Callable[..., dict], shared: Path) -> None:
    assert bench("--camera", shared / "pad_samples")["stood_in"] == 0
