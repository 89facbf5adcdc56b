"""Output and exit codes of both command lines.

Results go to stdout. Errors go to stderr: one line with the error and, if there is one, one line with a hint.
Exit codes: 0 done or match, 1 no match or a problem, 2 usage, 3 error, 130 interrupted. An exception that no part of
the program expects is an error as well: one line, a hint, and the traceback if EDGE_SDK_DEBUG is set.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from edge_sdk.errors import EdgeSdkError
from edge_sdk.escaping import escaped_line
from edge_sdk.imports import describe, numpy_cure

CLEAN_NEGATIVE, FAILED, INTERRUPTED = 1, 3, 130
#: Environment variable that prints the traceback of an unexpected exception.
DEBUG = "EDGE_SDK_DEBUG"


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors contain no control characters of the arguments."""

    def error(self, message: str) -> NoReturn:
        """Print the error and how to get help to stderr and exit with 2; the usage, up to 20 lines, would bury the error."""
        program = self.prog.split()[0]
        self.exit(
            2,
            f"{self.prog}: error: {escaped_line(message)}\n{program}: hint: {self.prog} --help prints the options\n",
        )


def run(program: str, command: Callable[[], int], *, negatives: tuple[type[EdgeSdkError], ...] = ()) -> int:
    """Run one command and turn the SDK's errors into lines on stderr and exit codes.

    Args:
        program: Name of the program, such as ``edge-sdk``.
        command: Does the work and returns its exit code.
        negatives: Errors that exit with 1 instead of 3.

    Returns:
        The exit code.
    """
    _open_standard_streams()
    try:
        # A file name may have characters that the terminal's encoding lacks; printing it must not fail.
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
        # The program that reads stdout has ended, as in `edge-sdk ... | head`. This is not an error to report.
        _discard_stdout()
        return FAILED
    except OSError as error:
        say(program, f"error: {error.filename or 'cannot read or write'}: {error.strerror or error}")
        _discard_stdout()
        return FAILED
    except KeyboardInterrupt as stop:
        say(program, str(stop) or "interrupted")
        return INTERRUPTED
    # Python would exit with 1, which means "no match".
    except Exception as error:  # noqa: BLE001
        _report_fault(program, error)
        _discard_stdout()
        return FAILED


def _open_standard_streams() -> None:
    """Open the null device for standard streams that are closed.

    The next file that is opened, such as a gallery, would otherwise get the descriptor of stderr, to which native code
    writes messages; and Python has None for the stream.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+" if descriptor == 0 else "w"))  # noqa: PTH123, SIM115


def _report_fault(program: str, error: Exception) -> None:
    """Print one line about an exception that no part of the program expects, and its traceback if `DEBUG` is set."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    say(program, f"error: unexpected {describe(error).rstrip('.')}")
    say(
        program, f"hint: {numpy_cure(str(error)) or f'set {DEBUG}=1 to see where it happened, and report it'}"
    )


def _discard_stdout() -> None:
    """Discard what is still buffered for stdout; otherwise Python tries to write it at exit and prints an error."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        if sys.stdout.fileno() == 1:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.close(sink)


def say(program: str, line: str) -> None:
    """Print one line to stderr, after the program's name."""
    print(f"{program}: {escaped_line(line)}", file=sys.stderr)


def enable_completion(parser: argparse.ArgumentParser) -> None:
    """Print completions and exit if the shell asks for them and argcomplete is installed; otherwise do nothing.

    Args:
        parser: Parser of the whole command line.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


@contextlib.contextmanager
def native_logs_off() -> Iterator[None]:
    """Hide what native libraries write to stderr; Python's own stderr stays visible.

    LiteRT prints its delegate's name for every interpreter, and no option prevents this. Only file descriptor 2 is
    redirected, and only if Python's stderr writes to it, so a captured stderr is not affected.
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
