"""Comparison of artefacts on the same images: changed decisions, and differences with intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics import OperatingPointEvidence, PairedDifference
from converters.evaluate.runner.compare import compare, open_artefacts
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.evaluate import Protocol
from converters.evaluate.runner.image_sources import open_images
from converters.evaluate.runner.open_artefact import open_artefact
from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import split
from tests.labelled_images import contents, photo, png, write


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), contents(30, 4, noise=80))


@pytest.fixture(scope="module")
def comparison(float_model_path: Path, model_path: Path, people: Path) -> ComparisonResult:
    artefacts = open_artefacts([float_model_path, model_path, float_model_path])
    return compare(artefacts[0], artefacts[1:], open_samples(people), Protocol(replicates=200))


def test_a_file_does_not_differ_from_itself(comparison: ComparisonResult) -> None:
    same = comparison.candidates[1]
    assert same.cosine_min == pytest.approx(1)
    assert same.flips == ()
    assert all(row.difference == 0 for row in same.differences if isinstance(row, PairedDifference))
    assert same.verification == comparison.verification


def test_each_difference_has_its_own_interval(comparison: ComparisonResult) -> None:
    row = comparison.candidates[0].differences[1]
    assert isinstance(row, PairedDifference)
    assert row.target_fmr == 1e-3
    assert row.interval.low <= row.difference <= row.interval.high
    text = comparison.to_text()
    assert "95 % interval of the difference" in text
    assert "FMR at the float threshold" in text


def test_flips_are_named_and_right(
    comparison: ComparisonResult, float_model_path: Path, model_path: Path
) -> None:
    candidate = comparison.candidates[0]
    assert candidate.flips_fmr == 1e-3
    thresholds = []
    for verification in (comparison.verification, candidate.verification):
        assert verification is not None
        (point,) = (
            p for p in verification.points if isinstance(p, OperatingPointEvidence) and p.target_fmr == 1e-3
        )
        thresholds.append(point.threshold)
    embedders = [open_artefact(path).embedder() for path in (float_model_path, model_path)]
    assert candidate.flips
    for flip in candidate.flips:
        images = [photo(int(name[1:3]), int(name[8:12]), noise=80) for name in (flip.first, flip.second)]
        was, now = (float(np.dot(*(e.embed(image) for image in images))) for e in embedders)
        assert (was, now) == pytest.approx((flip.baseline_score, flip.candidate_score), abs=1e-5)
        before, after = flip.baseline_score >= thresholds[0], flip.candidate_score >= thresholds[1]
        assert before != after
        assert flip.mated == (flip.first[:3] == flip.second[:3])
        assert flip.lost == (before == flip.mated)


def test_images_without_subjects_give_cosines_only(
    float_model_path: Path, model_path: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path, {f"{k}.png": png(photo(k, 0)) for k in range(4)})
    artefacts = open_artefacts([float_model_path, model_path])
    comparison = compare(artefacts[0], artefacts[1:], open_images(folder))
    value = comparison.to_json()
    assert value["verification"] is None
    assert value["candidates"][0]["fidelity"] is None
    assert 0.5 < value["cosine_min"] <= value["cosine_mean"] <= 1
    assert len(value["worst"]) == 4
    assert value["worst"][0]["cosine"] == value["cosine_min"]
    assert "embeddings alone are compared" in comparison.to_text()


def test_flips_that_are_not_requested_are_not_reported(
    float_model_path: Path, model_path: Path, people: Path
) -> None:
    artefacts = open_artefacts([float_model_path, model_path])
    comparison = compare(artefacts[0], artefacts[1:], open_samples(people), Protocol(replicates=0), flips=0)
    assert comparison.candidates[0].verification is not None
    assert "each at its own threshold" not in comparison.to_text()


def test_a_file_without_a_card_takes_the_contract_of_the_other(
    model_path: Path, model_bytes: bytes, tmp_path: Path, people: Path
) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(split(model_bytes)[0])
    artefacts = open_artefacts([bare, model_path])
    comparison = compare(artefacts[0], artefacts[1:], open_samples(people), Protocol(replicates=0))
    assert comparison.candidates[0].cosine_min == pytest.approx(1)
    assert comparison.candidates[0].flips == ()


def test_files_that_are_not_of_one_model_are_refused(
    model_path: Path,
    tmp_path: Path,
    people: Path,
    make_model: Callable[..., bytes],
    make_contract: Callable[..., InputContract],
) -> None:
    other = tmp_path / "bgr.tflite"
    other.write_bytes(make_model(input=make_contract(color="bgr")))
    opened = open_artefacts([model_path, other])
    with pytest.raises(ModelContractError, match=r"one input contract, found 96x96 rgb.* and 96x96 bgr"):
        compare(opened[0], opened[1:], open_samples(people))
    with pytest.raises(InputError, match="one or more files to compare"):
        compare(opened[0], [], open_samples(people))
    with pytest.raises(InputError, match="flips of 0 or more"):
        compare(opened[0], opened[:1], open_samples(people), flips=-1)
    with pytest.raises(InputError, match="no error analysis"):
        compare(opened[0], opened[:1], open_samples(people), Protocol(errors=2))


def test_images_that_an_artefact_cannot_embed_are_left_out_and_noted(
    model_path: Path, float_model_path: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path, {**contents(4, 2), "s00/broken.png": b"no image"})
    artefacts = open_artefacts([float_model_path, model_path])
    comparison = compare(artefacts[0], artefacts[1:], open_samples(folder), Protocol(replicates=0))
    assert comparison.images == 8
    assert comparison.notes == (
        "1 images could not be embedded by every file, the first s00/broken.png: cannot be decoded",
    )
