"""Run programs that return a secret or a counter: without a shell, with secrets in pipes only.

The program is searched on PATH or given by its absolute path.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge_sdk.errors import GalleryError

TIMEOUT_S = 20.0
MAX_OUTPUT_BYTES = 64 * 1024
_MAX_REASON_CHARACTERS = 160


def run_program(
    name: str, *arguments: str, hint: str, stdin: bytes = b"", timeout_s: float = TIMEOUT_S
) -> bytes:
    """Run a program and return its stdout.

    Args:
        name: Name or absolute path of the program.
        arguments: Arguments without secrets, because every user of the machine can read them.
        hint: Hint of errors: how to install the program or make it work.
        stdin: Input of the program.
        timeout_s: Time limit in seconds.

    Raises:
        GalleryError: the program is not on PATH, fails, exceeds the time limit, or writes more than 64 KiB.
    """
    import shutil
    import subprocess

    path = shutil.which(name)
    # A relative entry of PATH would run a program of the current folder.
    if path is None or not Path(path).is_absolute():
        raise GalleryError(f"the program {name} is not on PATH", hint=hint)
    try:
        done = subprocess.run(
            [path, *arguments], input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GalleryError(f"{name} did not end within {timeout_s:g} s", hint=hint) from error
    except OSError as error:
        raise GalleryError(f"cannot run {path}: {error.strerror}", hint=hint) from error
    if done.returncode != 0:
        raise GalleryError(f"{name} failed: {_reason(done.stderr) or f'exit {done.returncode}'}", hint=hint)
    if len(done.stdout) > MAX_OUTPUT_BYTES:
        raise GalleryError(
            f"expected at most {MAX_OUTPUT_BYTES} bytes of output from {name}, found {len(done.stdout)}"
        )
    return done.stdout


def _reason(stderr: bytes) -> str:
    """Return the line of stderr that most likely names the cause, in printable ASCII."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    # tpm2-tools end with general messages; the line with the TPM's response code names the cause.
    causes = [line for line in lines if re.search(r"\) - tpm:", line)] or lines
    reason = re.sub(r"[^\x20-\x7e]", "?", causes[-1]) if causes else ""
    return reason[:_MAX_REASON_CHARACTERS].rstrip(". ")
