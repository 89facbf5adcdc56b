"""Resident memory of a process, from Linux's process status."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """Return the peak physical memory of this program since its start, in bytes."""
    try:
        # getrusage also counts the process that started this one.
        peak_kib = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        peak_kib = None
    if peak_kib is not None:
        return int(peak_kib[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
