"""Transcripts of ``edge-convert evaluate --plan``, and of the verdict of ``edge-convert compare``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.cli import main
from tests.conftest import Outcome, in_process
from tests.labelled_images import contents, write


@pytest.fixture
def edge_convert(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    def run(*arguments: Any) -> Outcome:
        return in_process(main, arguments, capsys)

    return run


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "people", contents(30, 4, noise=80))


def test_a_plan_needs_neither_a_file_nor_images(edge_convert: Callable[..., Outcome]) -> None:
    outcome = edge_convert("evaluate", "--plan", "--fmr", "1e-4", "--images-per-subject", 4)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "subjects to collect, with 4 images of each"
    assert any(line.split()[:2] == ["0.0001", "246"] for line in lines)
    words = " ".join(outcome.out.split())
    assert "no worse than another by 0.3 points of TAR" in words
    assert "the same number of images of each subject" in words
    assert "the pilot" not in words
    assert max(map(len, lines)) <= 120


def test_a_plan_states_no_number_above_a_million(edge_convert: Callable[..., Outcome]) -> None:
    outcome = edge_convert("evaluate", "--plan", "--margin", "0.0001")
    assert "more than a million subjects" in outcome.out


def test_a_plan_as_json(edge_convert: Callable[..., Outcome]) -> None:
    options = ("--images-per-subject", 2, "--margin", 1, "--fnmr", 0.1)
    value = json.loads(edge_convert("evaluate", "--plan", "--json", *options).out)
    assert value["schema"] == "edge-sdk/evaluation-plan/1"
    assert [row["fmr"] for row in value["claims"]] == [1e-2, 1e-3, 1e-4, 1e-5]
    assert value["claims"][2]["least"] == 246
    assert value["difference"]["margin"] == pytest.approx(0.01)
    assert value["fnmr"] == 0.1 and value["pilot"] == ""


def test_a_plan_from_images_of_a_pilot(
    edge_convert: Callable[..., Outcome], model_path: Path, people: Path
) -> None:
    outcome = edge_convert("evaluate", model_path, "--plan", "--images", people, "--json")
    value = json.loads(outcome.out)
    assert value["pilot"] == "people" and value["images_per_subject"] == 4
    assert value["dependence"][0] == value["dependence"][1]
    assert all(row["subjects"][0] == row["subjects"][1] >= row["least"] for row in value["claims"])
    assert "as unequal as the 30 of people" in value["notes"][1]
    highest, *others = value["claims"]
    assert highest["fnmr_at"] == 1e-2
    assert [row["fnmr_at"] for row in others] == [1e-3, 1e-3, 1e-3], "6,960 comparisons support no lower FMR"
    assert highest["fnmr"] <= others[0]["fnmr"]
    text = " ".join(edge_convert("evaluate", model_path, "--plan", "--images", people).out.split())
    assert "(not from the pilot: edge-convert compare measures the difference of two files on it)" in text
    assert "marked > is the FNMR at FMR 0.001, the lowest that the pilot supports" in text
    assumed = edge_convert(
        "evaluate", model_path, "--plan", "--images", people, "--fnmr", 0.2, "--fmr", "1e-2", "--json"
    )
    row = json.loads(assumed.out)["claims"][0]
    assert (row["fnmr"], row["fnmr_at"]) == (0.2, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plan", "--write-card"], "expected --plan without --write-card"),
        (["--plan", "--rank", "2"], "expected --plan without --rank"),
        (["--plan", "--images", "people"], "expected FILE.tflite and --images together"),
        (["door.tflite", "--plan"], "expected FILE.tflite and --images together"),
        (["door.tflite", "--images", "people", "--margin", "1"], "expected --plan with --margin"),
        (["--images", "people"], "expected FILE.tflite, found none"),
        (["--plan", "--images-per-subject", "0"], "expected 1..1000 images per subject, found 0"),
        (["--plan", "--fmr", "1e-12"], "expected FMR of at least 1e-9"),
        (["--plan", "--margin", "100"], "expected points above 0 and under 100"),
        (["--plan", "--fnmr", "0.1,0.2"], "expected one rate"),
        (["--plan", "--workers", "3"], "expected --workers with FILE.tflite and --images of a pilot"),
        (["--plan", "--margin", "1e-300"], "expected a margin of at least 1e-15"),
    ],
)
def test_options_that_contradict_a_plan_are_usage_errors(
    edge_convert: Callable[..., Outcome], options: list[str], message: str
) -> None:
    outcome = edge_convert("evaluate", *options)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_comparison_states_the_verdict_for_a_margin(
    edge_convert: Callable[..., Outcome], model_path: Path, float_model_path: Path, people: Path
) -> None:
    files = (float_model_path, model_path, "--images", people)
    value = json.loads(edge_convert("compare", *files, "--margin", 99, "--json").out)["candidates"][0]
    assert value["verdict"] == {
        "kind": "MarginVerdict",
        "margin": 0.99,
        "verdict": "no worse",
        "more_subjects": None,
        "unseen_share": pytest.approx(1 - 0.05 ** (1 / 30)),
    }
    assert value["pooled"]["subjects"] == 30
    assert value["pooled"]["lowest_fmr"] == pytest.approx(3 / 435)
    text = edge_convert("compare", *files, "--margin", 0.01).out
    assert "difference of TAR, smoothed, FMR 0.0069..0.01: " in text
    assert "verdict: " in text
    assert edge_convert("compare", *files, "--margin", 0).code == 2
