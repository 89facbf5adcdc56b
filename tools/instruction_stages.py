"""Count the instructions of each stage of a frame; `tools.instructions` runs this program in qemu with its plugin.

Usage: instruction_stages.py COUNT EMBEDDER DETECTOR FRAME.npy; DETECTOR is "-" if the frame is an aligned crop. The program needs what a
device needs. It prints JSON.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version

import numpy as np

from edge_sdk.diagnostics.bench import BenchReferences, DevicePath

#: Frames before the counted ones, counted frames, and references of the comparison.
WARM_UP, FRAMES, REFERENCES = 2, 9, 1000


class InstructionClock:
    """Counts the instructions of this process without those of reading the clock.

    Args:
        path: File to which the plugin writes the count at each getsid system call.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._readings = 0
        self._overhead = 0.0
        readings = [self() for _ in range(20)]
        self._overhead = statistics.median(b - a for a, b in itertools.pairwise(readings))

    def __call__(self) -> float:
        """Return the number of instructions so far."""
        os.getsid(0)
        self._readings += 1
        return float(os.pread(self._file, 20, 0)) - self._readings * self._overhead


def main(count: str, embedder: str, detector: str, frame: str) -> None:
    """Run frames and print the smallest count of each stage.

    What disturbs a count, such as the growth of a table, adds instructions. Garbage collection is off, because it falls into a
    stage by chance.
    """
    clock = InstructionClock(count)
    path = DevicePath(embedder, detector=None if detector == "-" else detector, threads=1, clock=clock)
    path.references = BenchReferences.random(REFERENCES, path.embedder.dimension)
    pixels = np.load(frame)
    frames = []
    gc.disable()
    for index in range(WARM_UP + FRAMES):
        path.run(pixels)
        if index >= WARM_UP:
            frames.append(dict(path.laps.frame))
    stages = {name: round(min(counts[name] for counts in frames)) for name in frames[0]}
    versions = {name: version(name) for name in ("numpy", "ai-edge-litert")}
    print(
        json.dumps(
            {
                "machine": platform.machine(),
                "versions": {"python": platform.python_version(), **versions},
                "stages": stages,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
