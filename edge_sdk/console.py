"""How both command lines speak: stdout is data, stderr is one line for an error and one for the way out.

Exit codes: 0 done or match, 1 a clean negative, 2 usage, 3 an error of the SDK's tree, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator

from edge_sdk.errors import EdgeSdkError

CLEAN_NEGATIVE, FAILED, INTERRUPTED = 1, 3, 130


def run(program: str, command: Callable[[], int], *, negatives: tuple[type[EdgeSdkError], ...] = ()) -> int:
    """Run one command and turn the SDK's errors into lines and exit codes.

    Args:
        program: Such as ``edge-sdk``.
        command: Does the work and returns its exit code.
        negatives: Errors that are a clean negative, exit 1.
    """
    try:
        # A file's name may hold what the terminal's encoding cannot say; it must not end a command.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        with native_logs_off():
            code = command()
            sys.stdout.flush()
            return code
    except EdgeSdkError as error:
        say(program, f"error: {error}")
        if error.hint:
            say(program, f"hint: {error.hint}")
        return CLEAN_NEGATIVE if isinstance(error, negatives) else FAILED
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        _discard_stdout()
        return FAILED
    except OSError as error:
        say(program, f"error: {error.filename or 'cannot read or write'}: {error.strerror or error}")
        _discard_stdout()
        return FAILED
    except KeyboardInterrupt:
        say(program, "interrupted")
        return INTERRUPTED


def _discard_stdout() -> None:
    """Turn what is still buffered for stdout away, or Python tries it again at exit and complains itself."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        if sys.stdout.fileno() == 1:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.close(sink)


def say(program: str, line: str) -> None:
    """One line for a person, on stderr."""
    print(f"{program}: {line}", file=sys.stderr)


@contextlib.contextmanager
def native_logs_off() -> Iterator[None]:
    """Keep what native libraries write to stderr away from the user; Python's stderr stays.

    LiteRT announces its delegate with every interpreter and has no switch for it. Only descriptor 2 is
    turned away, and only where Python's own stderr writes to it, so a captured stderr is left alone.
    """
    try:
        own = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        yield
        return
    if own != 2:
        yield
        return
    python_stderr, kept = sys.stderr, os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    python_stderr.flush()
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=python_stderr.encoding, errors="replace") as stream:
        os.dup2(sink, 2)
        sys.stderr = stream
        try:
            yield
        finally:
            stream.flush()
            sys.stderr = python_stderr
            os.dup2(kept, 2)
            os.close(kept)
            os.close(sink)
