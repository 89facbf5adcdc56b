"""Messages that LiteRT writes to stderr without asking."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

_STDERR = 2
_DROPPED, _ABOUT = b"INFO: ", (b"TensorFlow Lite", b"delegate")
_redirecting = threading.Lock()


@contextlib.contextmanager
def info_lines_dropped() -> Iterator[None]:
    """Drop LiteRT's INFO lines from file descriptor 2; warnings, errors and the lines of other programs are kept.

    LiteRT names its XNNPACK delegate for every interpreter, and neither its Python interface nor an environment variable
    prevents this (2.3.0). The other lines appear when the block ends, also those of other threads. What is written immediately
    before the process crashes inside the block is lost. If stderr is closed, or nothing can be stored, nothing is dropped.
    """
    with _redirecting, contextlib.ExitStack() as stack:
        try:
            written = stack.enter_context(_memory())
            stderr = os.dup(_STDERR)
        except OSError:
            yield
            return
        try:
            os.dup2(written.fileno(), _STDERR)
            yield
        finally:
            os.dup2(stderr, _STDERR)
            written.seek(0)
            kept = b"".join(line for line in written if not _is_dropped(line))
            with contextlib.suppress(OSError):
                os.write(_STDERR, kept)
            os.close(stderr)


def _memory() -> BinaryIO:
    """Open a file in memory; on systems without one, a temporary file."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _is_dropped(line: bytes) -> bool:
    return line.startswith(_DROPPED) and any(word in line for word in _ABOUT)
