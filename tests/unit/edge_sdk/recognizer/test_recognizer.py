"""A recognizer counts attempts, returns the gallery's decisions, and guides the person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_sdk.cameras import FolderCamera, frames
from edge_sdk.errors import (
    AcquisitionError,
    CaptureError,
    GalleryError,
    InputError,
    ModelMismatchError,
    SubjectExistsError,
    SubjectUnknownError,
)
from edge_sdk.gallery import AttemptPolicy, Decision, Gallery, InMemoryKey
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.notices import GalleryWarning
from edge_sdk.recognizer import Recognition, Recognizer
from edge_sdk.recognizer.enrolment import SAME_IMAGE
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.testing import FakeBackend
from edge_sdk.types import UInt8Array
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import Presentation
from edge_sdk.vision.quality import Limits
from tests.conftest import card, contract, evidence

# The frames of these tests are of one colour, which the limits of enrolment refuse.
pytestmark = pytest.mark.filterwarnings("ignore:the limits for this enrolment are weaker")

KEY = InMemoryKey(b"z" * 32)
MODEL = bytes(range(32))
DIMENSION = 32
ANYTHING = Limits(
    min_eye_distance_px=30,
    min_sharpness=0,
    min_brightness=0,
    max_brightness=256,
    min_contrast=0,
    max_exposed_wrongly=1,
    min_eye_contrast=0,
)
ANN, BOB, EVE = 40, 120, 200
EMPTY, FAR = 1, 2


@dataclass
class ByColour:
    """Detector that finds a face in frames of a person's colour; the first pixel's green value shifts its position."""

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        colour, shift = int(frame[0, 0, 0]), float(frame[0, 0, 1])
        if colour == EMPTY:
            return ()
        size = 0.3 if colour == FAR else 1.0
        points = np.array(ARCFACE_112) * size + (60 + shift, 50)
        return (Face((60 + shift, 50.0, 112 * size, 112 * size), points, 0.9),)


class ByScript:
    """Attack detector that returns the given scores in order, then accepts all frames."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = list(scores)

    def assess(self, frame: UInt8Array, face: Face) -> Presentation:
        return Presentation(self._scores.pop(0) if self._scores else 1.0, 0.5)


def project(pixels: np.ndarray) -> np.ndarray:
    """Compute an embedding from the median colour: similar colours give similar embeddings, others unrelated ones."""
    value = float(np.median(pixels)) * 128 + 127.5
    rng = np.random.default_rng(round(value / 10))
    return (rng.normal(size=(1, DIMENSION)) + 0.02 * np.sin(value + np.arange(DIMENSION))).astype(np.float32)


@pytest.fixture
def embedder() -> Embedder:
    backend = FakeBackend(
        project,
        input=TensorInfo((1, 112, 112, 3), np.dtype(np.float32), 0.0, 0),
        output=TensorInfo((1, DIMENSION), np.dtype(np.float32), 0.0, 0),
    )
    enrolment = card(
        dimension=DIMENSION,
        precision="float32",
        input=contract(height=112, width=112),
        operating_points=(evidence(threshold=0.5, fmr=1e-2), evidence(threshold=0.7)),
    )
    return Embedder(backend, enrolment, model_id=MODEL)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    created = Gallery.create(tmp_path / "home.gallery", key=KEY, model_id=MODEL, dimension=DIMENSION)
    with created.transaction() as t:
        t.limit_attempts(AttemptPolicy(free=3, most=10))
    return created


@pytest.fixture
def recognizer(embedder: Embedder, gallery: Gallery) -> Recognizer:
    created = Recognizer(
        ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING, threshold=0.7
    )
    created.enrol(several(ANN, 3), "ann")
    return created


def frame(colour: int, *, shift: int = 0) -> UInt8Array:
    enrolment = np.full((240, 320, 3), colour, np.uint8)
    enrolment[0, 0, 1] = shift
    return enrolment


def several(colour: int, count: int) -> list[UInt8Array]:
    """Create different images of one person."""
    return [frame(colour, shift=shift) for shift in range(count)]


class Script:
    """Recording of frames that are given as a colour or as (colour, shift)."""

    name = "script"
    live = False

    def __init__(self, *colours: int | tuple[int, int]) -> None:
        self._frames = iter(colours)

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        colour = next(self._frames, None)
        if colour is None:
            return None
        return frame(colour) if isinstance(colour, int) else frame(colour[0], shift=colour[1])


