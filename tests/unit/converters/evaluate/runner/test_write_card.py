"""Written cards: measured points and probabilities are replaced, and everything else in the file stays."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.cli import main
from converters.data.samples import open_samples
from converters.evaluate.runner.evaluate import Evaluation, Protocol, evaluate
from converters.evaluate.runner.open_artefact import open_artefact
from converters.evaluate.runner.write_card import CARD_FMRS, check_writable, write_card
from converters.graph.attach_card import card_behind
from converters.targets.finishing import finish_file
from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import ModelFile, split
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.vision.embedder import Embedder
from tests.labelled_images import contents, photo, write


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), contents(90, 3, noise=80))


@pytest.fixture
def file(tmp_path: Path, model_bytes: bytes) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(model_bytes)
    return path


def evaluated(path: Path, people: Path, **changes: object) -> Evaluation:
    protocol = Protocol(**{"fmrs": CARD_FMRS, "replicates": 100, **changes})  # type: ignore[arg-type]
    return evaluate(open_artefact(path), open_samples(people, name="drawn people"), protocol)


def test_points_are_written_with_their_evidence(file: Path, people: Path) -> None:
    before = ModelFile.open(file)
    file.chmod(0o640)
    evaluation = evaluated(file, people)
    written = write_card(file, evaluation)
    after = ModelFile.open(file)
    assert [point.fmr for point in after.card.operating_points] == [1e-2, 1e-3]
    point = after.card.operating_points[1]
    row = evaluation.verification.points[1]
    assert (point.threshold, point.fnmr) == (row.threshold, row.fnmr)
    assert point.fmr_measured == row.fmr <= point.fmr
    assert point.fnmr_interval == (row.fnmr_interval.low, row.fnmr_interval.high)
    assert point.fmr_interval == (row.fmr_interval.low, row.fmr_interval.high)
    assert (point.data_set, point.data_set_sha256) == ("drawn people", evaluation.verification.data_digest)
    assert (point.mated_trials, point.non_mated_trials) == (270, 36_045)
    assert (point.subjects, point.fmr_confidence) == (90, 0.95)
    assert 3000 <= point.effective_comparisons <= point.non_mated_trials
    assert point.measured_threshold == row.measured.threshold <= point.threshold
    assert [(reason.needed, reason.found) for reason in written.absent] == [(246, 90), (776, 90)]
    assert "no claim: FMR 0.0001 needs at least 246 subjects, found 90" in written.to_text()
    scores = after.card.non_mated_scores
    assert (scores.mean, scores.sd) == (
        evaluation.verification.non_mated_mean,
        evaluation.verification.non_mated_sd,
    )
    assert (scores.subjects, scores.comparisons) == (90, point.non_mated_trials)
    assert scores.fmr == pytest.approx(1e-2, rel=0.01)
    assert scores.threshold == evaluation.verification.points[0].measured.threshold
    assert (written.sha256_before, written.sha256) == (before.sha256, after.sha256)
    assert written.sha256 == hashlib.sha256(file.read_bytes()).hexdigest() != before.sha256
    assert "keep their subjects" in written.to_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_everything_else_stays(file: Path, people: Path) -> None:
    before = ModelFile.open(file)
    image = photo(1, 1)
    embedding = Embedder.open(file).embed(image)
    write_card(file, evaluated(file, people))
    after = ModelFile.open(file)
    assert replace(after.card, operating_points=(), probability={}, non_mated_scores=None) == before.card
    assert split(after.data)[0] == split(before.data)[0]
    assert np.array_equal(Embedder.open(file).embed(image), embedding)


def test_probability_is_kept_with_its_table_and_data_set(file: Path, people: Path) -> None:
    evaluation = evaluated(file, people)
    write_card(file, evaluation)
    kept = ModelFile.open(file).card.probability
    assert evaluation.probability is not None
    assert (kept["slope"], kept["intercept"]) == (
        evaluation.probability.platt.slope,
        evaluation.probability.platt.intercept,
    )
    assert kept["data_set"] == "drawn people"
    assert len(kept["reliability"]) == 10
    assert sum(row["count"] for row in kept["reliability"]) == 270 + 36_045


def test_a_card_with_the_earlier_probability_is_read_and_replaced(file: Path, people: Path) -> None:
    before = ModelFile.open(file)
    earlier = {
        "slope": 20.5,
        "intercept": -9.25,
        "mated_trials": 180.0,
        "non_mated_trials": 6960.0,
        "brier": 0.01,
    }
    file.write_bytes(card_behind(split(before.data)[0], replace(before.card, probability=earlier)))
    assert ModelFile.open(file).card.probability == earlier
    write_card(file, evaluated(file, people, prior=0.1))
    kept = ModelFile.open(file).card.probability
    assert (kept["prior"], kept["validation"]) == (0.1, "cross-validated by subject, 10 folds")
    assert kept["subjects"] == 90


def test_writing_twice_replaces_and_gives_the_same_bytes(file: Path, people: Path) -> None:
    write_card(file, evaluated(file, people))
    first = file.read_bytes()
    write_card(file, evaluated(file, people))
    assert file.read_bytes() == first


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    archive = io.BytesIO(data)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.writestr(name, content)
    return archive.getvalue()


def test_other_associated_files_stay(file: Path, people: Path) -> None:
    file.write_bytes(with_member(file.read_bytes(), "NOTICE.txt", b"licence"))
    write_card(file, evaluated(file, people))
    assert split(file.read_bytes())[1]["NOTICE.txt"] == b"licence"
    assert len(ModelFile.open(file).card.operating_points) == 2


def test_a_card_of_a_newer_version_is_not_overwritten(file: Path, people: Path) -> None:
    network, files = split(file.read_bytes())
    value = json.loads(files[CARD_NAME]) | {"from_the_future": 1}
    archive = io.BytesIO(network)
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.writestr(CARD_NAME, json.dumps(value))
    file.write_bytes(archive.getvalue())
    for attempt in (lambda: check_writable(file), lambda: write_card(file, evaluated(file, people))):
        with pytest.raises(ModelCardError, match="from_the_future"):
            attempt()
    assert file.read_bytes() == archive.getvalue()


def test_a_file_that_changed_since_is_not_written(
    file: Path, people: Path, make_model: Callable[..., bytes]
) -> None:
    evaluation = evaluated(file, people)
    other = make_model(seed=5)
    file.write_bytes(other)
    with pytest.raises(ModelError, match="the file that was evaluated"):
        write_card(file, evaluation)
    assert file.read_bytes() == other


def test_too_little_data_writes_nothing(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    few = evaluated(file, write(tmp_path / "few", contents(3, 2)))
    with pytest.raises(ModelCardError, match=r"FMR 0\.01 needs at least 25 subjects, found 3"):
        write_card(file, few)
    assert file.read_bytes() == before


def test_a_point_is_identified_by_its_target_fmr(file: Path, people: Path) -> None:
    """Claim a point for the target FMR, which `edge-sdk verify --fmr 1e-3` looks up, not for the measured FMR."""
    rows = evaluated(file, people).verification.points
    point = rows[1].operating_point()
    assert point.fmr == 1e-3
    assert OperatingPoint.from_json(point.to_json()) == point


def test_stale_by_products_are_named_with_their_command(
    tmp_path: Path, model_bytes: bytes, people: Path
) -> None:
    path = tmp_path / "lock's.tflite"
    path.write_bytes(model_bytes)
    finish_file(path, target="microcontroller")
    written = write_card(path, evaluated(path, people))
    assert written.outdated == {"microcontroller": ("lock_s_constants.h",)}
    line = written.to_text().splitlines()[-1].split("generate them again: ")[1]
    assert main(shlex.split(line)[1:]) == 0
    assert written.sha256 in (tmp_path / "lock_s_constants.h").read_text()
    again = write_card(path, evaluated(path, people))
    assert (again.sha256, again.outdated) == (written.sha256, {})
    assert "finish" not in again.to_text()


def test_a_compiled_network_is_not_rewritten(tmp_path: Path, people: Path, model_bytes: bytes) -> None:
    """Keep every byte of a compiled network, because its compiler depends on the order of the tensors."""
    network = split(model_bytes)[0]
    padded = network + bytes(16)  # writing the network again would remove the padding
    path = tmp_path / "door_edgetpu.tflite"
    path.write_bytes(card_behind(padded, ModelCard.from_bytes(split(model_bytes)[1][CARD_NAME])))
    write_card(path, evaluated(path, people))
    assert split(path.read_bytes())[0] == padded
