"""Frames are turned by quarter turns, and the orientation of a face is found by any detector's scores."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.errors import InputError
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face
from edge_sdk.vision.orientation import ROTATIONS, check_rotation, orientation_of, turn
from tests.painted_faces import PaintedFaceDetector, painted_frame


def test_a_turn_is_clockwise() -> None:
    frame = np.array([[[1], [2], [3]], [[4], [5], [6]]], np.uint8)
    assert turn(frame, 90)[..., 0].tolist() == [[4, 1], [5, 2], [6, 3]]
    assert turn(frame, 180)[..., 0].tolist() == [[6, 5, 4], [3, 2, 1]]
    assert turn(frame, 270)[..., 0].tolist() == [[3, 6], [2, 5], [1, 4]]
    assert turn(frame, 0) is frame
    assert all(turn(frame, degrees).flags.c_contiguous for degrees in ROTATIONS)


@pytest.mark.parametrize("degrees", [45, -90, 360, True, "90", None])
def test_only_quarter_turns_are_rotations(degrees: object) -> None:
    with pytest.raises(InputError, match="0, 90, 180 or 270"):
        check_rotation(degrees)  # type: ignore[arg-type]


@pytest.mark.parametrize("turned", ROTATIONS)
@pytest.mark.parametrize("centre", [(120, 160), (40, 40), (200, 290)])
def test_the_turn_that_makes_a_face_upright_is_found(turned: int, centre: tuple[int, int]) -> None:
    frame = turn(painted_frame(centre), turned)
    (face,) = PaintedFaceDetector().detect(frame)
    assert orientation_of(PaintedFaceDetector(), frame, face).rotate == (360 - turned) % 360


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_detector_that_finds_only_upright_faces_reveals_the_turn_too(turned: int) -> None:
    detector = PaintedFaceDetector(scores=(0.9, 0.0, 0.0, 0.0))
    frame = turn(painted_frame((120, 160)), turned)
    assert detector.detect(frame) == ()
    assert orientation_of(detector, frame, None).rotate == (360 - turned) % 360


def test_an_upright_face_costs_one_detection() -> None:
    detector = PaintedFaceDetector()
    frame = painted_frame((120, 160))
    (face,) = detector.detect(frame)
    detector.detections = 0
    assert orientation_of(detector, frame, face).rotate == 0
    assert detector.detections == 1


def test_a_detector_with_equal_scores_gives_no_reason_to_refuse() -> None:
    class Fixed:
        def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
            return (Face((200.0, 20.0, 90.0, 90.0), np.array(ARCFACE_112), 0.9),)

    frame = np.zeros((240, 320, 3), np.uint8)
    assert orientation_of(Fixed(), frame, Fixed().detect(frame)[0]).rotate == 0


def test_a_frame_without_a_face_has_no_orientation() -> None:
    frame = np.full((240, 320, 3), 90, np.uint8)
    assert orientation_of(PaintedFaceDetector(), frame, None).rotate is None


@pytest.mark.parametrize(
    "box", [(1e6, 5, 10, 1e9), (-1e9, -5, 10, 10), (0, 0, 1e-3, 1e-3), (-50, -50, 400, 400)]
)
def test_any_box_in_any_frame_takes_little_memory(box: tuple[float, float, float, float]) -> None:
    """A region of the size of such a box, or a square of such a frame, would be terabytes."""
    frame = np.zeros((16, 1_000_000, 3), np.uint8)
    face = Face(box, np.array(ARCFACE_112), 0.9)
    assert orientation_of(PaintedFaceDetector(), frame, face).rotate is None
    assert orientation_of(PaintedFaceDetector(), frame, None).rotate is None
