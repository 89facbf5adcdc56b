"""Peak memory of a piece of Python in a process of its own."""

from __future__ import annotations

import subprocess
import sys

_AFTER = """
status = open('/proc/self/status').read()
print('\\npeak', status.split('VmHWM:')[1].split()[0])
"""


def peak_bytes(program: str, *arguments: str) -> int:
    """Run a program and return its peak resident memory in bytes.

    The peak is read from /proc: `getrusage` also counts the memory that the parent had when it started the process.
    """
    command = [sys.executable, "-c", program + _AFTER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rsplit("peak ", 1)[1]) * 1024
