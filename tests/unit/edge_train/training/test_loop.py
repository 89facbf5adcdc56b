"""A training can be killed, interrupted and continued, and says so if it cannot go on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.data.samples import open_samples
from edge_sdk.types import UInt8Array
from edge_train.data.batches import SubjectBatches
from edge_train.data.subjects import Subjects
from edge_train.errors import CollapseError, PlanError, TrainingError
from edge_train.losses import build_loss
from edge_train.training.curves import CalibrationCurve
from edge_train.training.loop import TrainingResult, train
from edge_train.training.timing import steps_within
from edge_train.training.trainer import Trainer
from tests.drawn_subjects import CONTRACT, draw_subjects, small_backbone
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[4]
SUBJECTS = 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_subjects(tmp_path_factory.mktemp("drawn") / "pictures", subjects=SUBJECTS, images=4)


class Batches:
    """Batches of drawn subjects that call a function before each batch is read."""

    def __init__(self, pictures: Path, before: Callable[[int], None] = lambda step: None) -> None:
        self.subjects = Subjects.of(open_samples(pictures))
        self._batches = SubjectBatches(self.subjects, CONTRACT, per_batch=4, images=2, seed=1, cache_bytes=0)
        self._before = before

    def batch(self, step: int) -> tuple[UInt8Array, Any]:
        self._before(step)
        return self._batches.batch(step)


class Noise:
    """Batches of random pixels, which have nothing to do with their labels."""

    def batch(self, step: int) -> tuple[UInt8Array, Any]:
        pixels = np.random.default_rng(step).integers(0, 256, (8, *CONTRACT.shape)).astype(np.uint8)
        return pixels, np.repeat(np.arange(4, dtype=np.int32), 2)


def digest(model: Any) -> bytes:
    return b"".join(np.asarray(variable).tobytes() for variable in model.variables)


def trained(
    pictures: Path, *, backbone: Any = None, loss: str = "arcface", batches: Any = None, **settings: Any
) -> tuple[TrainingResult, Any]:
    backbone = backbone or small_backbone()
    if "minutes" not in settings:
        settings.setdefault("steps", 8)
    result = train(
        backbone,
        lambda steps: build_loss(loss, classes=SUBJECTS, dimension=16, steps=steps),
        batches or Batches(pictures),
        CONTRACT,
        **settings,
    )
    return result, backbone


def test_a_training_that_was_killed_ends_with_the_weights_of_an_uninterrupted_training(
    pictures: Path, tmp_path: Path
) -> None:
    module = "tests.unit.edge_train.training.killed_training"
    done = subprocess.run(
        [sys.executable, "-m", module, str(pictures), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    kills = json.loads(done.stdout)["codes"]
    killed, whole, memory, again = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("killed", "whole", "memory", "again")
    )
    assert kills == [-signal.SIGKILL] * 9 + [0] * 4
    assert 0 < killed["resumed_from"] < 12 == again["resumed_from"]
    assert killed["digest"] == whole["digest"] == memory["digest"] == again["digest"]
    assert killed["history"] == whole["history"] == memory["history"] == again["history"]
    assert [row[0] for row in whole["history"]] == list(range(1, 13))


def test_a_folder_of_another_training_is_refused_and_unchanged(pictures: Path, tmp_path: Path) -> None:
    trained(pictures, folder=tmp_path, digest="a", steps=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="found a training of another plan") as caught:
        trained(pictures, folder=tmp_path, digest="b", steps=2)
    assert "another folder" in str(caught.value.hint)
    with pytest.raises(TrainingError, match="expected a training of 3 steps, found a training of 2 steps"):
        trained(pictures, folder=tmp_path, digest="a", steps=3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    # The number of steps is lost, but the checkpoint says to which plan it belongs.
    (tmp_path / "length.json").unlink()
    with pytest.raises(TrainingError, match="found the checkpoint of another plan"):
        trained(pictures, folder=tmp_path, digest="b", steps=2)


@pytest.mark.parametrize("name", ["checkpoint.npz", "length.json"])
def test_a_damaged_file_of_the_work_folder_is_named(pictures: Path, tmp_path: Path, name: str) -> None:
    trained(pictures, folder=tmp_path, steps=1)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(TrainingError, match=f"{name}: expected .* found a file that cannot be read"):
        trained(pictures, folder=tmp_path, steps=1)


def test_a_history_without_its_rows_is_refused(pictures: Path, tmp_path: Path) -> None:
    trained(pictures, folder=tmp_path, steps=2)
    lines = (tmp_path / "history.csv").read_text().splitlines(keepends=True)
    (tmp_path / "history.csv").write_text("".join(lines[:-1]))
    with pytest.raises(TrainingError, match="expected the rows of steps 1 to 2, found 1 of them"):
        trained(pictures, folder=tmp_path, steps=2)


def test_ctrl_c_leaves_a_checkpoint_from_which_the_training_continues(pictures: Path, tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted after step \d of 8; the same command continues"
    ):
        trained(pictures, folder=tmp_path, batches=Batches(pictures, interrupt))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    continued, backbone = trained(pictures, folder=tmp_path)
    assert 0 < continued.resumed_from < 8
    assert digest(backbone) == digest(trained(pictures)[1])


def test_an_unreadable_image_is_named_and_the_training_continues_once_it_is_restored(
    pictures: Path, tmp_path: Path
) -> None:
    image = pictures / "subject002" / "1.png"
    content = image.read_bytes()

    def remove(step: int) -> None:
        if step == 3:
            image.unlink()

    try:
        with pytest.raises(
            TrainingError, match=r"subject002/1\.png: expected an image that can be read"
        ) as caught:
            trained(pictures, folder=tmp_path, batches=Batches(pictures, remove), steps=40)
    finally:
        image.write_bytes(content)
    assert "run the same command again" in str(caught.value.hint)
    continued, backbone = trained(pictures, folder=tmp_path, steps=40)
    assert continued.resumed_from >= 1
    assert digest(backbone) == digest(trained(pictures, steps=40)[1])


def test_the_log_contains_every_step_and_the_curve(pictures: Path, tmp_path: Path) -> None:
    batches = Batches(pictures)
    curve = CalibrationCurve(batches.subjects, CONTRACT)
    result, _ = trained(
        pictures, folder=tmp_path / "work", batches=batches, curve=curve, steps=30, learning_rate=1e-2
    )
    with (tmp_path / "work" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 31))
    assert [float(row["loss"]) for row in rows] == [row.loss for row in result.history]
    assert [row.step for row in result.history if row.curve] == [25, 30]
    assert rows[-1]["curve"] == f"eer={result.history[-1].curve['eer']!r}" or "tar=" in rows[-1]["curve"]
    assert result.history[-1].loss < result.history[0].loss
    assert result.history[-1].curve["eer"] < 0.2
    # The rates are those of the evaluation's own metrics, and 24 images do not support a TAR at FMR 1e-2.
    assert set(result.history[-1].curve) <= {"eer", "tar"}


def test_event_files_contain_each_step_once_after_a_continued_training(
    pictures: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    def interrupt(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(pictures, folder=tmp_path, batches=Batches(pictures, interrupt), tensorboard=True)
    result, _ = trained(pictures, folder=tmp_path, tensorboard=True, curve=lambda model: {"eer": 0.25})
    (path,) = (tmp_path / "tensorboard").iterdir()
    scalars: dict[str, list[tuple[int, float]]] = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            scalars.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    assert set(scalars) == {
        "loss",
        "learning_rate",
        "cosine/mated",
        "cosine/non-mated",
        "gradient",
        "curve/eer",
    }
    assert scalars["loss"] == [(row.step, row.loss) for row in result.history]
    assert scalars["curve/eer"] == [(8, 0.25)]


def test_settings_that_contradict_each_other_are_refused(pictures: Path) -> None:
    with pytest.raises(PlanError, match="expected either steps or minutes, found both"):
        trained(pictures, steps=1, minutes=1.0)
    with pytest.raises(PlanError, match="minutes: expected a number above 0"):
        trained(pictures, minutes=-1.0)
    with pytest.raises(PlanError, match="tensorboard: expected a work folder"):
        trained(pictures, steps=1, tensorboard=True)
    with pytest.raises(PlanError, match="learning_rate: expected a number above 0"):
        trained(pictures, steps=1, learning_rate=0.0)


def test_minutes_become_a_number_of_steps_that_a_continued_training_keeps(
    pictures: Path, tmp_path: Path
) -> None:
    reads = 0

    def interrupt(step: int) -> None:
        nonlocal reads
        reads += 1
        if reads == 60:  # after the throw-away steps, which are 41 at most
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as first:
        trained(pictures, folder=tmp_path, batches=Batches(pictures, interrupt), minutes=60.0)
    length = json.loads((tmp_path / "length.json").read_text())
    assert f"of {length['steps']};" in str(first.value)
    assert "ms per step" in length["timed"]
    reads = 50
    with pytest.raises(KeyboardInterrupt) as second:
        trained(pictures, folder=tmp_path, batches=Batches(pictures, interrupt), minutes=60.0)
    assert f"of {length['steps']};" in str(second.value)


def test_throw_away_steps_leave_no_trace(pictures: Path) -> None:
    from edge_train.training.schedule import Schedule

    backbone, batches = small_backbone(), Batches(pictures)
    before = digest(backbone)
    loss = build_loss("arcface", classes=SUBJECTS, dimension=16, steps=10)
    trainer = Trainer(backbone, loss, CONTRACT, Schedule(steps=10))

    def within(seconds: float) -> tuple[int, int, str]:
        return steps_within(
            seconds,
            trainer,
            batches,
            curve=lambda model: {},
            curve_values=20,
            curve_steps=25,
            progress=lambda done, total: None,
        )

    steps, every, timed = within(1e6)
    assert digest(backbone) == before
    assert steps > 1000
    assert steps / 20 <= every < steps
    assert "to compile" in timed
    with pytest.raises(PlanError, match=r"minutes: expected time for at least 10 steps, found .* minutes \("):
        within(1e-3)
    assert digest(backbone) == before


def test_a_real_collapse_is_an_error_that_names_cures(pictures: Path) -> None:
    with pytest.raises(CollapseError, match=r"found a mean cosine of (0\.99|1\.0).* for \d+ steps") as caught:
        trained(pictures, batches=Noise(), loss="batch_hard", learning_rate=0.3, steps=300)
    assert "lower learning rate" in str(caught.value.hint)


def test_steps_before_an_interruption_count_for_the_collapse(pictures: Path, tmp_path: Path) -> None:
    class Unreadable(Noise):
        def __init__(self, step: int) -> None:
            self.step = step

        def batch(self, step: int) -> tuple[UInt8Array, Any]:
            if step == self.step:
                raise TrainingError("a picture that cannot be read")
            return super().batch(step)

    for stop, error in ((145, TrainingError), (155, CollapseError)):
        with pytest.raises(error):
            trained(pictures, batches=Unreadable(stop), folder=tmp_path, steps=300, learning_rate=3e-3)


def test_a_diverging_loss_is_an_error(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(CollapseError, match=r"step \d+: expected a finite (loss|gradient), found (nan|inf)"):
        trained(pictures, folder=tmp_path, loss="softmax", learning_rate=1e30, steps=50)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_pictures_that_are_unrelated_to_their_subjects_are_an_error(pictures: Path) -> None:
    with pytest.raises(CollapseError, match="same subject to be more alike than others") as caught:
        trained(pictures, batches=Noise(), steps=300, learning_rate=3e-3)
    assert "each folder contains pictures of a single subject" in str(caught.value.hint)
