"""A recognizer refuses turned pictures, says how to set the camera, and counts no attempt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.cameras import Rotated
from edge_sdk.errors import AcquisitionError
from edge_sdk.gallery import AttemptPolicy, Decision, Gallery, InMemoryKey
from edge_sdk.recognizer import Recognition, Recognizer
from edge_sdk.recognizer.orientation_guard import CONSISTENT, INTERVAL, TRACK_INTERVAL
from edge_sdk.recognizer.watching import EARLY_FRAMES
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.testing import FakeBackend
from edge_sdk.types import UInt8Array
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.orientation import turn
from edge_sdk.vision.quality import Limits
from tests.conftest import card, contract
from tests.painted_faces import PaintedFaceDetector, painted_frame

# The painted faces have no detail, which the limits of enrolment refuse.
pytestmark = pytest.mark.filterwarnings("ignore:the limits for this enrolment are weaker")
KEY = InMemoryKey(bytes(range(32)))
MODEL = bytes(range(32))
ANYTHING = Limits(
    min_eye_distance_px=0,
    min_sharpness=0,
    min_brightness=0,
    max_brightness=256,
    min_contrast=0,
    max_exposed_wrongly=1,
    max_landmark_misfit=9,
)
TOO_FAR = Limits(min_eye_distance_px=500)


class Recording:
    """Camera that delivers given frames once."""

    name = "recording"
    live = False

    def __init__(self, frames: Iterable[UInt8Array]) -> None:
        self._frames = iter(frames)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        return next(self._frames, None)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    created = Gallery.create(tmp_path / "home.gallery", key=KEY, model_id=MODEL, dimension=16)
    with created.transaction() as t:
        t.limit_attempts(AttemptPolicy(free=3, most=10))
    return created


@pytest.fixture
def embedder() -> Embedder:
    """An embedder for which all faces are alike, as turned faces nearly are: only the orientation keeps a face out."""
    backend = FakeBackend(
        lambda pixels: np.ones((1, 16), np.float32),
        input=TensorInfo((1, 112, 112, 3), np.dtype(np.float32), 0.0, 0),
        output=TensorInfo((1, 16), np.dtype(np.float32), 0.0, 0),
    )
    return Embedder(
        backend,
        card(dimension=16, precision="float32", input=contract(height=112, width=112)),
        model_id=MODEL,
    )


def opened(
    embedder: Embedder, gallery: Gallery, *, limits: Limits = ANYTHING, enrolled: bool = True, rotate: int = 0
) -> Recognizer:
    recognizer = Recognizer(
        PaintedFaceDetector(),
        embedder,
        gallery,
        limits=limits,
        enrolment_limits=limits,
        threshold=0.5,
        rotate=rotate,
    )
    if enrolled:
        recognizer.enrol(pictures(3), "ann")
    return recognizer


def pictures(count: int, turned: int = 0) -> list[UInt8Array]:
    return [turn(painted_frame(shade=60 + shade % 60), turned) for shade in range(count)]


def watched(recognizer: Recognizer, frames: Iterable[UInt8Array], rotate: int = 0) -> list[Recognition]:
    camera = Recording(frames)
    return list(recognizer.watch(Rotated(camera, rotate) if rotate else camera))


def failures(gallery: Gallery) -> int:
    status = gallery.attempts.status()
    assert status is not None
    return status.failures


@pytest.mark.parametrize(
    ("turned", "direction"),
    [(90, "90 degrees clockwise"), (180, "180 degrees"), (270, "90 degrees counterclockwise")],
)
def test_an_enrolment_through_a_turned_camera_names_the_rotation(
    embedder: Embedder, gallery: Gallery, turned: int, direction: str
) -> None:
    setting = 360 - turned
    with pytest.raises(AcquisitionError, match="found 0 of 5") as refused:
        opened(embedder, gallery, enrolled=False).enrol(pictures(5, turned), "ann")
    assert refused.value.reason == "camera_turned"
    assert refused.value.hint == (
        f"the camera picture is turned by {direction}: set rotate={setting} or --rotate {setting}"
    )
    assert gallery.subjects() == ()


def test_a_rotation_that_is_set_already_is_added(embedder: Embedder, gallery: Gallery) -> None:
    with pytest.raises(AcquisitionError) as refused:
        opened(embedder, gallery, enrolled=False, rotate=270).enrol(pictures(5, 180), "ann")
    assert "rotate=90 or --rotate 90" in str(refused.value.hint)


def test_a_turned_picture_among_upright_ones_is_left_out(embedder: Embedder, gallery: Gallery) -> None:
    frames = [*pictures(1, 180), *pictures(4)]
    enrolment = opened(embedder, gallery, enrolled=False).enrol(frames, "ann")
    assert (enrolment.templates, [item.index for item in enrolment.refused]) == (4, [0])
    assert "rotate=180" in enrolment.refused[0].reason


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_one_turned_frame_is_no_attempt(embedder: Embedder, gallery: Gallery, turned: int) -> None:
    recognizer = opened(embedder, gallery)
    for answer in (
        recognizer.identify(pictures(1, turned)[0]),
        recognizer.verify(pictures(1, turned)[0], "ann"),
    ):
        assert (answer.decision, answer.code, answer.counted) == (Decision.RETRY, "camera_turned", False)
        assert f"rotate={360 - turned}" in answer.reason
    assert failures(gallery) == 0
    assert recognizer.identify(pictures(1)[0]).accepted


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_turned_door_accepts_nobody_from_its_first_frame(
    embedder: Embedder, gallery: Gallery, turned: int
) -> None:
    recognizer = opened(embedder, gallery)
    answers = watched(recognizer, pictures(90, turned))
    assert [answer.code for answer in answers] == ["not_upright", "camera_turned"]
    assert not any(answer.accepted or answer.counted for answer in answers)
    assert f"--rotate {360 - turned}" in answers[-1].reason
    # The same camera with that rotation: the state ends after as many upright frames.
    answers = watched(recognizer, pictures(30, turned), rotate=360 - turned)
    assert [answer.accepted for answer in answers][-1]
    assert failures(gallery) == 0


def test_one_odd_person_shuts_no_door(embedder: Embedder, gallery: Gallery) -> None:
    """A person who lies on the floor or bends over is refused; the next one is not."""
    recognizer = opened(embedder, gallery)
    leaves = [np.full((240, 320, 3), 90, np.uint8)] * 4
    odd = pictures(EARLY_FRAMES * (CONSISTENT - 1), 90)
    answers = watched(recognizer, [*odd, *leaves, *pictures(3)])
    assert [(answer.code, answer.accepted) for answer in answers] == [("not_upright", False), ("", True)]


def test_a_camera_that_is_turned_while_it_runs_is_noticed(embedder: Embedder, gallery: Gallery) -> None:
    recognizer = opened(embedder, gallery)
    leaves = [np.full((240, 320, 3), 90, np.uint8)] * 4
    assert [answer.accepted for answer in watched(recognizer, pictures(3))] == [True]
    answers = watched(recognizer, [*pictures(9, 180), *leaves, *pictures(9, 180)])
    assert [answer.code for answer in answers] == ["not_upright", "camera_turned"]


def test_a_person_who_turns_during_a_track_is_noticed(embedder: Embedder, gallery: Gallery) -> None:
    recognizer = opened(embedder, gallery)
    gallery.remove("ann")
    answers = watched(recognizer, [*pictures(3), *pictures(TRACK_INTERVAL + 30, 180)])
    assert [answer.code for answer in answers if not answer.counted][-1] == "camera_turned"
    assert not any(answer.accepted for answer in answers)


def test_bad_faces_of_a_turned_camera_are_sampled(embedder: Embedder, gallery: Gallery) -> None:
    recognizer = opened(embedder, gallery, limits=TOO_FAR, enrolled=False)
    answers = watched(recognizer, pictures(CONSISTENT + 2, 180))
    assert [answer.code for answer in answers] == ["too_far", "camera_turned"]


def test_a_detector_that_finds_no_turned_face_notices_the_camera_too(
    embedder: Embedder, gallery: Gallery
) -> None:
    detector = PaintedFaceDetector(scores=(0.9, 0.0, 0.0, 0.0))
    recognizer = Recognizer(
        detector, embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING, threshold=0.5
    )
    answers = watched(recognizer, pictures(CONSISTENT + 2, 180))
    assert [answer.code for answer in answers] == ["camera_turned"]
    with pytest.raises(AcquisitionError) as refused:
        recognizer.enrol(pictures(4, 90), "ann")
    assert (refused.value.reason, "rotate=270" in str(refused.value.hint)) == ("camera_turned", True)
    assert recognizer.identify(pictures(1, 180)[0]).code == "camera_turned"


def test_an_upright_door_is_checked_rarely(embedder: Embedder, gallery: Gallery) -> None:
    """A check costs about one detection: one for each 16 good frames of a person, and one for each 50 bad frames."""
    recognizer = opened(embedder, gallery)
    gallery.remove("ann")
    detector = recognizer._guard._detector
    assert isinstance(detector, PaintedFaceDetector)
    for frames, most in (
        (pictures(160), 160 / TRACK_INTERVAL + 2),
        ([np.full((240, 320, 3), 90, np.uint8)] * 160, 0),
    ):
        detector.detections = 0
        watched(recognizer, frames)
        assert len(frames) <= detector.detections <= len(frames) + most
    refusing = opened(embedder, gallery, limits=TOO_FAR, enrolled=False)
    detector = refusing._guard._detector
    assert isinstance(detector, PaintedFaceDetector)
    watched(refusing, pictures(160))
    assert detector.detections <= 160 + 160 / INTERVAL + 1
