"""Reproduction of the figures in docs/explanation/evidence.md, from the same files and images.

The faces are LFW's DevTest crops, on which nothing was calibrated or tuned. Kernels round differently on different
processors, so a figure may change in its last digit; the tolerances cover only this change.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.data.samples import SampleSet, open_samples
from converters.evaluate.metrics import Interval, OperatingPointEvidence, PairedDifference, Unsupported
from converters.evaluate.runner.compare import compare, open_artefacts
from converters.evaluate.runner.comparison_lists import read_pairs
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation, Protocol, evaluate
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.model.card import InputContract

pytestmark = pytest.mark.real

AS_PIXELS = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def faces(shared: Path) -> SampleSet:
    return open_samples(shared / "faces" / "lfw_devtest_aligned112.tar")


@pytest.fixture(scope="module")
def zoo(shared: Path) -> Callable[[str], OpenedArtefact]:
    return lambda name: open_artefact(shared / "zoo" / name, contract=AS_PIXELS)


@pytest.fixture(scope="module")
def listed(
    shared: Path, faces: SampleSet, zoo: Callable[[str], OpenedArtefact], cache: Path
) -> ComparisonResult:
    pairs = read_pairs(shared / "faces" / "pairsDevTest.txt")
    files = [zoo(f"mobilefacenet_y1_{name}.tflite") for name in ("float32", "published_uint8")]
    return compare(files[0], files[1:], faces, Protocol(pairs=pairs), cache=cache)


@pytest.fixture(scope="module")
def all_pairs(
    listed: ComparisonResult, faces: SampleSet, zoo: Callable[[str], OpenedArtefact], cache: Path
) -> ComparisonResult:
    files = [zoo(f"mobilefacenet_y1_{name}.tflite") for name in ("float32", "published_uint8")]
    return compare(files[0], files[1:], faces, cache=cache)


def accuracy(comparison: ComparisonResult, which: int) -> float:
    verification = (comparison.verification, comparison.candidates[0].verification)[which]
    assert verification is not None
    assert isinstance(verification.accuracy, tuple)
    return verification.accuracy[0]


def difference(comparison: ComparisonResult, fmr: float) -> PairedDifference:
    (row,) = (
        row
        for row in comparison.candidates[0].differences
        if isinstance(row, PairedDifference) and row.target_fmr == fmr
    )
    return row


def test_accuracy_on_the_official_pairs(listed: ComparisonResult) -> None:
    assert accuracy(listed, 0) == pytest.approx(0.990, abs=0.0015)
    assert accuracy(listed, 1) == pytest.approx(0.981, abs=0.003)
    assert listed.verification is not None
    assert (listed.verification.mated_trials, listed.verification.non_mated_trials) == (500, 500)
    assert listed.verification.comparisons_lost.failures == 0


def test_a_thousand_pairs_cannot_separate_the_two_files(listed: ComparisonResult) -> None:
    row = difference(listed, 1e-2)
    assert row.difference == pytest.approx(-0.016, abs=0.006)
    assert isinstance(row.interval, Interval)
    assert row.interval.low < -0.02
    assert row.interval.high > -0.006
    absent = listed.candidates[0].differences[-1]
    assert isinstance(absent, Unsupported)
    assert (absent.needed, absent.found) == (3000, 500)


@pytest.mark.slow
def test_all_pairs_show_the_loss_of_the_published_file(all_pairs: ComparisonResult) -> None:
    assert all_pairs.verification is not None
    assert all_pairs.verification.non_mated_trials == 1_197_943
    for fmr, before, after in ((1e-3, 0.9776, 0.9135), (1e-4, 0.9593, 0.8281)):
        row = difference(all_pairs, fmr)
        assert row.baseline_tar == pytest.approx(before, abs=0.004)
        assert row.candidate_tar == pytest.approx(after, abs=0.01)
        assert isinstance(row.interval, Interval)
        assert row.interval.high < -0.03
    fidelity = all_pairs.candidates[0].fidelity
    assert fidelity is not None
    assert fidelity.cosine_mean == pytest.approx(0.8376, abs=0.002)
    assert fidelity.tail_shift == pytest.approx(0.113, abs=0.01)
    drift = fidelity.drifts[1]
    assert not isinstance(drift, Unsupported)
    assert drift.fmr_at_baseline_threshold > 20 * drift.target_fmr
    assert all_pairs.candidates[0].flips_fmr == 1e-3


@pytest.mark.slow
def test_figures_of_a_float_face_network_on_all_pairs(
    faces: SampleSet, zoo: Callable[[str], OpenedArtefact], cache: Path
) -> None:
    evaluation: Evaluation = evaluate(
        zoo("mobilefacenet_y1_float32.tflite"), faces, Protocol(errors=5), cache=cache
    )
    stated = {
        p.target_fmr: p for p in evaluation.verification.points if isinstance(p, OperatingPointEvidence)
    }
    assert sorted(stated) == [1e-5, 1e-4, 1e-3, 1e-2]
    assert stated[1e-5].tar == pytest.approx(0.908, abs=0.01)
    absent = evaluation.verification.points[-1]
    assert isinstance(absent, Unsupported)
    assert absent.needed == 2450
    assert evaluation.errors
    assert evaluation.errors.ceilings[0].cause == "blurred"


@pytest.mark.slow
def test_the_loss_of_sface_is_within_noise(
    shared: Path, faces: SampleSet, cache: Path, tmp_path: Path
) -> None:
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    convert(
        ConversionOptions(
            shared / "zoo" / "sface_2021dec_float.onnx", AS_PIXELS, calibration, tmp_path, name="sface"
        )
    )
    files = [open_artefact(tmp_path / f"sface.{name}.tflite") for name in ("float32", "cpu_int8")]
    comparison = compare(files[0], files[1:], faces, cache=cache)
    for fmr in (1e-2, 1e-3, 1e-4):
        row = difference(comparison, fmr)
        assert isinstance(row.interval, Interval)
        assert row.interval.high >= -0.001
        assert row.difference > -0.015
    assert difference(comparison, 1e-3).baseline_tar == pytest.approx(0.9776, abs=0.004)
    assert comparison.candidates[0].cosine_mean > 0.98


def test_reference_kernels_give_other_embeddings_and_thresholds(shared: Path, tmp_path: Path) -> None:
    """Compare reference kernels (used on microcontrollers) with XNNPACK on one file; enough subjects for FMR 1e-3."""
    with tarfile.open(shared / "faces" / "lfw_devtest_aligned112.tar") as archive:
        images = [member for member in archive if member.isfile()][:200]
        archive.extractall(tmp_path / "people", members=images, filter="data")
    people = open_samples(tmp_path / "people")
    file = shared / "zoo" / "mobilefacenet_y1_published_uint8.tflite"
    files = open_artefacts([file, file], contract=AS_PIXELS, execution=Execution("reference"))
    comparison = compare(files[0], files[1:], people, Protocol(replicates=100))
    (other,) = comparison.candidates
    assert (comparison.baseline.kernels, other.artefact.kernels) == ("xnnpack", "reference")
    assert 0.9 < other.cosine_mean < 0.99  # a poor int8 file, on which the kernels differ a lot
    assert comparison.verification is not None
    assert other.verification is not None
    for own, reference in zip(comparison.verification.points, other.verification.points, strict=True):
        if isinstance(own, OperatingPointEvidence) and own.target_fmr >= 1e-3:
            assert isinstance(reference, OperatingPointEvidence)
            assert 0 < abs(own.threshold - reference.threshold) < 0.05
