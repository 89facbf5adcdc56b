"""The whole road on generated pictures: training, conversion, thresholds, page; interruption and refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sdk.model.model_file import ModelFile
from edge_train.cli import main
from edge_train.data.layout import PARTS
from edge_train.run.pictures import check_pictures
from edge_train.run.road import split_csv
from tests.conftest import in_process
from tests.labelled_images import contents
from tests.patience import PATIENCE_S
from tests.unit.edge_train.data.pictures import encoded, pixels, write

# About a fifth of the subjects are evaluated, enough for a claim at FMR 1e-2.
_TEXT = "--size 32x32 --width 0.5 --dimension 32 --steps 12 --augmentation none --loss softmax --seed 3"
SETTINGS = tuple(_TEXT.split())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of generated pictures; tests must not write it."""
    folder = tmp_path_factory.mktemp("pictures") / "patterns"
    for name, content in contents(200, 3).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def output(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on the pictures with the command; tests must not write the folder."""
    output = tmp_path_factory.mktemp("trained") / "mine"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge_train.cli",
            pictures,
            "--output",
            output,
            "--json",
            "--tensorboard",
            *SETTINGS,
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((output / "mine.training.json").read_text())
    return output


def test_the_output_is_complete_and_nothing_else_stays(output: Path) -> None:
    assert [path.name for path in output.parent.iterdir()] == ["mine"]
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "mine.keras",
        "mine.contract.json",
        "mine.cpu_int8.tflite",
        "mine.float32.tflite",
        "mine.history.csv",
        "mine.plan.toml",
        "mine.split.csv",
        "mine.training.html",
        "mine.training.json",
        "tensorboard",
    }
    assert [path for path in (output / "tensorboard").iterdir() if path.is_file()]
    assert not [name for name in names if name.endswith((".partial", ".zip"))]


def test_the_int8_file_has_thresholds_that_the_evaluation_subjects_support(output: Path) -> None:
    card = ModelFile.open(output / "mine.cpu_int8.tflite").card
    assert [point.fmr for point in card.operating_points] == [0.01]
    evaluated = (output / "mine.split.csv").read_text().count(",evaluation\n")
    assert card.operating_points[0].subjects == evaluated >= 25
    assert card.probability["slope"] > 0
    values = json.loads((output / "mine.training.json").read_text())
    stated = next(file for file in values["files"] if file["file"] == values["main"])
    assert stated["thresholds"] == [{"fmr": 0.01, "threshold": card.operating_points[0].threshold}]


def test_each_subject_belongs_to_one_part(output: Path) -> None:
    rows = [line.split(",") for line in (output / "mine.split.csv").read_text().splitlines()[1:]]
    assert len(rows) == len({subject for subject, _ in rows}) == 200
    assert {part for _, part in rows} == {"train", "calibration", "evaluation"}


def test_the_page_is_self_contained(output: Path) -> None:
    page = (output / "mine.training.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    for anchor in ("training", "thresholds-table", "identification", "probability", "errors", "map", "run"):
        assert page.count(f'id="{anchor}"') == 1
    data = re.search(r'id="report">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["name"] == "mine"


def test_the_same_command_after_the_end_gives_the_result_again(
    output: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    outcome = in_process(main, [pictures, "--output", output, "--tensorboard", *SETTINGS], capsys)
    assert outcome.code == 0
    assert "mine.cpu_int8.tflite" in outcome.out
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == before


def test_the_output_of_another_plan_is_refused(
    output: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = in_process(main, [pictures, "--output", output, *SETTINGS, "--seed", "4"], capsys)
    assert outcome.code == 3
    assert "same plan" in outcome.err
    assert "(seed = 3; now seed = 4)" in outcome.err
    assert "hint: choose another --output" in outcome.err


def test_an_output_folder_among_the_pictures_is_refused(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = in_process(main, [pictures, "--output", pictures / "mine", *SETTINGS], capsys)
    assert outcome.code == 3
    assert "expected an output folder outside" in outcome.err
    assert not (pictures / "mine").exists()


def test_a_folder_with_other_files_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    outcome = in_process(main, [pictures, "--output", tmp_path, *SETTINGS], capsys)
    assert outcome.code == 3
    assert "new or empty folder" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["training/checkpoint.npz", "trained", "converted-????????"])
def test_a_killed_run_continues_with_the_same_result(
    stage: str, output: Path, pictures: Path, tmp_path: Path
) -> None:
    again = tmp_path / "mine"
    command = [sys.executable, "-m", "edge_train.cli", pictures, "--output", again, *SETTINGS]
    first = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    work = tmp_path / "mine.work"
    deadline = time.monotonic() + PATIENCE_S
    while not [*work.glob(stage)] and not again.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert not work.exists()
    for name in ("mine.float32.tflite", "mine.cpu_int8.tflite"):
        assert (
            ModelFile.open(again / name).card.network_sha256
            == ModelFile.open(output / name).card.network_sha256
        )


@pytest.mark.parametrize("content", ["{", "{}", '{"schema": "edge-sdk/training-run/1"}'])
def test_a_damaged_result_is_refused(
    content: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.training.json").write_text(content)
    outcome = in_process(main, [pictures, "--output", tmp_path, "--name", "mine", *SETTINGS], capsys)
    assert outcome.code == 3
    assert "hint: choose another --output" in outcome.err


def test_the_sheet_needs_no_sound_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{part}/{part}{n}/{i}.png": b"damaged" for part in PARTS for n in range(3) for i in range(2)}
    files |= dict(contents(4, 2))
    files = {name if name.count("/") == 2 else f"train/{name}": data for name, data in files.items()}
    write(tmp_path / "pictures", files)
    outcome = in_process(main, [tmp_path / "pictures", "--augment-sheet", tmp_path / "a.png"], capsys)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_split_of_any_names_can_be_read_again(tmp_path: Path) -> None:
    names = ("car\rriage", "new\nline", 'quote"', "a,b", "=1+1", " space ", "\u65e5\u672c")
    files = contents(24, 2)
    for number, name in enumerate(names):
        files |= {f"{name}/{image}.png": encoded(pixels(90 + number, image)) for image in range(2)}
    checked = check_pictures(write(tmp_path / "pictures", files), seed=0)
    (tmp_path / "split.csv").write_text(split_csv(checked), newline="", encoding="utf-8")
    again = check_pictures(tmp_path / "pictures", seed=1, split=tmp_path / "split.csv")
    assert again.split.to_json() == checked.split.to_json()
    assert again.digest == checked.digest
