"""Turned cameras are noticed on real photographs with the detectors of the zoo, and strangers stay out."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from edge_sdk.vision.detector import Detector
from tools.camera_orientation import measure_tilts, measure_turns

pytestmark = pytest.mark.real

TURNED = ("90", "180", "270")


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yunet")
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    source = shared / "zoo" / "yunet_n_320_320.onnx"
    convert_auxiliary(AuxiliaryRequest(source, "yunet", folder, calibration, name="yunet"))
    return folder


def arguments(shared: Path, every: int, **options: object) -> argparse.Namespace:
    photographs = shared / "faces" / "lfw_devtest_raw250.tar"
    return argparse.Namespace(photographs=photographs, every=every, **options)


def noticed(counts: dict[str, dict[str, dict[str, int]]]) -> tuple[float, float, float]:
    """Return the shares of turned frames that are noticed and taken for upright, and of upright frames that are refused."""
    turned = [kinds for turn, kinds in counts.items() if turn in TURNED]
    answers = [(answer, n) for kinds in turned for kind in kinds.values() for answer, n in kind.items()]
    everything = sum(n for _, n in answers)
    right = sum(n for answer, n in answers if answer in TURNED)
    # A frame without a face gives no attempt, whatever the check answers.
    upright = sum(kinds["face"].get("0", 0) for kinds in turned)
    refused = sum(n for answer, n in counts["0"]["face"].items() if answer != "0")
    return right / everything, upright / everything, refused / max(1, sum(counts["0"]["face"].values()))


@pytest.mark.parametrize("precision", ["cpu_int8", "float32"])
def test_turned_frames_are_noticed_and_upright_ones_are_not(
    shared: Path, yunet: Path, precision: str
) -> None:
    detector = Detector.open(yunet / f"yunet.{precision}.tflite")
    right, taken_for_upright, refused = noticed(measure_turns(arguments(shared, every=25), detector))
    assert right >= 0.99 and taken_for_upright <= 0.01 and refused == 0


@pytest.mark.slow
def test_all_photographs_give_the_documented_figures(shared: Path, yunet: Path) -> None:
    detector = Detector.open(yunet / "yunet.cpu_int8.tflite")
    right, taken_for_upright, refused = noticed(measure_turns(arguments(shared, every=1), detector))
    assert right >= 0.99 and taken_for_upright <= 0.003 and refused <= 0.001


@pytest.mark.parametrize("name", ["blazeface_short_range", "blazeface_full_range"])
def test_other_detectors_notice_turned_frames(shared: Path, name: str) -> None:
    detector = Detector.open(shared / "zoo" / f"{name}.tflite")
    right, taken_for_upright, refused = noticed(measure_turns(arguments(shared, every=25), detector))
    assert right >= 0.95 and taken_for_upright <= 0.02 and refused <= 0.02


def test_a_head_tilted_by_20_degrees_is_upright(shared: Path, yunet: Path) -> None:
    detector = Detector.open(yunet / "yunet.cpu_int8.tflite")
    counts = measure_tilts(arguments(shared, every=50, tilt=[20.0]), detector)["20"]
    assert counts.get("0", 0) >= 0.98 * sum(counts.values())
