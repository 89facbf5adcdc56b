"""Run another program for a secret or a counter: no shell, nothing secret in arguments or environment.

The program is found on PATH or given by its whole path. Secrets go through pipes only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from edge_sdk.errors import GalleryError

TIMEOUT_S = 20.0
MAX_OUTPUT_BYTES = 64 * 1024
_MAX_SAID = 160


def run_program(
    name: str, *arguments: str, hint: str, stdin: bytes = b"", timeout_s: float = TIMEOUT_S
) -> bytes:
    """What a program writes to stdout.

    Args:
        name: Its name, or its whole path.
        arguments: Nothing secret: every user of the machine can read them.
        hint: How to get the program, or make it work.
        stdin: What it reads.
        timeout_s: How long it may take.

    Raises:
        GalleryError: it is not there, fails, takes too long, or writes over 64 KiB.
    """
    found = shutil.which(name)
    # A relative entry of PATH would run what lies in the current folder.
    if found is None or not Path(found).is_absolute():
        raise GalleryError(f"the program {name} is not on PATH", hint=hint)
    try:
        done = subprocess.run(
            [found, *arguments], input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GalleryError(f"{name} did not answer within {timeout_s:g} s", hint=hint) from error
    except OSError as error:
        raise GalleryError(f"cannot run {found}: {error.strerror}", hint=hint) from error
    if done.returncode != 0:
        raise GalleryError(f"{name} failed: {_said(done.stderr) or f'exit {done.returncode}'}", hint=hint)
    if len(done.stdout) > MAX_OUTPUT_BYTES:
        raise GalleryError(f"{name} wrote {len(done.stdout)} bytes, at most {MAX_OUTPUT_BYTES} are read")
    return done.stdout


def _said(stderr: bytes) -> str:
    """The most telling line that a program left, fit for one line of a terminal."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    # tpm2-tools end with lines that say nothing; the cause is the one with the TPM's own answer.
    telling = [line for line in lines if re.search(r"\) - tpm:", line)] or lines
    plain = re.sub(r"[^\x20-\x7e]", "?", telling[-1]) if telling else ""
    return plain[:_MAX_SAID].rstrip(". ")
