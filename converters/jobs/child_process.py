"""Run Python programs in child processes, so that their memory use, crashes and output do not affect the parent.

A job is a folder. The parent writes ``request.json``, arrays (``NAME.npy``) and files into it; the child runs
there and writes arrays and files, and ``result.json`` last. Both ends are in this package: ``run_job`` here, ``serve``
in ``worker``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.jobs.worker import PROGRESS, REQUEST, RESULT

#: Reason for the end of a child: an error in ``result.json``, an exit without a result, a signal, or the time limit.
End = Literal["reported", "no result", "crashed", "timeout"]

_MAX_LOG_BYTES = 1 << 20
_NOISE = re.compile(r"^([IWE]\d{4} |WARNING: All log messages|\s|Traceback |\d{4}-\d\d-\d\d |INFO: |WARNING)")
_OUT_OF_MEMORY = "the machine may have run out of memory"


class ChildError(ConversionError):
    """A child process reported an error or ended without a result.

    Args:
        message: The error that the child reported. If there is none, a phrase to put after the program's name, such
            as "crashed (SIGSEGV)".
        end: Reason for the end of the child.
        log: The child's output.
        hint: What to do.
    """

    def __init__(self, message: str, end: End, *, log: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.end, self.log = end, log


@dataclass(frozen=True)
class JobResult:
    """The result of a job; its files can be read until the job's folder is removed.

    Args:
        value: Content of ``result.json``.
        folder: The job's folder.
        log: The child's output.
    """

    value: Mapping[str, Any]
    folder: Path
    log: str

    def array(self, name: str) -> NDArray[Any]:
        """Load an array that the child wrote."""
        loaded: NDArray[Any] = np.load(self.folder / f"{name}.npy")
        return loaded

    def file(self, name: str) -> bytes:
        """Read a file that the child wrote."""
        return (self.folder / name).read_bytes()


@contextmanager
def run_job(
    program: Sequence[str],
    request: Mapping[str, Any],
    *,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    files: Mapping[str, bytes] | None = None,
    variables: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[JobResult]:
    """Run a job in a temporary folder, which exists as long as the block runs.

    Args:
        program: The interpreter's arguments, such as ``("-m", "package.module")``; the program calls ``serve``.
        request: JSON values for the child.
        arrays: Arrays for the child, by name.
        files: Files for the child, by name.
        variables: Environment variables in addition to those of ``environment``.
        timeout_s: Longest time in seconds; None for no limit.
        progress: Called with (done, 1000): the completed thousandths of the work.

    Raises:
        ChildError: The child reported an error, crashed, exited without a result or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as name:
        folder = Path(name)
        for array_name, array in (arrays or {}).items():
            np.save(folder / f"{array_name}.npy", array)
        for file_name, data in (files or {}).items():
            (folder / file_name).write_bytes(data)
        (folder / REQUEST).write_text(json.dumps(request))
        code, log = run_logged(
            [*program, str(folder)],
            folder,
            variables={**environment(folder), **(variables or {})},
            timeout_s=timeout_s,
            progress=progress,
        )
        if not (folder / RESULT).is_file():
            reason = last_line(log) or f"exit code {code}"
            raise ChildError(f"exited without a result: {reason}", "no result", log=log)
        value: dict[str, Any] = json.loads((folder / RESULT).read_text())
        if "error" in value:
            raise ChildError(value["error"], "reported", log=log, hint=value.get("hint"))
        yield JobResult(value, folder, log)


def run_logged(
    arguments: Sequence[str],
    folder: Path,
    *,
    variables: Mapping[str, str],
    timeout_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, str]:
    """Run Python with a folder as its working directory, because some libraries write files there.

    Args:
        arguments: The interpreter's arguments.
        folder: The working directory; the child's output is collected in its ``log.txt``.
        variables: The whole environment.
        timeout_s: Longest time in seconds; None for no limit.
        progress: Called with (done, 1000) for each line of ``report_progress`` on the child's stdout.

    Returns:
        The exit code, and up to 1 MiB from the end of the output of both streams.

    Raises:
        ChildError: The child took too long, or a signal ended it.
    """
    log = folder / "log.txt"
    with log.open("wb") as stream:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=stream if progress is None else subprocess.PIPE,
            stderr=stream,
        )
        expired = threading.Event()

        def stop() -> None:
            expired.set()
            child.kill()

        timer = threading.Timer(timeout_s or 0.0, stop)
        timer.daemon = True
        if timeout_s is not None:
            timer.start()
        with child:
            try:
                for line in child.stdout or ():
                    if progress is not None and line.startswith(PROGRESS):
                        progress(round(1000 * float(line.removeprefix(PROGRESS))), 1000)
                    else:
                        stream.write(line)
                child.wait()
            except BaseException:
                child.kill()  # an interrupted parent leaves no child behind
                raise
            finally:
                timer.cancel()
    text = log.read_bytes()[-_MAX_LOG_BYTES:].decode(errors="replace")
    if expired.is_set():
        raise ChildError(f"took longer than {timeout_s:g} s", "timeout", log=text)
    if child.returncode < 0:
        hint = _OUT_OF_MEMORY if -child.returncode == signal.SIGKILL else None
        message = f"crashed ({signal.Signals(-child.returncode).name})"
        raise ChildError(message, "crashed", log=text, hint=hint)
    return child.returncode, text


def environment(folder: Path) -> dict[str, str]:
    """Return environment variables with which a child prints few logs, uses the CPU and repeats its results exactly.

    Args:
        folder: The child's folder, also the value of ``KERAS_HOME``.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS",)}
    root = str(Path(__file__).resolve().parents[2])
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_DETERMINISTIC_OPS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN rounds differently on each kind of processor
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": str(folder),  # a user's keras.json could change the image layout
        "OPENBLAS_NUM_THREADS": "1",
    }


def last_line(log: str) -> str:
    """Return the last line of a log, ignoring blank lines, traceback frames and lines of loggers; empty if none is left."""
    lines = [line.rstrip() for line in log.splitlines()]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    return telling[-1][:300] if telling else ""