def watched(recognizer: Recognizer, *colours: int | tuple[int, int]) -> list[str]:
    return [described(answer) for answer in recognizer.watch(Script(*colours))]


def described(answer: Recognition) -> str:
    return f"{answer.decision.value} {answer.subject or answer.reason}" + (
        "" if answer.counted else " (not counted)"
    )


def failures(gallery: Gallery) -> int | None:
    status = gallery.attempts.status()
    assert status is not None
    return status.failures


def test_one_frame_is_one_try(recognizer: Recognizer) -> None:
    assert described(recognizer.identify(frame(ANN))) == "accepted ann"
    assert described(recognizer.identify(frame(EVE))) == "rejected not recognized"
    assert failures(recognizer.gallery) == 1
    assert described(recognizer.verify(frame(ANN), "ann")) == "accepted ann"
    assert described(recognizer.verify(frame(EVE), "ann")) == "rejected not recognized"


def test_a_face_that_cannot_be_taken_is_no_try(recognizer: Recognizer) -> None:
    assert described(recognizer.identify(frame(EMPTY))) == "retry stand in front of the camera (not counted)"
    assert described(recognizer.identify(frame(FAR))) == "retry come closer (not counted)"
    assert failures(recognizer.gallery) == 0


def test_three_frames_of_one_face_are_one_try(recognizer: Recognizer) -> None:
    assert watched(recognizer, ANN) == []
    assert watched(recognizer, ANN, ANN, ANN) == ["accepted ann"]
    assert watched(recognizer, EVE, EVE, EVE, EVE) == ["rejected not recognized"]
    assert failures(recognizer.gallery) == 1


def test_who_was_accepted_is_not_asked_about_again_before_they_leave(recognizer: Recognizer) -> None:
    stays = [ANN] * 12
    assert watched(recognizer, *stays) == ["accepted ann"]
    assert watched(recognizer, *stays, *[EMPTY] * 4, *stays) == ["accepted ann"] * 2
    assert watched(recognizer, *stays, EMPTY, EMPTY, *stays) == ["accepted ann"], (
        "two frames without a face do not end the track"
    )


def test_a_face_that_jumps_is_another(recognizer: Recognizer) -> None:
    assert watched(recognizer, ANN, (ANN, 150), ANN, (ANN, 150)) == []
    assert watched(recognizer, ANN, (ANN, 10), (ANN, 20)) == ["accepted ann"]


def test_a_face_that_changes_where_it_stands_is_another(recognizer: Recognizer) -> None:
    """A picture of an enrolled person, shown for single frames, does not help another person."""
    assert watched(recognizer, EVE, ANN, EVE, ANN) == []
    assert watched(recognizer, ANN, ANN, ANN, EVE, EVE, EVE) == ["accepted ann", "rejected not recognized"]


def test_guidance_is_given_when_it_changes(recognizer: Recognizer) -> None:
    assert watched(recognizer, EMPTY, FAR, FAR, FAR, ANN, ANN, ANN, FAR) == [
        "retry come closer (not counted)",
        "accepted ann",
        "retry come closer (not counted)",
    ]


def test_too_many_failures_lock_out_the_enrolled_too(recognizer: Recognizer) -> None:
    leaves = [EMPTY] * 4
    attempts = [EVE, EVE, EVE, *leaves] * 3 + [ANN, ANN, ANN]
    assert watched(recognizer, *attempts) == ["rejected not recognized"] * 3 + [
        "locked_out too many failures: wait"
    ]


def test_an_attack_is_a_failure_and_is_compared_with_nobody(embedder: Embedder, gallery: Gallery) -> None:
    pad = ByScript([0.9, 0.9, 0.9, 0.1, 0.1, 0.9])
    recognizer = Recognizer(
        ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING, threshold=0.7, pad=pad
    )
    recognizer.enrol(several(ANN, 3), "ann")
    assert watched(recognizer, ANN, ANN, ANN) == ["rejected presentation attack"]
    assert failures(gallery) == 1
    assert watched(recognizer, ANN, ANN, ANN) == ["accepted ann"]


