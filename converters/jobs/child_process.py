"""Python programs in a process of their own, so that memory, crashes and noise of other people's code stay there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_logged(
    arguments: Sequence[str], folder: Path, *, environment: Mapping[str, str], timeout_s: float
) -> tuple[int, bytes]:
    """Run Python in a folder, where libraries may drop files.

    Args:
        arguments: What follows the interpreter's name.
        folder: Where it runs; its words go to ``log.txt`` there.
        environment: All its variables.
        timeout_s: How long it may take.

    Returns:
        The exit code, negative for a signal; and all that it said, on both streams.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was ended.
    """
    log = folder / "log.txt"
    with log.open("wb") as stream:
        code = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        ).returncode
    return code, log.read_bytes()
