"""A watch counts each attempt before a comparison, ends it early if frames agree, and gives the same answers with overlap."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from edge_sdk.gallery import Gallery
from edge_sdk.gallery.results import Decision
from edge_sdk.recognizer import Recognizer
from edge_sdk.recognizer.motion import LONGEST_SKIP_S, MotionGate
from edge_sdk.recognizer.results import Recognition
from edge_sdk.recognizer.sampling import AlignedSample
from edge_sdk.recognizer.watching import Watch, WatchOptions
from edge_sdk.types import UInt8Array
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import Presentation
from tests.unit.edge_sdk.recognizer.test_recognizer import (
    ANN,
    ANYTHING,
    BOB,
    EMPTY,
    EVE,
    FAR,
    ByColour,
    ByScript,
    Script,
    described,
    embedder,
    failures,
    frame,
    gallery,
    recognizer,
    several,
    watched,
)

__all__ = ["embedder", "gallery", "recognizer"]
pytestmark = pytest.mark.filterwarnings("ignore:the limits for this enrolment are weaker")


def answers_of(recognizer: Recognizer, colours: Sequence[int], *, overlap: bool) -> list[str]:
    watch = Watch(
        recognizer._sampler,
        recognizer._guard,
        lambda: recognizer._begin(None, frames=3),
        same_person_cosine=0.5,
        options=WatchOptions(overlap=overlap),
    )
    return [described(answer) for answer in watch.answers(Script(*colours))]


def frames_left(camera: Script) -> int:
    return len(list(camera._frames))


def test_two_frames_that_agree_end_an_attempt(recognizer: Recognizer) -> None:
    camera = Script(*[(ANN, shift) for shift in range(9)])
    answers = list(recognizer.watch(camera, attempts=1))
    assert [described(answer) for answer in answers] == ["accepted ann"]
    assert frames_left(camera) == 7


def test_one_frame_that_would_not_be_accepted_needs_the_third(embedder: Embedder, gallery: Gallery) -> None:
    """Early acceptance needs every frame, in its liveness too."""
    Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING).enrol(
        several(ANN, 3), "ann"
    )
    for scores, used in (([0.9, 0.9], 2), ([0.9, 0.4], 3), ([0.4, 0.9, 0.9], 3), ([0.7, 0.7], 3)):
        pad = ByScript(scores)
        recognizer = Recognizer(ByColour(), embedder, gallery, pad=pad, limits=ANYTHING, threshold=0.7)
        watch = Watch(
            recognizer._sampler,
            recognizer._guard,
            lambda recognizer=recognizer: recognizer._begin(None, frames=3),
            same_person_cosine=0.5,
            options=WatchOptions(attempts=1, overlap=False),
        )
        camera = Script(*[(ANN, shift) for shift in range(9)])
        assert [described(answer) for answer in watch.answers(camera)] == ["accepted ann"]
        assert 9 - frames_left(camera) == used, scores


@pytest.mark.parametrize("rest", [[EMPTY] * 5, [ANN], [], [FAR] * 5])
def test_a_person_who_leaves_during_an_attempt_has_made_it(
    recognizer: Recognizer, gallery: Gallery, rest: list[int]
) -> None:
    """Otherwise a thief could show one picture after another, two frames each, without a counted attempt."""
    answers = watched(recognizer, EVE, EVE, *rest)
    assert [answer for answer in answers if "not counted" not in answer] == ["rejected not recognized"]
    assert failures(gallery) == 1


def test_liveness_with_two_frames_is_never_weaker_than_with_three(
    embedder: Embedder, gallery: Gallery
) -> None:
    """A picture that passes in two frames of three must not gain by an early end, or by leaving before the third."""
    plain = Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING)
    plain.enrol(several(ANN, 3), "ann")
    for shown in ([ANN, ANN, ANN], [ANN, ANN, *[EMPTY] * 5], [ANN, ANN]):
        pad = ByScript([0.7, 0.7, 0.0])
        watching = Recognizer(ByColour(), embedder, gallery, pad=pad, limits=ANYTHING, threshold=0.7)
        assert watched(watching, *shown) == ["rejected presentation attack"]
        gallery.attempts.reset()


def test_samples_from_both_sides_of_a_pause_make_no_attempt(recognizer: Recognizer) -> None:
    """The frames of a pause are not searched, so nobody knows if the person is still the same one."""

    class Live(Script):
        live = True
        count = 0

        def read(self) -> UInt8Array | None:
            image = super().read()
            self.count += 1
            if image is not None:
                image[5, 5] = self.count
            return image

    compared = []

    class Recording:
        def accept_early(self, samples: list[AlignedSample]) -> None:
            return None

        def finish(self, samples: list[AlignedSample]) -> Recognition:
            compared.append({int(sample.crop[50, 50, 0]) for sample in samples})
            return Recognition(Decision.REJECTED, None, "", samples[-1].face)

    now = iter(np.arange(0, 1e6, 0.05))
    watch = Watch(
        recognizer._sampler,
        recognizer._guard,
        Recording,  # type: ignore[arg-type]
        same_person_cosine=-1.0,
        options=WatchOptions(pause_s=1, clock=lambda: float(next(now))),
    )
    # Another face ends the attempt; a third person stands in its place after the pause.
    list(watch.answers(Live(EMPTY, EMPTY, EVE, EVE, *[(ANN, 200)] * 2, *[(BOB, 200)] * 40)))
    assert len(compared) > 1
    assert all(len(colours) == 1 for colours in compared), compared


def test_short_visits_are_locked_out(recognizer: Recognizer) -> None:
    visits = itertools.chain.from_iterable([EVE, EVE, BOB, BOB] for _ in range(4))
    answers = watched(recognizer, *visits, ANN, ANN, ANN)
    assert answers[:3] == ["rejected not recognized"] * 3
    assert answers[3] == "locked_out too many failures: wait"
    assert "accepted ann" not in answers


def test_an_attempt_that_the_caller_leaves_stays_failed(recognizer: Recognizer, gallery: Gallery) -> None:
    class Leaving(Script):
        def read(self) -> UInt8Array | None:
            if failures(gallery):
                raise KeyboardInterrupt
            return super().read()

    with pytest.raises(KeyboardInterrupt):
        list(recognizer.watch(Leaving(*[EVE] * 9)))
    assert failures(gallery) == 1


@pytest.mark.parametrize("overlap", [False, True])
def test_an_error_during_an_attempt_leaves_it_failed_and_no_thread(
    embedder: Embedder, gallery: Gallery, overlap: bool
) -> None:
    class Broken(ByScript):
        def assess(self, frame: UInt8Array, face: Face) -> Presentation:
            if failures(gallery):
                raise OSError("the accelerator is gone")
            return super().assess(frame, face)

    pad = Broken([])
    watching = Recognizer(ByColour(), embedder, gallery, pad=pad, limits=ANYTHING, threshold=0.7)
    watching._overlap = overlap
    with pytest.raises(OSError, match="accelerator"):
        list(watching.watch(Script(*[EVE] * 9)))
    assert failures(gallery) == 1
    left = watching.watch(Script(*[FAR] * 9, *[BOB] * 9))
    next(left)
    left.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_overlap_changes_no_answer(recognizer: Recognizer, gallery: Gallery) -> None:
    recognizer.enrol(several(BOB, 3), "bob")
    rng = np.random.default_rng(3)
    for _ in range(15):
        script = rng.choice([ANN, BOB, EVE, EMPTY, FAR], rng.integers(1, 9)).repeat(rng.integers(1, 5))
        shown = []
        for overlap in (False, True):
            gallery.attempts.reset()
            shown.append((answers_of(recognizer, script.tolist(), overlap=overlap), failures(gallery)))
        assert shown[0] == shown[1], script


def test_a_camera_may_reuse_its_buffer(embedder: Embedder, gallery: Gallery) -> None:
    """The frame whose liveness is judged is the one that was searched, also while the next one is read."""

    class OneBuffer(Script):
        live = True
        buffer = frame(EMPTY)
        count = 0

        def read(self) -> UInt8Array | None:
            image = super().read()
            if image is None:
                return None
            self.count += 1
            image[5, 5] = self.count
            np.copyto(self.buffer, image)
            return self.buffer

    class SameColour:
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def assess(self, image: UInt8Array, face: Face) -> object:
            self.seen.append((int(image[0, 0, 1]), round(face.box[0] - 60)))
            return ByScript([]).assess(image, face)

    Recognizer(ByColour(), embedder, gallery, limits=ANYTHING, enrolment_limits=ANYTHING).enrol(
        several(ANN, 3), "ann"
    )
    pad = SameColour()
    recognizer = Recognizer(ByColour(), embedder, gallery, pad=pad, limits=ANYTHING, threshold=0.7)  # type: ignore[arg-type]
    recognizer._overlap = True
    list(recognizer.watch(OneBuffer(*[(EVE, shift) for shift in range(20)]), pause_s=0))
    assert pad.seen and all(painted == shift for painted, shift in pad.seen)


def noisy(scene: UInt8Array, rng: np.random.Generator, sd: float) -> UInt8Array:
    return np.clip(np.rint(scene + rng.normal(0, sd, scene.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sd", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("size", [(480, 640), (720, 960), (37, 53)])
def test_a_still_scene_is_skipped_and_a_person_is_not(size: tuple[int, int], sd: float) -> None:
    rng, gate = np.random.default_rng(1), MotionGate()
    scene = rng.integers(40, 200, (*size, 3)).astype(np.float32)
    assert not gate.skips(noisy(scene, rng, sd), 0.0), "nothing was searched yet"
    gate.searched(noisy(scene, rng, sd), 0.0, empty=True)
    skipped = sum(gate.skips(noisy(scene, rng, sd), 0.1) for _ in range(8))
    assert skipped == 8 or min(size) < 60
    person = scene.copy()
    rows, columns = (side // 4 for side in size)
    person[rows : 2 * rows, columns : 2 * columns] += 30
    assert not gate.skips(noisy(person, rng, sd), 0.1)
    assert not gate.skips(noisy(scene + 15, rng, sd), 0.1), "another light"


def test_slow_changes_add_up_and_a_search_comes_in_time() -> None:
    gate, scene = MotionGate(), np.full((480, 640, 3), 90, np.uint8)
    gate.searched(scene, 0.0, empty=True)
    brighter = [replace_block(scene, 90 + step) for step in range(30)]
    assert gate.skips(brighter[0], 0.1) and not gate.skips(brighter[29], 0.1)
    assert not gate.skips(scene, LONGEST_SKIP_S)
    gate.found()
    assert not gate.skips(scene, 0.1)
    gate.searched(scene, 0.1, empty=False)
    assert not gate.skips(scene, 0.2), "a face is tracked"


def replace_block(scene: UInt8Array, level: int) -> UInt8Array:
    changed = scene.copy()
    changed[100:200, 100:200] = level
    return changed


def test_a_still_scene_is_rarely_searched(recognizer: Recognizer) -> None:
    searched = []

    class Counting(ByColour):
        def detect(self, image: UInt8Array) -> tuple[Face, ...]:
            searched.append(int(image[0, 0, 0]))
            return super().detect(image)

    class Live(Script):
        live = True
        count = 0

        def read(self) -> UInt8Array | None:
            image = super().read()
            self.count += 1
            if image is not None:
                image[5, 5] = self.count % 200
            return image

    watching = Recognizer(Counting(), recognizer.embedder, recognizer.gallery, limits=ANYTHING, threshold=0.7)
    now = iter(np.arange(0, 1e6, 0.05))
    answers = watching.watch(Live(*[EMPTY] * 90, *[ANN] * 9), clock=lambda: float(next(now)))
    assert [described(answer) for answer in answers] == ["accepted ann"]
    assert searched.count(EMPTY) <= 25, (
        "about one search a second of about nine seconds, and those of turned pictures"
    )
