"""Messages that LiteRT writes to stderr without asking."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

_STDERR = 2
_DROPPED = b"INFO: "
_redirecting = threading.Lock()


@contextlib.contextmanager
def info_lines_dropped() -> Iterator[None]:
    """Drop the INFO lines that native code writes to file descriptor 2; warnings, errors and all other lines are kept.

    LiteRT names its XNNPACK delegate for every interpreter, and neither its Python interface nor an environment variable
    prevents this (2.3.0). The other lines appear when the block ends. What is written immediately before the process
    crashes inside the block is lost.
    """
    with _redirecting, tempfile.TemporaryFile() as written:
        try:
            stderr = os.dup(_STDERR)
        except OSError:  # stderr is closed
            yield
            return
        os.dup2(written.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, _STDERR)
            written.seek(0)
            kept = b"".join(line for line in written if not line.startswith(_DROPPED))
            with contextlib.suppress(OSError):
                os.write(_STDERR, kept)
            os.close(stderr)
