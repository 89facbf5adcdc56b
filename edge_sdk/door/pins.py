"""Protocols of the two pins of a door lock, and pins without hardware for tests and demonstrations.

`gpiozero.Button` and `gpiozero.DigitalOutputDevice` satisfy the protocols.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol


class Output(Protocol):
    """Pin that energizes the strike."""

    def on(self) -> None:
        """Energize the strike."""

    def off(self) -> None:
        """Release the strike."""


class Button(Protocol):
    """Button beside the door.

    Attributes:
        when_pressed: Function to call at each press, in any thread; None to call nothing.
    """

    when_pressed: Any


class MockOutput:
    """Output pin without hardware that records its changes.

    Attributes:
        is_on: True while the strike is energized.
        changes: Time of each change (`time.monotonic`) and the new state, from the first call on.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.changes: list[tuple[float, bool]] = []
        self._changed = threading.Condition()

    def on(self) -> None:
        """Energize the strike."""
        self._set(True)

    def off(self) -> None:
        """Release the strike."""
        self._set(False)

    def wait_until(self, on: bool, *, seconds: float) -> bool:
        """Wait for a state; return False if it was not reached in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_on == on, seconds)

    def _set(self, on: bool) -> None:
        with self._changed:
            self.is_on = on
            self.changes.append((time.monotonic(), on))
            self._changed.notify_all()


class MockButton:
    """Button without hardware.

    Attributes:
        when_pressed: Function to call at each press.
    """

    def __init__(self) -> None:
        self.when_pressed: Callable[[], Any] | None = None

    def press(self) -> None:
        """Press and release the button."""
        if self.when_pressed is not None:
            self.when_pressed()
