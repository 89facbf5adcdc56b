"""Transcripts of ``edge-sdk bench`` on aligned crops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trial_delegates import build_delegate

Run = Callable[..., Any]
FEW = ("--frames", "4", "--warm-up", "1")


def test_a_model_alone_is_measured_on_crops_of_its_own_size(edge_sdk: Run, model_path: Path) -> None:
    done = edge_sdk("bench", "--model", model_path, *FEW, "--threads", "2", "--json")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert [stage["name"] for stage in result["stages"]] == ["encode", "embed network", "decode"]
    assert (result["frames"], result["warm_up"], result["threads"], result["size"]) == (4, 1, 2, [96, 96])
    assert sum(stage["share"] for stage in result["stages"]) == pytest.approx(1)
    outside = 1 - result["stages"][1]["share"]
    assert 0 < result["own_share"] < 1 and 0 < outside < 1
    assert 0 < result["p50_ms"] <= result["p95_ms"]
    assert 10 << 20 < result["peak_rss_bytes"] < 16 << 30
    assert 0 < result["allocated_bytes"]["embed"] < 1 << 20


def test_the_text_output_has_one_line_per_stage(edge_sdk: Run, model_path: Path, products: list[Any]) -> None:
    done = edge_sdk(
        "bench",
        "--model",
        model_path,
        "--image",
        products[0].enrol,
        "--references",
        "300",
        *FEW,
        "--threads",
        "1",
    )
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["encode", "embed", "decode", "match", "whole"]
    assert ", 300 references; " in lines[7]
    assert lines[-1].startswith("4 frames after 1 to warm up, 1 thread, ai-edge-litert ")


def test_a_gallery_is_compared_with_and_asked_nothing(
    edge_sdk: Run, home: Any, tmp_path: Path, products: list[Any]
) -> None:
    """A benchmark with images of strangers must not lock the gallery."""
    assert edge_sdk("gallery", "limit-attempts", *home.files).code == 0
    before = {path.name: path.read_bytes() for path in home.folder.iterdir()}
    done = edge_sdk("bench", *home.all, "--image", products[5].enrol, "--frames", "40", "--json")
    assert done.code == 0
    assert json.loads(done.out)["references"] == 1
    assert {path.name: path.read_bytes() for path in home.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--frames", "0"), "count and warm_up, found 1, 0 and 10"),
        (("--warm-up", "0"), "count and warm_up, found 1, 100 and 0"),
        (("--references", "0"), "expected 1..1000000 references, found 0"),
        (("--references", "9999999999"), "expected 1..1000000 references"),
        (("--pad", "pad.tflite"), "presentation attack detectors need a face detector"),
        (("--image", "nowhere.jpg"), "nowhere.jpg: no such file"),
        (("--camera", "nowhere"), "expected a camera, found 'nowhere'"),
        (("--detector", "nowhere.tflite"), "nowhere.tflite: cannot be read"),
    ],
)
def test_contradicting_or_missing_arguments_are_errors(
    edge_sdk: Run, model_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = edge_sdk("bench", "--model", model_path, *arguments)
    assert done.code == 3
    assert message in done.err


def test_a_gallery_takes_a_key_and_excludes_random_references(edge_sdk: Run, home: Any) -> None:
    gallery = home.files[:2]
    assert "found none" in edge_sdk("bench", "--model", home.model, *gallery).err
    assert "found both" in edge_sdk("bench", *home.all, "--references", "5").err


def test_a_wrong_delegate_is_not_what_is_measured(
    edge_sdk: Run, tmp_path: Path, golden_model_path: Path
) -> None:
    wrong = build_delegate(tmp_path)
    done = edge_sdk("bench", "--model", golden_model_path, "--delegate", wrong, *FEW, "--json")
    assert done.code == 0
    assert json.loads(done.out)["device"] == "cpu"
    assert "the CPU runs the network in its place" in done.err
