"""Detectors find the faces that OpenCV finds, in float and in int8, and do not crash on degraded frames."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from edge_sdk.vision.candidates import overlap
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.images import read_image

pytestmark = pytest.mark.real

SIDE = 320


def photographs(shared: Path, every: int) -> list[np.ndarray]:
    """Read every n-th of the 250x250 photographs of LFW DevTest."""
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        members = [m for m in archive.getmembers() if m.name.endswith(".jpg")][::every]
        return [read_image(io.BytesIO(archive.extractfile(m).read())) for m in members]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert YuNet and return the folder with its float32 and int8 files."""
    folder = tmp_path_factory.mktemp("yunet")
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    source = shared / "zoo" / "yunet_n_320_320.onnx"
    report = convert_auxiliary(AuxiliaryRequest(source, "yunet", folder, calibration, name="yunet"))
    assert report.agreement < 1e-4
    assert len(report.artefacts) == 2
    return folder


def by_opencv(shared: Path, images: list[np.ndarray]) -> list[np.ndarray]:
    """Detect faces with OpenCV's FaceDetectorYN; each row has box, five points and score, in the photograph's pixels."""
    peer = cv2.FaceDetectorYN.create(str(shared / "zoo" / "yunet_n_320_320.onnx"), "", (SIDE, SIDE), 0.6, 0.3)
    rows = []
    for image in images:
        detections = peer.detect(np.ascontiguousarray(cv2.resize(image, (SIDE, SIDE))[..., ::-1]))[1]
        detections = np.empty((0, 15)) if detections is None else detections.astype(np.float64)
        detections[:, :14] *= len(image) / SIDE
        rows.append(detections)
    return rows


def compare(
    detector: Detector, images: list[np.ndarray], expected: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute two arrays: best overlap per expected face; landmark error in eye distances per face that is found."""
    overlaps, errors = [], []
    for image, rows in zip(images, expected, strict=True):
        faces = detector.detect(image)
        boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        for row in rows:
            shares = overlap(row[:4], boxes) if len(boxes) else np.zeros(1)
            overlaps.append(shares.max())
            if shares.max() > 0.5:
                points = row[4:14].reshape(5, 2)
                distance = np.hypot(*(points - faces[shares.argmax()].landmarks).T).mean()
                errors.append(distance / np.hypot(*(points[1] - points[0])))
    return np.array(overlaps), np.array(errors)


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_yunet_finds_what_opencv_finds(shared: Path, yunet: Path, every: int) -> None:
    images = photographs(shared, every)
    overlaps, errors = compare(
        Detector.open(yunet / "yunet.float32.tflite"), images, by_opencv(shared, images)
    )
    assert (overlaps >= 0.9).mean() >= 0.99
    assert np.median(errors) < 0.01


def test_int8_finds_what_float_finds(shared: Path, yunet: Path) -> None:
    images = photographs(shared, 10)
    overlaps, errors = compare(
        Detector.open(yunet / "yunet.cpu_int8.tflite"), images, by_opencv(shared, images)
    )
    assert (overlaps >= 0.5).mean() >= 0.98
    assert np.mean(errors) < 0.04


@pytest.mark.parametrize("name", ["blazeface_short_range", "blazeface_full_range"])
def test_blazeface_needs_no_card_and_finds_the_same_people(shared: Path, name: str) -> None:
    images = photographs(shared, 10)
    detector = Detector.open(shared / "zoo" / f"{name}.tflite")
    largest = [rows[np.argmax(rows[:, 2] * rows[:, 3])][None] for rows in by_opencv(shared, images)]
    overlaps, errors = compare(detector, images, largest)
    assert (overlaps > 0.5).mean() >= 0.99
    assert np.median(errors) < 0.15


@pytest.fixture(scope="module")
def short_range(shared: Path) -> Detector:
    return Detector.open(shared / "zoo" / "blazeface_short_range.tflite")


@pytest.mark.parametrize(("seed", "count"), [(0, 300), pytest.param(1, 5000, marks=pytest.mark.slow)])
def test_mutated_frames_give_faces_or_none_and_never_a_crash(
    shared: Path, short_range: Detector, seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    images = photographs(shared, 100)
    for _ in range(count):
        frame = images[rng.integers(len(images))].copy()
        for _ in range(rng.integers(1, 4)):
            frame = mutate(frame, rng)
        for face in short_range.detect(frame):
            assert np.isfinite(face.box).all()
            assert np.isfinite(face.landmarks).all()
            assert 0.5 <= face.score <= 1


def mutate(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrade a frame: crop, rotate, add noise, darken, brighten, stretch or tear it."""
    rows, columns = frame.shape[:2]
    kind = rng.integers(8)
    if kind == 0:
        top, left = rng.integers(0, max(1, rows - 16)), rng.integers(0, max(1, columns - 16))
        return frame[top : top + rng.integers(16, rows + 1), left : left + rng.integers(16, columns + 1)]
    if kind == 1:
        return np.rot90(frame, rng.integers(1, 4))
    if kind == 2:
        return rng.integers(0, 256, frame.shape).astype(np.uint8)
    if kind == 3:
        return np.full(frame.shape, rng.integers(0, 256), np.uint8)
    if kind == 4:
        return (frame * rng.uniform(0, 3)).clip(0, 255).astype(np.uint8)
    if kind == 5:
        return np.repeat(frame[: max(16, rows // 4)], rng.integers(1, 5), axis=0)
    if kind == 6:
        return frame[::-1, :: rng.integers(1, 3) if columns >= 32 else 1]
    torn = frame.copy()
    torn[rng.integers(rows) :] = rng.integers(0, 256)
    return torn


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_face_cut_by_the_frames_edge_still_has_finite_numbers(
    shared: Path, short_range: Detector, share: float
) -> None:
    image = photographs(shared, 400)[0]
    (whole,) = short_range.detect(image)[:1]
    left = int(whole.box[0] + whole.box[2] * (1 - share))
    for face in short_range.detect(image[:, left:]):
        assert np.isfinite(face.landmarks).all()
