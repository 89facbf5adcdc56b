"""Distillation: the objective, the batches, the teacher's file of embeddings, and a small training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import open_samples
from edge_sdk.model.card import InputContract
from edge_train.backbones import build_backbone
from edge_train.data.subjects import Subjects
from edge_train.errors import PlanError, TrainingError
from edge_train.training.loop import train
from edge_train.transfer.agreement import agreement
from edge_train.transfer.choice import choose, embed_subjects
from edge_train.transfer.distillation import CosineToTeacher, TeacherBatches, as_subjects
from edge_train.transfer.teacher import Teacher, read_teacher, teacher_embeddings
from tests.labelled_images import contents

_CONTRACT = InputContract(32, 32, "rgb", (127.5,) * 3, (128.0,) * 3)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Subjects:
    folder = tmp_path_factory.mktemp("pictures")
    for name, content in contents(24, 3).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return Subjects.of(open_samples(folder))


@pytest.fixture(scope="module")
def teacher(pictures: Subjects, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    build_backbone("quantized", input_shape=(32, 32, 3), dimension=16, width=0.25, seed=5).save(path)
    with pytest.raises(TrainingError, match=r"expected its input contract in .*teacher\.contract\.json"):
        read_teacher(path, pictures)
    (path.parent / "teacher.contract.json").write_text(json.dumps(_CONTRACT.to_json()))
    return read_teacher(path, pictures)


def test_the_objective_is_one_minus_the_mean_cosine() -> None:
    rng = np.random.default_rng(0)
    student, target = rng.normal(size=(2, 6, 4)).astype(np.float32)
    lengths = np.linalg.norm(student, axis=1) * np.linalg.norm(target, axis=1)
    expected = np.mean(1 - np.sum(student * target, axis=1) / lengths)
    assert float(CosineToTeacher()(student, target)) == pytest.approx(expected, abs=1e-6)
    assert float(CosineToTeacher()(3 * target, target)) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(float(CosineToTeacher()(0 * target, target)))


def test_each_image_has_its_own_target(pictures: Subjects) -> None:
    images = as_subjects(pictures.samples)
    numbers = np.arange(len(images.flat), dtype=np.float32)[:, None]
    batches = TeacherBatches(images, _CONTRACT, numbers, size=24, seed=1)
    rounds = [batches.batch(step) for step in range(3)]
    assert sorted(np.concatenate([targets[:, 0] for _, targets in rounds])) == numbers[:, 0].tolist()
    pixels, targets = rounds[0]
    sample = images.flat[int(targets[0, 0])]
    np.testing.assert_array_equal(pixels[0], pictures.samples.at_size(sample, _CONTRACT))
    with pytest.raises(PlanError, match="of each of 72 images, found 71"):
        TeacherBatches(images, _CONTRACT, numbers[1:], size=24, seed=1)


def test_the_embeddings_continue_after_an_interruption(
    pictures: Subjects, teacher: Teacher, tmp_path: Path
) -> None:
    images = as_subjects(pictures.samples)
    whole = teacher_embeddings(teacher, images, tmp_path / "whole")
    assert whole.shape == (72, 16)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teacher_embeddings(teacher, images, tmp_path / "again", progress=stop)
    seen: list[int] = []
    again = teacher_embeddings(
        teacher, images, tmp_path / "again", progress=lambda done, total: seen.append(done)
    )
    assert seen == [72]
    np.testing.assert_array_equal(whole, again)
    fewer = as_subjects(pictures.samples, pictures.samples.samples[:10])
    assert len(teacher_embeddings(teacher, fewer, tmp_path / "again")) == 10


def test_a_student_comes_nearer_to_its_teacher(pictures: Subjects, teacher: Teacher, tmp_path: Path) -> None:
    images = as_subjects(pictures.samples)
    expected = teacher_embeddings(teacher, images, tmp_path)
    student = build_backbone("quantized", input_shape=(32, 32, 3), dimension=16, width=0.25, seed=0)
    before = agreement(embed_subjects(student, pictures, _CONTRACT), expected, pictures)
    batches = TeacherBatches(images, _CONTRACT, expected, size=24, seed=0)
    result = train(student, lambda steps: CosineToTeacher(), batches, _CONTRACT, steps=60, learning_rate=1e-2)
    after = agreement(embed_subjects(student, pictures, _CONTRACT), expected, pictures)
    assert result.history[-1].loss < result.history[0].loss
    assert after.cosine_mean > before.cosine_mean
    assert after.crossed_eer is not None
    assert "of the student's probes against the teacher's references" in after.to_text()[1]
    unlabelled = agreement(np.asarray(expected), np.asarray(expected), images, labelled=False)
    assert unlabelled.cosine_min == pytest.approx(1, abs=1e-5)
    assert (unlabelled.student_eer, len(unlabelled.to_text())) == (None, 1)


def test_the_better_network_on_the_calibration_subjects_is_kept(pictures: Subjects) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(24, 8))[pictures.labels]

    def vectors(noise: float) -> np.ndarray:
        raw = centres + noise * rng.normal(size=centres.shape)
        return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)

    poor, good = vectors(1.5), vectors(0.3)
    better = choose((poor, good), pictures, (poor, good), pictures)
    assert better.tuned_is_kept
    assert "use the tuned network" in better.recommendation
    assert better.to_json()["kept"] == "tuned"
    # The evaluation subjects do not take part in the choice.
    assert not choose((good, poor), pictures, (poor, good), pictures).tuned_is_kept
    equal = choose((good, good), pictures, (good, good), pictures)
    assert not equal.tuned_is_kept
    assert "keep the network as it was" in equal.recommendation
