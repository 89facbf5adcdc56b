"""One press of the button is one attempt; a lost camera ends the program; frames feed the watchdog."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_sdk.cameras.camera import Camera
from edge_sdk.door.lock import DoorEvent, DoorEventKind, DoorLock
from edge_sdk.door.pins import MockButton, MockOutput
from edge_sdk.door.strike import Strike
from edge_sdk.door.watchdog import ServiceManager
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.gallery.results import Decision
from edge_sdk.recognizer import Recognition
from edge_sdk.types import UInt8Array
from tests.patience import PATIENCE_S

GUIDANCE = Recognition(Decision.RETRY, None, "come closer", counted=False, code="too_far")
ACCEPTED = Recognition(Decision.ACCEPTED, "alice")
REJECTED = Recognition(Decision.REJECTED, None, "not recognized")


class Frames:
    """A camera whose frames are counted and that is lost after `most` frames."""

    name, rotate = "frames", 90

    def __init__(self, *, live: bool = True, most: int = 10**9) -> None:
        self.live, self._most = live, most
        self.read_frames = self.opened = self.closed = 0

    def __enter__(self) -> Frames:
        self.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def read(self) -> UInt8Array | None:
        if self.read_frames == self._most:
            raise AcquisitionError("gone", reason="no camera")
        self.read_frames += 1
        return np.full((2, 2, 3), self.read_frames % 256, np.uint8)


class Service(ServiceManager):
    """Service manager that records what it receives."""

    def __init__(self, *, interval_s: float = 0.05) -> None:
        super().__init__(watchdog_s=interval_s * 3)
        self.messages: list[str] = []

    def _send(self, message: str) -> None:
        self.messages.append(message)


def lock(
    looks: list[list[Recognition]], camera: Frames, *, show: Callable[[DoorEvent], None], **options: Any
) -> tuple[DoorLock, MockButton, MockOutput]:
    """Return a lock whose recognizer gives the answers of the next look, and its pins."""
    remaining = iter(looks)

    def watch(camera: Camera, *, seconds: float, attempts: int) -> Iterator[Recognition]:
        assert attempts == 1
        for answer in next(remaining):
            camera.read()
            yield answer

    button, output = MockButton(), MockOutput()
    recognizer: Any = SimpleNamespace(watch=watch)
    options = {"service": Service(), "strike": output, **options}
    return DoorLock(recognizer, camera, button=button, show=show, **options), button, output


def served(
    looks: list[list[Recognition]], camera: Frames, **options: Any
) -> tuple[list[DoorEvent], MockOutput, int]:
    """Press the button once for each look, then stop."""
    events: list[DoorEvent] = []
    left = len(looks)

    def show(event: DoorEvent) -> None:
        nonlocal left
        events.append(event)
        if event.kind is DoorEventKind.WAITING:
            if left == 0:
                door.stop()
                return
            left -= 1
            button.press()

    door, button, output = lock(looks, camera, show=show, **options)
    return events, output, door.serve()


def test_one_press_is_one_attempt_and_an_accepted_one_opens() -> None:
    looks = [[GUIDANCE, REJECTED], [GUIDANCE, ACCEPTED], [GUIDANCE]]
    events, output, opened = served(looks, Frames(), open_s=30)
    assert [event.kind.value for event in events] == [
        *("waiting", "pressed", "guidance", "answer"),
        *("waiting", "pressed", "guidance", "answer"),
        *("waiting", "pressed", "guidance", "no_attempt"),
        "waiting",
    ]
    assert opened == 1
    assert [state for _, state in output.changes].count(True) == 1
    assert not output.is_on, "the end of serve shuts the strike"


def test_a_press_during_a_look_is_ignored() -> None:
    answers: list[str] = []

    def show(event: DoorEvent) -> None:
        answers.append(event.kind.value)
        if event.kind is DoorEventKind.PRESSED:
            button.press()
        if event.kind is DoorEventKind.WAITING:
            if len(answers) == 1:
                button.press()
            else:
                threading.Timer(0.2, door.stop).start()

    door, button, _ = lock([[REJECTED]], Frames(), show=show)
    assert door.serve() == 0
    assert answers == ["waiting", "pressed", "answer", "waiting"]


def test_the_camera_stays_open_and_is_checked_between_presses() -> None:
    camera = Frames(most=3)
    door, button, output = lock([], camera, show=lambda _: None)
    with pytest.raises(AcquisitionError, match="gone"):
        door.serve()
    assert (camera.opened, camera.closed, camera.read_frames) == (1, 1, 3)
    assert button.when_pressed is None and not output.is_on


def test_a_strike_that_cannot_open_ends_the_service() -> None:
    strike, events = Strike(MockOutput()), []

    def show(event: DoorEvent) -> None:
        events.append(event.kind.value)
        if event.kind is DoorEventKind.PRESSED:
            strike.end()  # as after a signal whose exception was lost
        elif event.kind is DoorEventKind.WAITING:
            button.press()

    door, button, _ = lock([[ACCEPTED]], Frames(), show=show, strike=strike)
    with pytest.raises(InputError, match="inside its with block"):
        door.serve()
    with strike:
        assert door.serve() == 0
    assert events == ["waiting", "pressed", "answer", "waiting"]


def test_a_recording_is_opened_for_each_press_and_keeps_its_frames_for_it() -> None:
    camera = Frames(live=False)
    served([[REJECTED], [ACCEPTED]], camera)
    assert (camera.opened, camera.closed, camera.read_frames) == (2, 2, 2)


def test_frames_feed_the_watchdog() -> None:
    service = Service()
    events, _, _ = served([[GUIDANCE, ACCEPTED]], Frames(), service=service)
    assert service.messages == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]
    assert len(events) == 5


def test_a_camera_that_hangs_does_not_feed_the_watchdog() -> None:
    reading, released, service = threading.Event(), threading.Event(), Service()

    class Hangs(Frames):
        def read(self) -> UInt8Array | None:
            reading.set()
            released.wait()
            return super().read()

    door, _, _ = lock([], Hangs(), show=lambda _: None, service=service)
    thread = threading.Thread(target=door.serve)
    thread.start()
    try:
        assert reading.wait(PATIENCE_S)
        assert service.messages == ["READY=1"]
    finally:
        door.stop()
        released.set()
        thread.join()


@pytest.mark.parametrize("options", [{"open_s": 0}, {"open_s": 61}, {"look_s": 0}, {"look_s": float("inf")}])
def test_times_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        lock([], Frames(), show=lambda _: None, **options)
