"""Transcripts of ``edge-convert evaluate`` and ``edge-convert compare``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.cli import main
from edge_sdk.model.model_file import ModelFile, split
from tests.conftest import Outcome, in_process
from tests.labelled_images import contents, photo, png, write


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "edge-sdk" / "embeddings"


@pytest.fixture
def edge_convert(capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., Outcome]:
    def run(*arguments: Any) -> Outcome:
        return in_process(main, arguments, capsys)

    return run


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "people", contents(30, 4, noise=80))


@pytest.fixture
def model(tmp_path: Path, model_bytes: bytes) -> Path:
    path = tmp_path / "door.cpu_int8.tflite"
    path.write_bytes(model_bytes)
    return path


def test_a_table_for_a_person(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, cache: Path
) -> None:
    found = edge_convert("evaluate", model, "--images", people)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[0].startswith("door.cpu_int8.tflite: pooled-colours, int8, 32 values, 96x96 rgb")
    assert "people: 120 images of 30 subjects, all pairs" in lines
    assert any(line.split()[:1] == ["0.001"] and ".." in line for line in lines)
    assert (
        "  not supported: FMR 0.0001 takes 30000 non-mated comparisons (rule of three), found 6960" in lines
    )
    assert str(cache) in found.err
    assert "biometric data" in found.err
    assert len(list(cache.rglob("*.embeddings"))) > 10


def test_a_second_run_says_the_same(edge_convert: Callable[..., Outcome], model: Path, people: Path) -> None:
    first = edge_convert("evaluate", model, "--images", people, "--json")
    second = edge_convert("evaluate", model, "--images", people, "--json")
    third = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache")
    assert first.out == second.out == third.out
    assert third.err == ""
    value = json.loads(first.out)
    assert value["schema"] == "edge-sdk/evaluation/1"
    assert value["verification"]["data_set"] == "people"


def test_two_processes_say_the_same(edge_convert: Callable[..., Outcome], model: Path, people: Path) -> None:
    here = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache")
    there = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache", "--workers", 2)
    assert there.code == 0
    assert there.out == here.out


def test_fmrs_asked_for_one_by_one_are_all_measured(
    edge_convert: Callable[..., Outcome], model: Path, people: Path
) -> None:
    done = edge_convert(
        "evaluate", model, "--images", people, "--json", "--fmr", "5e-3", "--fmr", "0.1", "--fmr", "0.1"
    )
    assert done.code == 0
    assert [point["target_fmr"] for point in json.loads(done.out)["verification"]["points"]] == [0.1, 5e-3]


def test_asked_fmrs_and_name(edge_convert: Callable[..., Outcome], model: Path, people: Path) -> None:
    found = edge_convert(
        "evaluate", model, "--images", people, "--json", "--fmr", "5e-3,0.1", "--data-set", "drawn"
    )
    value = json.loads(found.out)["verification"]
    assert [point["target_fmr"] for point in value["points"]] == [0.1, 5e-3]
    assert value["data_set"] == "drawn"


def test_writing_the_card(edge_convert: Callable[..., Outcome], model: Path, people: Path) -> None:
    found = edge_convert("evaluate", model, "--images", people, "--write-card", "--json")
    assert found.code == 0
    written = json.loads(found.out)["written"]
    file = ModelFile.open(model)
    assert written["sha256"] == file.sha256 != written["sha256_before"]
    assert [point.fmr for point in file.card.operating_points] == [1e-2, 1e-3]
    assert {point.data_set for point in file.card.operating_points} == {"people"}
    text = edge_convert("evaluate", model, "--images", people, "--write-card").out
    assert "galleries made with the earlier file must be made again" in text


def test_the_device_opens_by_the_written_point(
    edge_convert: Callable[..., Outcome],
    model: Path,
    people: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edge_sdk.cli import main as device

    edge_convert("evaluate", model, "--images", people, "--write-card")
    flags = ["--model", model, "--gallery", tmp_path / "g.gallery", "--key", tmp_path / "k.key"]

    def say(*words: Any) -> int:
        return device([str(word) for word in (*words, *flags)])

    assert say("enrol", "s00", people / "s00" / "s00_0001.png") == 0
    assert say("verify", "s00", people / "s00" / "s00_0001.png", "--fmr", "1e-3") == 0
    assert say("verify", "s00", people / "s01" / "s01_0001.png", "--fmr", "1e-3") == 1
    capsys.readouterr()


def test_identification(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    split = edge_convert("evaluate", model, "--images", people, "--enrolled-share", 0.5, "--fpir", "0.1")
    assert "15 references of 15 subjects, 45 mated and 60 non-mated probes" in split.out
    enrol = write(tmp_path / "enrol", {f"s{k:02d}.png": png(photo(k, 1, noise=80)) for k in range(10)})
    folders = edge_convert("evaluate", model, "--enrol", enrol, "--probes", people, "--json")
    value = json.loads(folders.out)["identification"]
    assert (value["references"], value["mated_probes"], value["non_mated_probes"]) == (10, 40, 80)
    listed = tmp_path / "list.txt"
    listed.write_text("enrol\ts00/s00_0001.png\nprobe\ts00/s00_0002.png\nprobe\ts01/s01_0001.png\n")
    found = edge_convert("evaluate", model, "--images", people, "--open-set", listed)
    assert "1:N, list list.txt: 1 references of 1 subjects, 1 mated and 1 non-mated probes" in found.out


def test_errors_and_page(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    found = edge_convert(
        "evaluate", model, "--images", people, "--errors", 2, "--report", page, "--thumbnails"
    )
    assert found.code == 0
    assert "errors at FMR 0.001" in found.out
    assert "worst false non-matches:" in found.out
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_comparison(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, people: Path
) -> None:
    found = edge_convert("compare", float_model_path, model, float_model_path, "--images", people)
    assert found.code == 0
    assert "95 % interval of the difference" in found.out
    assert found.out.count("this: ") == 2
    value = json.loads(edge_convert("compare", float_model_path, model, "--images", people, "--json").out)
    assert {"cosine_mean", "cosine_min", "worst", "candidates"} <= set(value)


def test_the_comparisons_page_shows_where_damage_begins_and_where_networks_look(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = ("compare", float_model_path, model, "--images", people, "--attention", 2)
    assert edge_convert(*shown, "--report", page).code == 0
    text = page.read_text()
    assert "Quantization error by operator" in text
    assert text.count("Occlusion maps") >= 1
    assert edge_convert("compare", float_model_path, model, "--images", people, "--report", page).code == 0
    assert "Occlusion maps" not in page.read_text(), "pictures of people are shown on request only"
    found = edge_convert(*shown)
    assert found.code == 3
    assert "expected --report" in found.err


def test_comparison_of_loose_images(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path / "crops", {f"{k}.png": png(photo(k, 0)) for k in range(3)})
    found = edge_convert("compare", float_model_path, model, "--images", folder)
    assert found.code == 0
    assert "embeddings alone are compared" in found.out
    assert "FMR" not in found.out


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "expected images"),
        (contents(1, 3), "two or more subjects"),
        (contents(3, 1), "two or more images of a subject"),
        ({"a/1.png": b"no", "b/1.png": b"no"}, "2 failures to acquire"),
        ({f"{s}/{k}.png": png(photo(0, 0)) for s in "ab" for k in "12"}, "one and the same for all 4"),
    ],
)
def test_data_that_cannot_be_measured_are_one_error(
    edge_convert: Callable[..., Outcome], model: Path, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    found = edge_convert("evaluate", model, "--images", write(folder, files), "--no-cache")
    assert (found.code, found.out) == (3, "")
    errors = [line for line in found.err.splitlines() if line.startswith("edge-convert: error: ")]
    assert len(errors) == 1
    assert said in errors[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\ns00\t1\n s00\t1\ts01\t1\n", "line 2: expected a mated pair"),
        ("1\ns00\t1\t2\ns00\t1\ts00\t2\n", "line 3: expected a non-mated pair"),
        ("2\ns00\t1\t2\n", "expected 4 pairs after the first line"),
        ("1\nzz\t1\t2\nzz\t1\tyy\t1\n", "found none of its 2 comparisons"),
        ("", "an empty file"),
    ],
)
def test_bad_pairs_files_are_one_error(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path, text: str, said: str
) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text(text)
    found = edge_convert("evaluate", model, "--images", people, "--pairs", pairs)
    assert (found.code, found.out) == (3, "")
    assert said in found.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected labelled images, or images to enrol and probes, found neither"),
        (["--enrol", "x"], "go together"),
        (["--images", "x", "--fmr", "2"], "expected rates above 0 and under 1"),
        (
            ["--images", "x", "--workers", "2", "--scheduler", "tcp://x:1"],
            "a number of workers or a scheduler, found both",
        ),
        (
            ["--images", "x", "--open-set", "y", "--enrolled-share", "0.5"],
            "one selection of enrolled subjects",
        ),
        (["--enrol", "x", "--probes", "y", "--pairs", "z"], "a pairs file lists labelled images"),
    ],
)
def test_contradictory_flags_are_usage_errors(
    edge_convert: Callable[..., Outcome], model: Path, arguments: list[str], said: str
) -> None:
    found = edge_convert("evaluate", model, *arguments)
    assert found.code == 2
    assert said in found.err


def test_a_card_cannot_be_written_into_a_foreign_file(
    edge_convert: Callable[..., Outcome], model_bytes: bytes, tmp_path: Path, people: Path
) -> None:
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(split(model_bytes)[0])
    contract = ["--size", "96x96", "--color", "rgb", "--mean", "127.5", "--scale", "128"]
    assert edge_convert("evaluate", foreign, "--images", people, *contract).code == 0
    found = edge_convert("evaluate", foreign, "--images", people, *contract, "--write-card")
    assert found.code == 3
    assert "no" in found.err
    assert "card" in found.err
    without = edge_convert("evaluate", foreign, "--images", people)
    assert without.code == 3
    assert "--size" in without.err


def test_without_the_extra_it_says_which(tmp_path: Path) -> None:
    """As on a device, where the command is there and what a workstation needs is not."""
    program = (
        "import sys; sys.modules['flatbuffers'] = None; from converters.cli import main;"
        " sys.exit(main(['evaluate', 'face.tflite', '--images', 'people']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        "edge-convert: error: flatbuffers is not installed",
        "edge-convert: hint: pip install 'edge-sdk[convert]'",
    ]
