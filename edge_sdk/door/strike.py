"""Strike of a door: energized for a limited time, and released at every end of the program."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType, TracebackType
from typing import Any

from edge_sdk.door.pins import Output
from edge_sdk.errors import InputError

#: Signals that end the program. The strike is released before the program notices them.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Longest pulse: a strike that is energized for longer may overheat, and the door is left open.
MOST_OPEN_S = 60.0
_NEW_DEADLINE = b"\0"
_EXIT_NOT_RELEASED = 70
# Signals that follow the first one within this time raise nothing: their exception would cut the end of the block short.
_SAME_END_S = 1.0
# The thread releases the strike before the main thread gets the exception; longer if the main thread holds a lock.
_RELEASE_S = 0.05


class Strike:
    """Releases a strike after its time, at a signal, after an error and at the end of the program.

    Use it in a `with` block around everything else, so that the strike is released before networks are loaded. A separate
    thread ends the pulse and reacts to SIGTERM, SIGINT, SIGHUP and SIGQUIT: it releases the strike while the main thread is
    inside a camera's driver or a network. After that `open` does nothing. SIGKILL, SIGSTOP and a crash of the interpreter
    end or stop the thread as well; then only the service manager (`ExecStopPost=`) or hardware releases the strike.

    The handlers are set only in the main thread. SIGINT then raises KeyboardInterrupt, the other signals SystemExit(0).
    Signals that follow within a second, and signals at the end of the block, raise nothing. Ctrl-Z (SIGTSTP) is ignored,
    because a stopped program would not end a pulse.

    Args:
        output: The pin; released at once.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._until: float | None = None
        self._ended = False
        self._thread: threading.Thread | None = None
        self._reader: socket.socket | None = None
        self._writer: socket.socket | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._previous_fd = -1
        self._signalled_s = -_SAME_END_S
        self._closing = False
        self._signal_handled = threading.Event()
        output.off()

    @property
    def ready(self) -> bool:
        """True inside the `with` block, until `end` or a signal: `open` energizes the strike."""
        return self._thread is not None and not self._ended

    @property
    def open_left_s(self) -> float:
        """Rest of the pulse in seconds; 0 if the strike is shut."""
        until = self._until
        return 0.0 if until is None else max(0.0, until - time.monotonic())

    def __enter__(self) -> Strike:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._reader, self._writer = reader, writer
        self._ended = self._closing = False
        self._signal_handled.clear()
        self._thread = threading.Thread(target=self._watch_over, name="strike", daemon=True)
        self._thread.start()
        if threading.current_thread() is threading.main_thread():
            # The interpreter writes the number of each signal to this socket, whatever the main thread is doing.
            self._previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            self._handlers = {number: signal.signal(number, self._end_program) for number in SIGNALS}
            self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self.end()
        if self._handlers:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._previous_fd)
            self._handlers = {}
        self._wake()
        if self._thread is not None:
            self._thread.join()
        for end in (self._reader, self._writer):
            if end is not None:
                end.close()
        self._thread = self._reader = self._writer = None

    def open(self, seconds: float) -> bool:
        """Energize the strike; the thread releases it after this time.

        Args:
            seconds: Time of the pulse, above 0 and at most `MOST_OPEN_S`.

        Returns:
            True; False if nothing was done, because the strike is not `ready`.

        Raises:
            InputError: The time is out of range.
        """
        check_pulse(seconds)
        with self._lock:
            if not self.ready:
                return False
            # The thread knows the deadline before the strike is energized.
            self._until = time.monotonic() + seconds
            self._wake()
            energized = False
            try:
                self._output.on()
                energized = True
            finally:
                if not energized:
                    self._release()
            return True

    def end(self) -> None:
        """Release the strike for good."""
        with self._lock:
            self._ended = True
            self._release()

    def _release(self) -> None:
        self._until = None
        self._output.off()

    def _wake(self) -> None:
        if self._writer is not None:
            # If the socket is full, the thread has not yet read the last ones and wakes in any case.
            with contextlib.suppress(BlockingIOError):
                self._writer.send(_NEW_DEADLINE)

    def _watch_over(self) -> None:
        complete = False
        try:
            while self._wait():
                pass
            complete = True
        finally:
            if not complete:
                # Nothing in this process releases the strike any more: end it, so that the service manager does.
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(_EXIT_NOT_RELEASED)

    def _wait(self) -> bool:
        """Wait for a signal, the end of a pulse or a new one; return False after the end."""
        reader, until = self._reader, self._until
        if reader is None:
            return False
        timeout = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([reader], [], [], timeout)
        if ready and not set(reader.recv(4096)).isdisjoint(SIGNALS):
            self.end()
            self._signal_handled.set()
        with self._lock:
            if self._until is not None and time.monotonic() >= self._until:
                self._release()
            # Only `__exit__` ends the thread after a signal: it waits for it.
            return not (self._ended and not self._handlers)

    def _end_program(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._closing or now_s - self._signalled_s < _SAME_END_S:
            return
        self._signalled_s = now_s
        self._signal_handled.wait(_RELEASE_S)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(0)


def check_pulse(seconds: float) -> None:
    """Raise InputError unless a time is above 0 and at most `MOST_OPEN_S`, in seconds."""
    if not 0 < seconds <= MOST_OPEN_S:
        raise InputError(f"expected a pulse above 0 and at most {MOST_OPEN_S:g} s, found {seconds!r}")
