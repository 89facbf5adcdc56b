"""Number of threads with which a network runs: one for each performance core, at most four."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from edge_sdk.errors import InputError

#: More threads wait for each other at the small layers of a network and gain nothing.
MAX_DEFAULT = 4
#: A core is a performance core if its capacity is at least this share of the largest one. The slow cores of processors with
#: two kinds have at most about three quarters; equal cores differ by a few percent in their highest clock.
_LEAST_SHARE = 0.8
#: Files that state the capacity of a core: relative to the fastest one (ARM), or its highest clock in kHz.
_CAPACITIES = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")


def thread_count(threads: int | None) -> int:
    """Return a number of threads, or the default of this device for None.

    Raises:
        InputError: The number is not an integer of 1 or more.
    """
    if threads is None:
        return default_threads()
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"expected 1 or more interpreter threads, found {threads!r}")
    return threads


def two_fit(threads: int | None) -> bool:
    """Return True if two networks with this number of threads each have a performance core for every thread.

    Otherwise two networks at the same time take longer than one after the other, because threads wait for each other.

    Args:
        threads: Number of threads; None for the default, with which two networks never fit.
    """
    return 2 * thread_count(threads) <= default_threads()


@lru_cache(maxsize=1)
def default_threads() -> int:
    """Return the number of performance cores that this process may use, 1..4."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return count_threads(affinity(0) if affinity else range(os.cpu_count() or 1))


def count_threads(cores: Iterable[int], root: Path = Path("/")) -> int:
    """Count the performance cores among some cores, within the limit of the process's control group; 1..4.

    Args:
        cores: Numbers of the cores that the process may use.
        root: Folder that contains ``sys`` and ``proc``.
    """
    cores = tuple(cores)
    performance = len(cores)
    for name in _CAPACITIES:
        values = [_whole(root / f"sys/devices/system/cpu/cpu{core}" / name) for core in cores]
        capacities = [value for value in values if value is not None]
        if capacities and len(capacities) == len(cores):
            performance = sum(value >= _LEAST_SHARE * max(capacities) for value in capacities)
            break
    # Round a share of a core down: a thread that waits for its share makes the others wait.
    return max(1, min(performance, MAX_DEFAULT, *(int(quota) for quota in _quotas(root))))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the processor limits, in cores, of the process's control group and of the groups above it (cgroup v2)."""
    group = next(
        (line[3:] for line in _text(root / "proc/self/cgroup").splitlines() if line[:3] == "0::"), ""
    )
    top = root / "sys/fs/cgroup"
    folder = top / group.strip("/")
    for place in (folder, *folder.parents):
        limit, _, period = _text(place / "cpu.max").partition(" ")
        if limit.isdigit() and period.strip().isdigit() and int(period):
            yield int(limit) / int(period)
        if place == top:
            return


def _whole(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:4096].decode(errors="replace")
    except (OSError, ValueError):
        return ""
