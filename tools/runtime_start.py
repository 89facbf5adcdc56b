"""Start one peer of `tools.compare_runtimes` in this fresh process: print its first decision, then its peak memory.

Usage: ``python -m tools.runtime_start PEER MODELS ZOO FOLDER``. The peer decides ten more times before its memory is read. This module
imports only what the peer needs, because the caller measures the time until the decision.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tools.runtime_peers import peers


def main(name: str, models: str, zoo: str, folder: str) -> None:
    """Open the peer and decide."""
    frame = np.load(Path(folder) / "frame.npy")
    peer = peers(Path(models), Path(zoo), clocked=False)[name]()
    peer.load(Path(folder))
    print(peer.identify(frame), flush=True)
    for _ in range(10):
        peer.identify(frame)
    # The kernel's maximum of this program alone; getrusage includes that of the process that started it.
    status = Path("/proc/self/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
