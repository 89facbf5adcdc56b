"""Door lock: a press of a button, one attempt to recognize the person, and a pulse of the strike if accepted."""

from __future__ import annotations

import contextlib
import enum
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_sdk.cameras.camera import Camera, WrappedCamera
from edge_sdk.door.pins import Button, Output
from edge_sdk.door.strike import Strike, check_pulse
from edge_sdk.door.watchdog import ServiceManager
from edge_sdk.errors import InputError
from edge_sdk.types import UInt8Array

if TYPE_CHECKING:
    from edge_sdk.recognizer import Recognition, Recognizer

#: Time for which the strike is energized, and the longest look after a press of the button.
OPEN_S, LOOK_S = 4.0, 10.0


class DoorEventKind(enum.Enum):
    """Kind of an event at the door."""

    WAITING = "waiting"
    PRESSED = "pressed"
    GUIDANCE = "guidance"
    ANSWER = "answer"
    NO_ATTEMPT = "no_attempt"


@dataclass(frozen=True)
class DoorEvent:
    """Event at the door.

    Args:
        kind: What happened: the lock waits for a press, the button was pressed, the person must do something (guidance),
            the attempt has an answer, or the look ended without a good face and so without an attempt.
        recognition: The guidance or the answer; None for the other kinds.
    """

    kind: DoorEventKind
    recognition: Recognition | None = None


def print_event(event: DoorEvent) -> None:
    """Print answers, guidance and looks without an attempt, one line each; the other events print nothing."""
    if event.recognition is not None:
        answer = event.recognition
        print(answer.decision.value, answer.subject or answer.reason, flush=True)
    elif event.kind is DoorEventKind.NO_ATTEMPT:
        print("no attempt: no good picture of a face", flush=True)


class DoorLock:
    """Lock that opens for enrolled people after the press of a button.

    One press is one attempt: the look ends with the first answer of the gallery, or after `look_s` without a good face. A
    press during a look, and a button that is held down, start no further attempt. Every exception ends `serve`, and the
    strike is shut.

    A live camera stays open, which saves its start at each press. Between two presses one frame is
    read every two seconds and dropped, so that a lost camera ends the program at once; no face is searched in it. A
    recording is opened at each press and so starts again.

    Args:
        recognizer: Recognizes the person.
        camera: A camera that is not yet open.
        button: The button.
        strike: A `Strike` inside its `with` block; or its pin, for which `serve` makes one.
        open_s: Time for which the strike is energized, above 0 and at most 60, seconds.
        look_s: Longest look after a press, above 0, seconds.
        show: Function that is called with each event, before the strike opens; prints by default.
        service: Service manager to notify; by default the one that started this program.

    Raises:
        InputError: A time is out of range.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        camera: Camera,
        *,
        button: Button,
        strike: Strike | Output,
        open_s: float = OPEN_S,
        look_s: float = LOOK_S,
        show: Callable[[DoorEvent], None] = print_event,
        service: ServiceManager | None = None,
    ) -> None:
        check_pulse(open_s)
        if not 0 < look_s < math.inf:
            raise InputError(f"expected a look above 0 s, found {look_s!r}")
        self._recognizer, self._camera = recognizer, camera
        self._button, self._strike = button, strike
        self._open_s, self._look_s = open_s, look_s
        self._show = show
        self._service = ServiceManager.from_environment() if service is None else service
        self._pressed, self._stopped = threading.Event(), False

    def stop(self) -> None:
        """End `serve` after the press that it handles now; may be called in any thread."""
        self._stopped = True
        self._pressed.set()

    def serve(self) -> int:
        """Open the door for enrolled people until `stop` is called, the strike ends, or an exception is raised.

        Returns:
            Number of presses after which the door was opened.

        Raises:
            InputError: The strike is not inside its `with` block.
            AcquisitionError: The camera is missing or delivers no frame.
            GalleryError: The gallery cannot be read, or an attempt could not be counted.
        """
        opened = 0
        with contextlib.ExitStack() as stack:
            strike = self._strike
            if not isinstance(strike, Strike):
                strike = stack.enter_context(Strike(strike))
            elif not strike.ready:
                raise InputError(
                    "expected a strike inside its with block, found one that cannot open",
                    hint="with Strike(pin) as strike: DoorLock(..., strike=strike).serve()",
                )
            stack.callback(self._service.stopping)
            camera = _FeedingCamera(self._camera, self._service)
            if camera.live:
                stack.enter_context(camera)
            self._button.when_pressed = self._pressed.set
            stack.callback(setattr, self._button, "when_pressed", None)
            self._service.ready()
            self._show(DoorEvent(DoorEventKind.WAITING))
            # A signal whose exception was lost, for example in a callback, ends the strike.
            while not self._stopped and strike.ready:
                if not self._pressed.wait(self._service.interval_s):
                    camera.check()
                elif not self._stopped:
                    opened += self._look(camera, strike)
                    self._pressed.clear()
                    self._show(DoorEvent(DoorEventKind.WAITING))
        return opened

    def _look(self, camera: _FeedingCamera, strike: Strike) -> bool:
        """Make at most one attempt and open the door if it is accepted."""
        self._show(DoorEvent(DoorEventKind.PRESSED))
        answer: Recognition | None = None
        with contextlib.ExitStack() as stack:
            if not camera.live:
                stack.enter_context(camera)
            answers = self._recognizer.watch(camera, seconds=self._look_s, attempts=1)
            # An exception of `show` keeps the generator alive; closed, its attempt and its thread end.
            for item in stack.enter_context(contextlib.closing(answers)):
                kind = DoorEventKind.ANSWER if item.counted else DoorEventKind.GUIDANCE
                self._show(DoorEvent(kind, item))
                if item.counted:
                    answer = item
        if answer is None:
            self._show(DoorEvent(DoorEventKind.NO_ATTEMPT))
        return answer is not None and answer.accepted and strike.open(self._open_s)


class _FeedingCamera(WrappedCamera):
    """Camera that gives the service manager a sign of life for each frame.

    Args:
        camera: The camera.
        service: The service manager.
    """

    def __init__(self, camera: Camera, service: ServiceManager) -> None:
        super().__init__(camera)
        self._service = service

    def read(self) -> UInt8Array | None:
        """Read the next frame; see `Camera.read`."""
        frame = super().read()
        self._service.alive()
        return frame

    def check(self) -> None:
        """Check that a live camera delivers frames, and give a sign of life."""
        if self.live:
            self.read()
        else:
            self._service.alive()
