"""Clocks around the parts of the device path; none changes what a part computes."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edge_sdk.runtime.backends.base import Backend, NetworkBackend

#: Told when an interpreter began and ended, in seconds of ``time.perf_counter``.
Invoked = Callable[[float, float], None]
#: Ends the name of an interpreter's part of a stage.
NETWORK = " network"


class Laps:
    """What each stage of a frame took, its interpreter's part apart; or, where traced, what it allocated at most.

    Attributes:
        traced: Measure memory in place of time; ``tracemalloc`` must be on.
        frame: Of the frame since ``start``: seconds or bytes by stage, in the order they ran.
    """

    def __init__(self) -> None:
        self.traced = False
        self.frame: dict[str, float] = {}
        self._invoked: list[tuple[float, float]] = []
        self._held = 0
        self._began = 0.0

    def start(self) -> None:
        """A frame begins."""
        self.frame = {}
        self._begin()

    def invoked(self, began: float, ended: float) -> None:
        """An interpreter ran in this stage."""
        self._invoked.append((began, ended))

    def lap(self, stage: str) -> None:
        """A stage has ended and the next begins."""
        ended = time.perf_counter()
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
        self._began = time.perf_counter()


class ClockedBackend:
    """A backend that tells when it ran."""

    def __init__(self, backend: Backend, told: Invoked) -> None:
        self.runtime, self.kernels = backend.runtime, backend.kernels
        self.input, self.output = backend.input, backend.output
        self._backend = backend
        self._told = told

    def input_view(self) -> NDArray[Any]:
        """The backend's own."""
        return self._backend.input_view()

    def invoke(self) -> None:
        """Run, and tell."""
        began = time.perf_counter()
        self._backend.invoke()
        self._told(began, time.perf_counter())

    def output_view(self) -> NDArray[Any]:
        """The backend's own."""
        return self._backend.output_view()


class ClockedNetwork:
    """The same of a network with several outputs."""

    def __init__(self, backend: NetworkBackend, told: Invoked) -> None:
        self.input, self.outputs = backend.input, backend.outputs
        self._backend = backend
        self._told = told

    def input_view(self) -> NDArray[Any]:
        """The backend's own."""
        return self._backend.input_view()

    def invoke(self) -> None:
        """Run, and tell."""
        began = time.perf_counter()
        self._backend.invoke()
        self._told(began, time.perf_counter())

    def output_view(self, position: int) -> NDArray[Any]:
        """The backend's own."""
        return self._backend.output_view(position)
