"""Sets of persons are disjoint, files are readable as a re-identification data set, and cameras of queries and gallery differ."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics.cross_camera import Cameras, cross_camera_pairs
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.errors import InputError
from tools.persons.cameras import develop
from tools.persons.cli import main
from tools.persons.dataset import NEW, TRAINED, Settings, person_sets
from tools.persons.histogram import colour_histograms

ROOT = Path(__file__).parents[4]
TINY = ("--training", "4", "--calibration", "2", "--evaluation", "26", "--pictures", "1")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    output = tmp_path_factory.mktemp("persons") / "drawn"
    assert main(["--output", str(output), *TINY]) == 0
    return output


def test_no_person_is_in_two_sets_and_new_cameras_are_not_trained():
    training, calibration, evaluation, new = person_sets(Settings())
    names = [subject.name for group in (training, calibration, evaluation) for subject in group.persons]
    assert len(set(names)) == len(names)
    assert new.persons == evaluation.persons
    assert not set(NEW) & set(TRAINED)
    assert training.cameras == evaluation.cameras == TRAINED


def test_folders_are_complete_and_are_not_drawn_twice(drawn, capsys):
    assert sorted(path.name for path in drawn.iterdir()) == ["new_cameras", "pictures", "sheet.png"]
    assert sorted(path.name for path in (drawn / "pictures").iterdir()) == [
        "calibration",
        "evaluation",
        "train",
    ]
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("*.jpg")}
    assert len(before) == 4 * 4 + 2 * 4 + 26 * 4 + 26 * 2
    assert main(["--output", str(drawn), *TINY]) == 0
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*.jpg")} == before
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"evaluation", "new_cameras"}
    # The baseline of colour histograms is better than chance.
    evaluation = figures["evaluation"]
    assert 2 / 26 < evaluation["rank_1"] < evaluation["rank_5"] < 1
    assert 0 < evaluation["tar"]["0.01"] < 0.5


def test_mated_comparisons_are_from_different_cameras(drawn):
    samples = open_samples(drawn / "pictures/evaluation")
    names = tuple(sample.name for sample in samples.samples)
    cameras = Cameras.of_names(names)
    assert set(cameras.camera_of.values()) == {camera.name for camera in TRAINED}
    pictures = np.stack([samples.image(sample) for sample in samples.samples])
    vectors = colour_histograms(pictures)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    subjects = tuple(sample.subject for sample in samples.samples)
    pairs = cross_camera_pairs(EmbeddedSamples("persons", "0" * 64, names, subjects, vectors), cameras)
    mated = [
        (cameras.camera_of[names[i]], cameras.camera_of[names[j]])
        for i, j in zip(pairs.first, pairs.second, strict=True)
        if subjects[i] == subjects[j]
    ]
    assert len(mated) == 26 * 4 * 3 // 2
    assert all(first != second for first, second in mated)


def test_the_contact_sheet_shows_each_camera_twice(drawn):
    assert develop((drawn / "sheet.png").read_bytes()).shape == (8 * 128, 12 * 64, 3)


def test_help_works_from_the_checkout_without_tensorflow():
    code = "import sys; from tools.persons.cli import main\ntry: main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "python -m tools.persons --output work/persons" in process.stdout


@pytest.mark.parametrize("name", ["training", "calibration", "evaluation", "pictures", "seed"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(InputError, match=f"{name}: expected"):
        Settings(**{name: -1})


def test_a_person_cannot_be_in_two_sets():
    with pytest.raises(InputError, match=r"training: expected 1\.\.4000, found 4001"):
        Settings(training=4001)
