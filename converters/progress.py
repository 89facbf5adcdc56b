"""Show the stages of the work on stderr: a progress bar on a terminal; otherwise, for a command, one line for each stage."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from edge_sdk.escaping import escaped_line

#: Called with (done, total).
Progress = Callable[[int, int], None]
#: Takes the name of a stage and returns a context manager that provides a ``Progress``, such as ``stage``.
Stages = Callable[[str], Any]
#: Time after which a stage that still runs gets a further line, and again after each such time.
REMINDER_S = 30.0


@dataclass(frozen=True)
class _Log:
    """Lines on stderr, each with the program's name and the time since its start."""

    program: str
    began_s: float

    def line(self, text: str) -> None:
        with suppress(OSError):  # the work goes on if nobody reads stderr
            elapsed = time.monotonic() - self.began_s
            print(f"{self.program}: [{elapsed:.0f} s] {text}", file=sys.stderr, flush=True)


_log: ContextVar[_Log | None] = ContextVar("_log", default=None)


@contextmanager
def logged_stages(program: str) -> Iterator[None]:
    """While the block runs, print one line for each stage that ends, if stderr is no terminal.

    A program that uses the library gets no lines, because stderr is its own.

    Args:
        program: Name before each line, such as ``edge-convert``.
    """
    token = _log.set(_Log(program, time.monotonic()))
    try:
        yield
    finally:
        _log.reset(token)


@contextmanager
def stage(label: str) -> Iterator[Progress]:
    """Show one stage of the work on stderr while the block runs."""
    label = escaped_line(label)
    if not sys.stderr.isatty():
        log = _log.get()
        with nullcontext(lambda done, total: None) if log is None else _lines(log, label) as progress:
            yield progress
        return
    from tqdm import tqdm

    with tqdm(
        desc=label,
        leave=False,
        file=sys.stderr,
        bar_format="{desc} {percentage:3.0f}% {bar} {elapsed}",
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


@contextmanager
def _lines(log: _Log, label: str) -> Iterator[Progress]:
    """Print a line when the stage has ended, and reminders while it runs."""
    began_s = time.monotonic()
    ended = threading.Event()
    state = ""

    def update(done: int, total: int) -> None:
        nonlocal state
        state = f", {done} of {total}"

    def remind() -> None:
        while not ended.wait(REMINDER_S):
            log.line(f"{label}: {time.monotonic() - began_s:.0f} s so far{state}")

    threading.Thread(target=remind, daemon=True).start()
    try:
        yield update
    finally:
        ended.set()
    log.line(f"{label}: {time.monotonic() - began_s:.1f} s")
