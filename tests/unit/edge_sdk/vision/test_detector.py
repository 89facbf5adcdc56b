"""The detector finds faces at the right positions; a fake network outputs bright squares as faces."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import InputError, ModelCardError, ModelContractError
from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.recognizer.sampling import NoSample, Sampler
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.network import Network
from edge_sdk.testing import FakeNetwork
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.yunet import STRIDES

SIDE = 160
SMALLEST = 10
NAMES = tuple(sorted(f"{name}_{stride}" for stride in STRIDES for name in ("cls", "obj", "bbox", "kps")))
VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def shape(name: str) -> tuple[int, int, int]:
    kind, stride = name.split("_")
    return 1, (SIDE // int(stride)) ** 2, VALUES[kind]


def find_square(image: np.ndarray) -> list[np.ndarray]:
    """Compute YuNet's outputs for the bright square of an image; all zero if the square is smaller than a face."""
    outputs = {name: np.zeros(shape(name), np.float32) for name in NAMES}
    bright = image[0].mean(axis=-1) > 120
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if len(rows) >= SMALLEST and len(columns) >= SMALLEST:
        near = np.array([columns[0], rows[0]], np.float64)
        sides = np.array([len(columns), len(rows)], np.float64)
        outputs["cls_8"][0, 0] = outputs["obj_8"][0, 0] = 1.0
        outputs["bbox_8"][0, 0] = [*((near + sides / 2) / 8), *np.log(sides / 8)]
        points = near + sides * np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        outputs["kps_8"][0, 0] = (points / 8).ravel()
    return [outputs[name] for name in NAMES]


def network(**changes: object) -> Network:
    values = {
        "name": "squares",
        "task": "face detector",
        "method": "yunet",
        "precision": "float32",
        "input": InputContract(SIDE, SIDE, "bgr", (0.0,) * 3, (1.0,) * 3),
        "outputs": NAMES,
        "network_sha256": "",
        **changes,
    }
    float32 = np.dtype(np.float32)
    backend = FakeNetwork(
        find_square,
        input=TensorInfo((1, SIDE, SIDE, 3), float32),
        outputs=[TensorInfo(shape(name), float32) for name in NAMES],
    )
    return Network(backend, NetworkCard(**values))


def with_square(rows: int, columns: int, top: int, left: int, side: int) -> np.ndarray:
    frame = np.zeros((rows, columns, 3), np.uint8)
    frame[top : top + side, left : left + side] = 255
    return frame


@settings(deadline=None, max_examples=60)
@given(st.integers(100, 900), st.integers(100, 900), st.data())
def test_a_face_is_found_where_it_is_in_a_frame_of_any_size(
    rows: int, columns: int, data: st.DataObject
) -> None:
    least = 20 * max(rows, columns) // SIDE + 2
    side = data.draw(st.integers(min(least, min(rows, columns)), min(rows, columns)))
    if side * SIDE / max(rows, columns) < SMALLEST + 2:
        return
    top, left = data.draw(st.integers(0, rows - side)), data.draw(st.integers(0, columns - side))
    (face,) = Detector(network()).detect(with_square(rows, columns, top, left, side))
    pixel = max(rows, columns) / SIDE
    assert face.box == pytest.approx((left, top, side, side), abs=2 * pixel + 1)
    assert face.landmarks[2] == pytest.approx((left + side * 0.5, top + side * 0.6), abs=2 * pixel + 1)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_small_face_is_found_once_in_tiles_wherever_it_is(data: st.DataObject) -> None:
    rows, columns, side = 480, 640, 24
    top, left = data.draw(st.integers(0, rows - side)), data.draw(st.integers(0, columns - side))
    frame = with_square(rows, columns, top, left, side)
    assert Detector(network()).detect(frame) == ()
    (face,) = Detector(network(), smallest_face_px=20).detect(frame)
    assert face.box == pytest.approx((left, top, side, side), abs=3)


class CountedNetwork(Network):
    passes = 0

    def read(self, image: np.ndarray) -> object:
        self.passes += 1
        return super().read(image)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_a_tracked_face_is_found_in_fewer_tiles_with_the_same_result(data: st.DataObject) -> None:
    rows, columns, side = 480, 640, 24
    top, left = data.draw(st.integers(0, rows - side)), data.draw(st.integers(0, columns - side))
    counted = network()
    counted.__class__ = CountedNetwork
    detector = Detector(counted, smallest_face_px=20)
    before = detector.detect(with_square(rows, columns, top, left, side))[0]
    moved = [
        int(np.clip(at + data.draw(st.integers(-12, 12)), 0, most - side))
        for at, most in ((top, rows), (left, columns))
    ]
    frame = with_square(rows, columns, *moved, side)
    counted.passes = 0
    (expected,) = detector.detect(frame)
    complete, counted.passes = counted.passes, 0
    (face,) = detector.detect(frame, near=before)
    assert face.box == expected.box and (face.landmarks == expected.landmarks).all()
    assert counted.passes < complete
    away = with_square(
        rows, columns, rows - side if top < rows / 2 else 0, columns - side if left < columns / 2 else 0, side
    )
    assert len(detector.detect(away, near=before)) == 1, "a face that is not near is found in all tiles"


