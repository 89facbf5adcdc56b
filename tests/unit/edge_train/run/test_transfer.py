"""The road from a user's network, and from a teacher without labels."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from edge_sdk.model.model_file import ModelFile
from edge_train.backbones import build_backbone
from edge_train.cli import main
from edge_train.errors import FolderError, PlanError
from edge_train.plan import Plan
from edge_train.run import TrainingRequest
from edge_train.run.pictures import list_unlabelled
from tests.conftest import in_process
from tests.labelled_images import contents

_CONTRACT = {"size": [32, 32], "color": "rgb", "mean": 127.5, "scale": 128}
_SETTINGS = ("--steps", "8", "--augmentation", "none", "--no-pictures", "--json")


def _write(folder: Path, subjects: int, images: int, *, flat: bool = False) -> Path:
    for name, content in contents(subjects, images).items():
        path = folder / (name.replace("/", "_") if flat else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a classifier of 32 x 32 px with an embedding of 16 values before its softmax."""
    folder = tmp_path_factory.mktemp("network")
    body = build_backbone("quantized", input_shape=(32, 32, 3), dimension=16, width=0.25, seed=3)
    output = keras.layers.Dense(7, activation="softmax", name="classes")(body.output)
    keras.Model(body.inputs[0], output).save(folder / "mine.keras")
    (folder / "mine.contract.json").write_text(json.dumps(_CONTRACT))
    return folder / "mine.keras"


@pytest.mark.slow
def test_a_users_network_is_measured_before_and_after_tuning(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, output = _write(tmp_path / "pictures", 60, 3), tmp_path / "mine"
    words = [pictures, "--output", output, "--start", network, *_SETTINGS]
    outcome = in_process(main, words, capsys)
    assert outcome.code == 0, outcome.err
    values = json.loads(outcome.out)
    transfer = values["transfer"]
    assert transfer["file"] == "mine.keras"
    assert transfer["text"][0] == "left out at the end: classes"
    assert transfer["kept"] in ("start", "tuned")
    assert set(transfer["evaluation_eer"]) == {"start", "tuned"}
    assert values["notes"][: len(transfer["text"])] == transfer["text"]
    other = "tuned" if transfer["kept"] == "start" else "start"
    assert (output / f"mine.{other}.keras").is_file()
    card = ModelFile.open(output / values["main"]).card
    assert (card.input.height, card.dimension) == (32, 16)
    assert in_process(main, words, capsys).code == 0
    assert "size: expected (32, 32)" in in_process(main, [*words, "--size", "48x48"], capsys).err


@pytest.mark.slow
def test_a_student_of_unlabelled_pictures_has_error_rates_only_with_labelled_ones(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = _write(tmp_path / "flat", 30, 2, flat=True)
    people = _write(tmp_path / "people", 12, 3)
    words = [pictures, "--teacher", network, "--unlabelled", "--width", "0.25", *_SETTINGS]
    # A teacher's softmax head is not cut off.
    outcome = in_process(main, [*words, "--output", tmp_path / "plain"], capsys)
    assert "the output is class probabilities" in outcome.err
    whole = build_backbone("quantized", input_shape=(32, 32, 3), dimension=16, width=0.25, seed=3)
    whole.save(tmp_path / "teacher.keras")
    (tmp_path / "teacher.contract.json").write_text(json.dumps(_CONTRACT))
    words[2] = tmp_path / "teacher.keras"
    outcome = in_process(main, [*words, "--output", tmp_path / "plain"], capsys)
    assert outcome.code == 0, outcome.err
    values = json.loads(outcome.out)
    assert -1 <= values["transfer"]["cosine_mean"] <= 1
    assert values["transfer"]["student_eer"] is None
    assert values["page"] is None
    assert [file["eer"] for file in values["files"]] == [None] * len(values["files"])
    assert ModelFile.open(tmp_path / "plain" / values["main"]).card.operating_points == ()
    outcome = in_process(main, [*words, "--output", tmp_path / "rated", "--evaluate", people], capsys)
    assert outcome.code == 0, outcome.err
    values = json.loads(outcome.out)
    assert 0 <= values["transfer"]["crossed_eer"] <= 1
    assert values["files"][0]["eer"] is not None
    assert (tmp_path / "rated" / values["page"]).is_file()


def test_a_tenth_of_unlabelled_pictures_is_kept_from_training(tmp_path: Path) -> None:
    pictures = list_unlabelled(_write(tmp_path / "flat", 25, 2, flat=True), seed=0)
    split = pictures.split
    assert (len(split.train.flat), len(split.calibration.flat), len(split.evaluation.flat)) == (30, 20, 0)
    assert not set(split.train.names) & set(split.calibration.names)
    assert pictures.digest == list_unlabelled(tmp_path / "flat", seed=0).digest
    with pytest.raises(FolderError, match="expected at least 40 images, found 20"):
        list_unlabelled(_write(tmp_path / "few", 10, 2, flat=True), seed=0)


def test_contradictory_requests_are_refused(tmp_path: Path) -> None:
    plan = Plan(steps=5)
    with pytest.raises(PlanError, match="a network to start from or a teacher, found both"):
        TrainingRequest(pictures=tmp_path, output=tmp_path / "o", plan=plan, start=tmp_path, teacher=tmp_path)
    with pytest.raises(PlanError, match="expected a teacher for unlabelled pictures"):
        TrainingRequest(pictures=tmp_path, output=tmp_path / "o", plan=plan, unlabelled=True)
