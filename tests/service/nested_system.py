"""A Linux system with its own systemd, in namespaces of this machine; nothing on this machine changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
_NAMESPACES = "--mount --pid --cgroup --uts --ipc --net"
# systemd manages the whole tree below the cgroup in which its namespace begins, so it gets a cgroup of its own.
_ENTER = f"""
set -e
mount -t cgroup2 cgroup2 "$1"
mkdir "$1/$2"
echo $$ >"$1/$2/cgroup.procs"
umount "$1"
shift 2
exec unshare {_NAMESPACES} --fork --kill-child "$@"
"""
_REMOVE = """
mount -t cgroup2 cgroup2 "$1"
find "$1/$2" -depth -type d -exec rmdir {} +
"""
_JOIN = ("-m", "-p", "-C", "-u", "-i", "-n", "--root", "--wd")
_START_S = 120.0


class NestingUnavailableError(Exception):
    """A nested system cannot be started; the message states the reason."""


@dataclass(frozen=True)
class NestedSystem:
    """A running nested system.

    Args:
        pid: Process id of its systemd on this machine.
        exchange: Folder that is ``/opt/exchange`` in the system.
    """

    pid: int
    exchange: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root of the system."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": "/opt/exchange/board:/opt/edge-sdk",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), *_JOIN, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def show(self, name: str) -> str:
        """Return a property of the service door-lock."""
        return self.run("systemctl", "show", "door-lock", "--property", name, "--value").stdout.strip()

    def journal(self) -> str:
        """Return what the service printed."""
        return self.run("journalctl", "--no-pager", "--output", "cat", "--unit", "door-lock").stdout


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds; fail with `what` if it does not within `PATIENCE_S`."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.02)


@contextlib.contextmanager
def nested_system(folder: Path, exchange: Path) -> Iterator[NestedSystem]:
    """Start a nested system; it ends with the block.

    Args:
        folder: Empty folder.
        exchange: Folder for files that both systems read and write.

    Raises:
        NestingUnavailableError: The machine lacks a program or a right, or systemd does not start.
    """
    for program in ("unshare", "nsenter", "systemctl", "chroot"):
        if shutil.which(program) is None:
            raise NestingUnavailableError(f"{program} is not installed")
    if os.geteuid() != 0:
        raise NestingUnavailableError("namespaces and mounts need root")
    log, cgroup = folder.with_suffix(".log"), f"edge-sdk-test-{uuid.uuid4()}"
    enter = [str(HERE / "enter.sh"), str(folder), str(REPOSITORY)]
    enter += [sys.prefix, sys.base_prefix, str(exchange)]
    with log.open("w") as output:
        outer = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", _ENTER, "bash", str(folder), cgroup, *enter],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield NestedSystem(_first_process(outer, log), exchange)
    finally:
        outer.kill()
        outer.wait()
        _remove_cgroup(folder, cgroup)


def _remove_cgroup(folder: Path, cgroup: str) -> None:
    """Remove the system's cgroups, as soon as its last process has ended."""
    command = ["unshare", "--mount", "bash", "-c", _REMOVE, "bash", str(folder), cgroup]
    for _ in range(50):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)


def _first_process(outer: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until systemd has started and return its process id."""
    deadline_s = time.monotonic() + _START_S
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    state = ""
    while time.monotonic() < deadline_s and outer.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            pid = int(children.read_text().split()[0])
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                command = ["nsenter", "-t", str(pid), *_JOIN, "systemctl", "is-system-running"]
                state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return pid
        time.sleep(0.1)
    lines = [line for line in log.read_text().splitlines() if line]
    reason = lines[-1] if lines else f"its state was {state or 'unknown'} after {_START_S:g} s"
    raise NestingUnavailableError(f"systemd did not start: {reason}")