def test_an_attack_is_not_enrolled(embedder: Embedder, gallery: Gallery) -> None:
    pad = ByScript([0.1, 0.9, float("nan"), 0.9, 0.9])
    recognizer = Recognizer(
        ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING, pad=pad
    )
    enrolment = recognizer.enrol(several(ANN, 5), "ann")
    assert enrolment.templates == 3
    assert [item.index for item in enrolment.refused] == [0, 2]


def test_an_enrolment_takes_good_frames_and_says_what_is_wrong(recognizer: Recognizer) -> None:
    enrolment = recognizer.enrol([frame(EMPTY), *several(BOB, 9)], "bob")
    assert (enrolment.templates, [item.reason for item in enrolment.refused]) == (
        5,
        ["stand in front of the camera"],
    )
    with pytest.raises(AcquisitionError) as refused:
        recognizer.enrol([frame(EVE), frame(FAR), frame(EMPTY)], "eve")
    assert (refused.value.reason, refused.value.hint) == (
        "enrolment",
        "come closer; stand in front of the camera",
    )
    assert [subject.name for subject in recognizer.gallery.subjects()] == ["ann", "bob"]


def test_pictures_are_added_from_one_good_frame_on(recognizer: Recognizer) -> None:
    recognizer.enrol(several(BOB, 3), "bob")
    with pytest.raises(AcquisitionError, match="expected 3 good frames of 'eve', found 1"):
        recognizer.enrol(several(EVE, 1), "eve")
    # One frame suffices; this one is known already.
    with pytest.raises(CaptureError, match="capture 1 of 1 is a picture that 'bob' has already") as refused:
        recognizer.enrol([frame(EMPTY), *several(BOB, 4)[3:]], "bob", add=True)
    assert refused.value.capture == 1, "the index of a frame, not of a good frame"


def test_the_same_picture_again_is_no_second_capture(recognizer: Recognizer, tmp_path: Path) -> None:
    """Several captures must be independent; copies of a file or frames of a frozen camera are not."""
    enrolment = recognizer.enrol([*several(BOB, 2) * 2, frame(BOB, shift=2)], "bob")
    assert enrolment.templates == 3
    assert [(item.index, item.reason) for item in enrolment.refused] == [(2, SAME_IMAGE), (3, SAME_IMAGE)]
    for number in range(5):
        Image.fromarray(frame(EVE)).save(tmp_path / f"{number}.png")
    with FolderCamera(tmp_path) as camera, pytest.raises(AcquisitionError, match="found 1 of 5") as refused:
        recognizer.enrol(frames(camera), "eve")
    assert refused.value.hint == SAME_IMAGE
    assert [subject.name for subject in recognizer.gallery.subjects()] == ["ann", "bob"]


def test_what_another_process_revoked_is_known_at_once(recognizer: Recognizer, tmp_path: Path) -> None:
    other = Gallery.open(tmp_path / "home.gallery", key=KEY)
    with other.transaction() as t:
        t.revoke("ann")
    assert recognizer.identify(frame(ANN)).decision is Decision.REJECTED


def test_a_gallery_of_another_model_is_refused(embedder: Embedder, tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "other.gallery", key=KEY, model_id=bytes(32), dimension=DIMENSION)
    with pytest.raises(ModelMismatchError):
        Recognizer(ByColour(), embedder, gallery)


def test_without_threshold_and_policy_nothing_is_decided(embedder: Embedder, gallery: Gallery) -> None:
    recognizer = Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING)
    recognizer.enrol(several(ANN, 3), "ann")
    with pytest.raises(InputError, match="threshold"):
        recognizer.identify(frame(ANN))


def test_a_look_ends_in_time(recognizer: Recognizer) -> None:
    now = iter(range(100))
    answers = recognizer.watch(Script(*[EMPTY] * 5, ANN, ANN, ANN), seconds=4, clock=lambda: float(next(now)))
    assert list(answers) == []


