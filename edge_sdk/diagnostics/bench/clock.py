"""Clocks for the stages of the device path. They do not change its results."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar, cast

from edge_sdk.runtime.backends.base import InputBackend

AnyBackend = TypeVar("AnyBackend", bound=InputBackend)
#: Returns a growing number: seconds, or another measure of work such as instructions.
Clock = Callable[[], float]
#: Called with the start and end of an interpreter's run, as the clock returned them.
Invoked = Callable[[float, float], None]
#: Suffix of a stage's name for the part that runs in the interpreter.
NETWORK = " network"


class Laps:
    """Time or memory of each stage of a frame, with the interpreter's part as a separate stage.

    Args:
        clock: Clock of the stages.

    Attributes:
        traced: Measure memory instead of time; ``tracemalloc`` must be running.
        frame: For each stage since ``start``, in order: time by the clock, or if traced, the peak of newly allocated bytes.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.traced = False
        self.frame: dict[str, float] = {}
        self._invoked: list[tuple[float, float]] = []
        self._held = 0
        self._began = 0.0

    def start(self) -> None:
        """Begin a frame."""
        self.frame = {}
        self._begin()

    def invoked(self, began: float, ended: float) -> None:
        """Record a run of an interpreter in the current stage."""
        self._invoked.append((began, ended))

    def lap(self, stage: str) -> None:
        """End a stage and begin the next one."""
        ended = self.clock()
        if self.traced:
            self.frame[stage] = tracemalloc.get_traced_memory()[1] - self._held
        elif stage == "embed":
            ((invoked, done),) = self._invoked
            self.frame["encode"] = invoked - self._began
            self.frame["embed" + NETWORK] = done - invoked
            self.frame["decode"] = ended - done
        else:
            networks = sum(done - began for began, done in self._invoked)
            self.frame[stage] = ended - self._began - networks
            if self._invoked:
                self.frame[stage + NETWORK] = networks
        self._begin()

    def _begin(self) -> None:
        self._invoked = []
        if self.traced:
            tracemalloc.reset_peak()
            self._held = tracemalloc.get_traced_memory()[0]
        self._began = self.clock()


def clocked(backend: AnyBackend, on_invoked: Invoked, clock: Clock = time.perf_counter) -> AnyBackend:
    """Wrap a backend so that it reports the start and end of each run; all else is passed to the backend."""
    return cast(AnyBackend, _Clocked(backend, on_invoked, clock))


class _Clocked:
    def __init__(self, backend: InputBackend, on_invoked: Invoked, clock: Clock) -> None:
        self._backend = backend
        self._on_invoked = on_invoked
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def invoke(self) -> None:
        """Invoke the wrapped backend and report its start and end."""
        began = self._clock()
        self._backend.invoke()
        self._on_invoked(began, self._clock())
