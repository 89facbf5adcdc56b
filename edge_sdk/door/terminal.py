"""A door in the terminal: Enter presses the button, and the strike is drawn with the time for which it is open."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from edge_sdk.door.lock import DoorEvent, DoorEventKind
from edge_sdk.escaping import escaped_line

if TYPE_CHECKING:
    from edge_sdk.door.strike import Strike
    from edge_sdk.gallery.results import AttemptStatus

_REDRAW_S = 0.2
_ERASE_LINE = "\r\x1b[K"


class TerminalDoor:
    """Button, strike and display of a door without hardware.

    On a terminal each Enter is a press, and the line ``q`` ends. In a pipe each line is a press, read when the door
    waits for one; the end of the input ends.

    Args:
        lines: Source of presses, usually stdin.
        out: Where events are written, usually stdout.
        attempts: Returns the state of the attempt counter; None if attempts are not limited.
        as_json: True to write one JSON object per event.
        press_first: True for a press before the first line.

    Attributes:
        when_pressed: Function to call at each press, set by `DoorLock`.
        when_ended: Function to call at the end of the input.
        strike: The strike whose remaining time is drawn on a terminal.
        openings: Number of times the strike was energized.
    """

    def __init__(
        self,
        lines: TextIO,
        out: TextIO,
        *,
        attempts: Callable[[], AttemptStatus | None],
        as_json: bool = False,
        press_first: bool = False,
    ) -> None:
        self.when_pressed: Any = None
        self.when_ended: Callable[[], None] = lambda: None
        self.strike: Strike | None = None
        self._lines, self._out = lines, out
        self._attempts = attempts
        self._as_json = as_json
        self._press_first = press_first
        self._drawn = not as_json and out.isatty() and os.environ.get("TERM") != "dumb"
        self._open, self.openings = False, 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._waiting = threading.Event()
        for task in (self._read, *([self._redraw] if self._drawn else [])):
            threading.Thread(target=task, daemon=True).start()

    def on(self) -> None:
        """Draw the strike open."""
        self._turn(True)

    def off(self) -> None:
        """Draw the strike shut."""
        self._turn(False)

    def show(self, event: DoorEvent) -> None:
        """Write an event."""
        if event.kind is DoorEventKind.WAITING:
            status = self._attempts()
            self._write(_waiting_text(status), event="waiting", **_counts(status))
            self._waiting.set()
        elif event.kind is DoorEventKind.PRESSED:
            self._write("pressed: look at the camera", event="pressed")
        elif event.recognition is not None:
            answer = event.recognition
            decision = answer.decision.value.replace("_", " ")
            text = "guidance" if event.kind is DoorEventKind.GUIDANCE else decision
            self._write(
                f"{text}: {answer.subject or answer.reason}",
                event=event.kind.value,
                decision=answer.decision.value,
                subject=answer.subject,
                reason=answer.reason or None,
            )
        else:
            self._write("no attempt: no good picture of a face", event=event.kind.value)

    def close(self) -> None:
        """End the drawing."""
        self._closed.set()
        if self._drawn:
            with self._lock:
                self._out.write(_ERASE_LINE)
                self._out.flush()

    def _turn(self, is_open: bool) -> None:
        if is_open == self._open:
            return
        self._open = is_open
        self.openings += is_open
        self._write(f"strike {'OPEN' if is_open else 'shut'}", event="strike", open=is_open)

    def _write(self, text: str, **values: Any) -> None:
        line = json.dumps(values) if self._as_json else escaped_line(text)
        with self._lock:
            self._out.write(f"{_ERASE_LINE if self._drawn else ''}{line}\n")
            self._out.flush()

    def _read(self) -> None:
        from_terminal = self._lines.isatty()
        first = self._press_first
        while True:
            # On a terminal only the first press waits until the door is ready; later ones may come at any time.
            self._waiting.wait()
            if not from_terminal:
                self._waiting.clear()
            line = "\n" if first else self._lines.readline()
            first = False
            if not line or line.strip() == "q":
                self.when_ended()
                return
            if self.when_pressed is not None:
                self.when_pressed()

    def _redraw(self) -> None:
        self._waiting.wait()
        while not self._closed.wait(_REDRAW_S):
            left_s = 0.0 if self.strike is None else self.strike.open_left_s
            state = f"strike OPEN, {left_s:.1f} s left" if self._open else "strike shut"
            # A line that wraps could not be erased.
            line = f"[{state}]  Enter: press the button   q Enter: end "[
                : shutil.get_terminal_size().columns - 1
            ]
            with self._lock:
                if not self._closed.is_set():
                    self._out.write(f"{_ERASE_LINE}{line}")
                    self._out.flush()


def _counts(status: AttemptStatus | None) -> dict[str, Any]:
    if status is None or status.failures is None:
        return {}
    return {
        "attempts_before_wait": max(0, status.free - status.failures),
        "attempts_before_lockout": max(0, status.most - status.failures),
        "wait_s": round(status.next_try_s, 1),
    }


def _waiting_text(status: AttemptStatus | None) -> str:
    counts = _counts(status)
    if not counts:
        return "waiting for a press; attempts are not limited" if status is None else "waiting for a press"
    text = (
        f"waiting for a press; failed attempts left: {counts['attempts_before_wait']} before each must wait,"
        f" {counts['attempts_before_lockout']} before the door stays shut"
    )
    return f"{text}; wait {counts['wait_s']:.0f} s" if counts["wait_s"] else text