def test_after_a_refusal_a_live_camera_is_not_looked_at_for_a_moment(recognizer: Recognizer) -> None:
    class Live(Script):
        live = True

        def read(self) -> UInt8Array | None:
            image = super().read()
            self.count = getattr(self, "count", 0) + 1
            if image is not None:
                image[5, 5] = self.count  # noise
            return image

    ticks = iter(np.arange(0, 1000, 0.1))
    clock = lambda: float(next(ticks))  # noqa: E731
    assert len(list(recognizer.watch(Live(*[EVE] * 20), pause_s=100, clock=clock))) == 1
    assert len(list(recognizer.watch(Live(*[EVE] * 8), pause_s=0, clock=clock))) == 2


def test_a_person_is_guided_during_an_enrolment(recognizer: Recognizer) -> None:
    advice: list[str] = []
    frames = [frame(EMPTY), frame(EMPTY, shift=1), *several(BOB, 2), frame(FAR), frame(BOB, shift=9)]
    recognizer.enrol(frames, "bob", guide=advice.append)
    assert advice == [
        "stand in front of the camera",
        "1 of 5 good pictures",
        "2 of 5 good pictures",
        "come closer",
        "3 of 5 good pictures",
    ]


def test_the_most_frequent_reason_comes_first(recognizer: Recognizer) -> None:
    frames = [frame(EMPTY), frame(FAR), frame(FAR, shift=1), *several(BOB, 1)]
    with pytest.raises(AcquisitionError) as refused:
        recognizer.enrol(frames, "bob")
    assert refused.value.hint == "come closer; stand in front of the camera"
    with pytest.raises(AcquisitionError) as refused:
        recognizer.enrol(several(BOB, 2), "bob")
    assert refused.value.hint == "give 1 more picture of this person, or more time at the camera"


def test_nobody_poses_for_a_name_that_cannot_be_stored(recognizer: Recognizer) -> None:
    def posing() -> Iterator[UInt8Array]:
        raise AssertionError("a frame was read")
        yield frame(ANN)

    with pytest.raises(SubjectExistsError, match="'ann' is enrolled already"):
        recognizer.enrol(posing(), "ann")
    with pytest.raises(SubjectExistsError, match="the name 'Ann' looks like 'ann'"):
        recognizer.enrol(posing(), "Ann")
    with pytest.raises(SubjectUnknownError, match="'bob' is not enrolled"):
        recognizer.enrol(posing(), "bob", add=True)


@pytest.mark.parametrize("colour", [ANN, EVE])
def test_one_press_is_one_attempt(recognizer: Recognizer, gallery: Gallery, colour: int) -> None:
    camera = Script(EMPTY, FAR, *[(colour, shift) for shift in range(12)])
    answers = list(recognizer.watch(camera, attempts=1))
    assert [answer.counted for answer in answers] == [False, True]
    assert answers[-1].accepted is (colour == ANN)
    assert failures(gallery) == (colour == EVE)
    assert camera.read() is not None  # the fourth good frame was not read


def test_a_press_without_a_good_face_is_no_attempt(recognizer: Recognizer, gallery: Gallery) -> None:
    answers = list(recognizer.watch(Script(EMPTY, FAR, (ANN, 0), EMPTY), attempts=1))
    assert [answer.counted for answer in answers] == [False]
    assert failures(gallery) == 0


def test_an_attack_ends_a_press(embedder: Embedder, gallery: Gallery) -> None:
    Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING).enrol(
        several(ANN, 3), "ann"
    )
    pad = ByScript([0.1, 0.1, 0.1])
    recognizer = Recognizer(ByColour(), embedder, gallery, pad=pad, limits=ANYTHING, threshold=0.7)
    answers = list(recognizer.watch(Script(*[(ANN, shift) for shift in range(9)]), attempts=1))
    assert [described(answer) for answer in answers] == ["rejected presentation attack"]
    assert failures(gallery) == 1


def test_a_number_of_attempts_ends_a_look(recognizer: Recognizer) -> None:
    assert len(list(recognizer.watch(Script(*[(EVE, shift) for shift in range(12)]), attempts=2))) == 2


def test_functions_are_called_with_the_answers(recognizer: Recognizer) -> None:
    calls: list[str] = []
    recognizer.when_recognized = lambda answer: calls.append(f"opened for {answer.subject}")
    recognizer.when_refused = lambda answer: calls.append(answer.reason)
    recognizer.when_guided = lambda answer: calls.append(answer.code)
    last = recognizer.run(Script(FAR, EVE, EVE, EVE, *[EMPTY] * 5, *[ANN] * 3, *[EMPTY] * 5, FAR))
    assert last is not None and last.subject == "ann"
    assert calls == ["too_far", "not recognized", "opened for ann", "too_far"]