def test_a_large_face_in_front_of_tiles_is_one_face() -> None:
    frame = with_square(480, 640, 100, 150, 300)
    (face,) = Detector(network(), smallest_face_px=20).detect(frame)
    assert face.box == pytest.approx((150, 100, 300, 300), abs=8)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 4000, 3), np.uint8), np.full((999, 17, 3), 90, np.uint8)],
)
def test_nothing_is_found_in_nothing(frame: np.ndarray) -> None:
    assert Detector(network()).detect(frame) == ()


def test_what_the_last_frame_left_beside_a_narrow_one_is_gone() -> None:
    detector = Detector(network())
    assert len(detector.detect(np.full((200, 200, 3), 255, np.uint8))) == 1
    assert detector.detect(np.zeros((200, 50, 3), np.uint8)) == ()
    assert detector.detect(np.zeros((50, 200, 3), np.uint8)) == ()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((100, 100), np.uint8),
        np.zeros((100, 100, 4), np.uint8),
        np.zeros((100, 100, 3), np.float32),
        np.zeros((0, 100, 3), np.uint8),
        np.zeros((15, 100, 3), np.uint8),
        "frame.jpg",
        None,
    ],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(InputError, match="expected"):
        Detector(network()).detect(frame)  # type: ignore[arg-type]


def test_a_frame_of_more_pixels_than_any_camera_is_refused_before_it_is_read() -> None:
    vast = np.broadcast_to(np.uint8(0), (10_000, 10_000, 3))
    with pytest.raises(InputError, match="40000000 pixels"):
        Detector(network()).detect(vast)


def test_a_large_frame_takes_little_memory_beside_itself() -> None:
    frame = with_square(5000, 7500, 1000, 1000, 3000)
    detector = Detector(network())
    detector.detect(frame)
    tracemalloc.start()
    (face,) = detector.detect(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert face.box == pytest.approx((1000, 1000, 3000, 3000), abs=100)
    assert peak < 16 << 20, f"{peak >> 20} MiB"


def test_too_small_a_wish_for_so_large_a_frame_says_what_to_do() -> None:
    with pytest.raises(InputError, match="64 tiles") as error:
        Detector(network(), smallest_face_px=3).detect(np.zeros((3000, 4000, 3), np.uint8))
    assert "crop the region" in (error.value.hint or "")


@pytest.mark.parametrize(
    "bad", [{"min_score": 0}, {"min_score": 1.1}, {"smallest_face_px": 0}, {"smallest_face_px": float("nan")}]
)
def test_a_threshold_outside_its_range_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Detector(network(), **bad)


def test_a_method_of_a_later_version_is_refused() -> None:
    with pytest.raises(ModelCardError, match="scrfd"):
        Detector(network(method="scrfd"))


def test_a_card_with_other_outputs_than_the_network_is_refused() -> None:
    with pytest.raises(ModelContractError, match="3 outputs"):
        network(outputs=("a", "b", "c"))


def test_an_embedder_is_no_detector(model_path: Path) -> None:
    with pytest.raises(ModelCardError, match="edge-sdk/network-card/1, found 'edge-sdk/model-card/1'"):
        Detector.open(model_path)


@pytest.mark.parametrize(
    ("rows", "columns", "smallest", "width"),
    [
        (160, 160, None, 10),
        (480, 640, None, 40),
        (3024, 4032, None, 252),
        (3024, 4032, 60, 60),
        (480, 640, 60, 40),
    ],
)
def test_the_smallest_face_of_a_frame_is_known(
    rows: int, columns: int, smallest: float | None, width: float
) -> None:
    detector = Detector(network(), smallest_face_px=smallest)
    assert detector.smallest_width_px(rows, columns) == pytest.approx(width)


def test_a_face_that_may_have_been_too_small_for_a_large_frame_is_told_how_to_be_found() -> None:
    """A usual camera frame has the short advice, a photograph of 12 megapixels the one with the setting."""
    embedder = SimpleNamespace(
        card=SimpleNamespace(input=InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3))
    )
    hints = []
    for smallest, rows, columns in ((None, 480, 640), (None, 3024, 4032), (63, 3024, 4032)):
        sampler = Sampler(Detector(network(), smallest_face_px=smallest), embedder)
        sample = sampler.take(with_square(rows, columns, 1300, 1800, 100 if rows > 1000 else 0))
        hints.append(sample.refusal.hint if isinstance(sample, NoSample) else "")
    assert hints[0] == "stand in front of the camera"
    assert hints[1] == (
        "stand in front of the camera; faces narrower than 252 px are not found in a picture of 4032x3024: come closer, or"
        " set smallest_face_px=63 or --smallest-face 63"
    )
    assert "stand in front" not in hints[2]