def test_an_error_of_a_function_ends_the_look(recognizer: Recognizer) -> None:
    def broken(answer: Recognition) -> None:
        raise ValueError("no such pin")

    recognizer.when_recognized = broken
    camera = Script(*[ANN] * 9)
    with pytest.raises(ValueError, match="no such pin") as failure:
        recognizer.run(camera)
    assert camera.read() is not None
    assert failure.tb is not None and not recognizer._watching, "the error is still handled"


def test_without_functions_a_look_returns_its_last_answer(recognizer: Recognizer) -> None:
    assert recognizer.run(Script(FAR)) is None
    answer = recognizer.run(Script(FAR, *[EVE] * 9), attempts=1)
    assert answer is not None and not answer.accepted


@pytest.mark.parametrize("call", [{"frames": 0}, {"frames": -1}, {"attempts": 0}, {"attempts": -1}])
def test_a_try_takes_a_frame(recognizer: Recognizer, call: dict[str, int]) -> None:
    with pytest.raises(InputError):
        list(recognizer.watch(Script(ANN), **call))


def with_eyes(colour: int, *, shift: int = 0) -> UInt8Array:
    """Create a frame with stripes at the eyes; without them the eyes count as covered."""
    image = frame(colour, shift=shift)
    image[90:115, 80:150:4] = image[90:115, 81:150:4] = colour // 2
    return image


def test_an_enrolment_refuses_covered_eyes_and_the_door_does_not(
    embedder: Embedder, gallery: Gallery
) -> None:
    limits = replace(ANYTHING, min_eye_detail=2.0)
    recognizer = Recognizer(
        ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=limits, threshold=0.7
    )
    with pytest.raises(AcquisitionError, match="found 0 of 4") as refused:
        recognizer.enrol(several(ANN, 4), "ann")
    assert refused.value.hint == "take off dark glasses, keep hair off the eyes"
    recognizer.enrol([with_eyes(ANN, shift=shift) for shift in range(3)], "ann")
    assert recognizer.identify(frame(ANN)).subject == "ann"


def test_good_frames_between_many_covered_ones_are_dropped(embedder: Embedder, gallery: Gallery) -> None:
    limits = replace(ANYTHING, min_eye_detail=2.0)
    recognizer = Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=limits)
    mixed = [with_eyes(ANN), *several(ANN, 2), with_eyes(ANN, shift=2), *several(BOB, 2)]
    with pytest.raises(AcquisitionError, match="found 0 of 6"):
        recognizer.enrol(mixed, "ann")
    enrolment = recognizer.enrol([*mixed, *(with_eyes(ANN, shift=shift) for shift in range(3, 6))], "ann")
    assert (enrolment.templates, [item.index for item in enrolment.refused]) == (3, [0, 1, 2, 3, 4, 5])


def test_weaker_limits_of_an_enrolment_are_warned_about_and_recorded(
    embedder: Embedder, gallery: Gallery
) -> None:
    recognizer = Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING)
    with pytest.warns(GalleryWarning, match="weaker than the default .*min_eye_detail"):
        recognizer.enrol(several(ANN, 3), "ann")
    notes = [entry.event for entry in gallery.audit.report().entries if entry.event.event == "weaker-limits"]
    (subject,) = gallery.subjects()
    assert [note.subject for note in notes] == [subject.id]
    assert "min_eye_detail" in notes[0].detail


def test_crops_are_stored_with_a_consent_only(recognizer: Recognizer) -> None:
    gallery = recognizer.gallery
    with pytest.raises(GalleryError, match="does not store captures"):
        recognizer.enrol(iter(()), "bob", consent="by word of mouth")
    gallery.captures.switch_on(CapturesKey(bytes(range(32))).public)
    recognizer.enrol(several(BOB, 3), "bob", consent="by word of mouth")
    assert gallery.captures.status().subjects == (("bob", 3),)
    assert gallery.captures.status().without == ("ann",)
    recognizer.enrol(several(EVE, 3), "eve")
    assert gallery.captures.status().without == ("ann", "eve")
    assert gallery.problems() == ()
