"""Repeatedly kill a process that changes a gallery, and count lost changes that were acknowledged.

    python tests/campaigns/kill_loop.py FOLDER KILLS

Change i enrols `s<i>` or, every third time, removes `s<i - 1>`, so the subjects after i changes are known. The child
process writes a byte to a pipe at every step of its file system, and another one to acknowledge each change. It is
killed after a random number of acknowledged changes and further steps: by progress, not by time, so the result does
not depend on the speed of the machine.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from edge_sdk.gallery import FileAnchor, Gallery, KeyFile
from edge_sdk.gallery.store.files import PosixFileSystem

STEP, ACKNOWLEDGED = b"s", b"."
MOST_CHANGES = 2
MOST_STEPS = 24  # more steps than one change has


class ReportingFileSystem(PosixFileSystem):
    """Writes a byte to a pipe before every step that changes something on disk."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def create(self, path: Path) -> int:
        """Report and create a file."""
        os.write(self._pipe, STEP)
        return super().create(path)

    def write(self, handle: int, data: bytes) -> None:
        """Report and write half of the data, then the other half."""
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            os.write(self._pipe, STEP)
            super().write(handle, part)

    def fsync(self, handle: int) -> None:
        """Report and sync a file."""
        os.write(self._pipe, STEP)
        super().fsync(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Report and rename a file."""
        os.write(self._pipe, STEP)
        super().rename(source, target)

    def fsync_directory(self, path: Path) -> None:
        """Report and sync a directory."""
        os.write(self._pipe, STEP)
        super().fsync_directory(path)


def expected(changes: int) -> set[str]:
    """Return the subjects enrolled after a number of changes."""
    names: set[str] = set()
    for i in range(changes):
        if i % 3 == 2:
            names.discard(f"s{i - 1}")
        else:
            names.add(f"s{i}")
    return names


def change(gallery: Gallery, i: int) -> None:
    """Make change i."""
    if i % 3 == 2:
        gallery.remove(f"s{i - 1}")
    else:
        gallery.enrol(f"s{i}", np.full((1, 8), 1 + i, np.float32))


def run_child(folder: Path, key: KeyFile, first: int, pipe: int) -> None:
    """Make changes from number `first` on until the process is killed."""
    try:
        files = ReportingFileSystem(pipe)
        anchor = FileAnchor(folder / "kill.anchor", filesystem=files)
        gallery = Gallery.open(folder / "kill.gallery", key=key, anchor=anchor, filesystem=files)
        i = first
        while True:
            change(gallery, i)
            os.write(pipe, ACKNOWLEDGED)
            i += 1
    finally:
        os._exit(1)


def kill_after(child: int, pipe: int, changes: int, steps: int) -> int:
    """Kill the child after a number of acknowledged changes and further steps; return all changes it acknowledged."""
    acknowledged = seen = 0
    while acknowledged < changes or seen < steps:
        byte = os.read(pipe, 1)
        if not byte:
            raise RuntimeError("the process that changes the gallery has ended by itself")
        if byte == ACKNOWLEDGED:
            acknowledged += 1
        elif acknowledged >= changes:
            seen += 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(pipe, "rb") as rest:
        return acknowledged + rest.read().count(ACKNOWLEDGED)


def main(folder: Path, kills: int) -> None:
    """Run the loop and print one JSON object."""
    path, anchor = folder / "kill.gallery", FileAnchor(folder / "kill.anchor")
    key = KeyFile.create(folder / "kill.key")
    Gallery.create(path, key=key, model_id=bytes(32), dimension=8, anchor=anchor)
    dice = random.Random(1)
    done = acknowledged = lost = in_flight = 0
    for _ in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            run_child(folder, key, done, writer)
        os.close(writer)
        made = kill_after(child, reader, dice.randint(0, MOST_CHANGES), dice.randint(0, MOST_STEPS))
        acknowledged += made
        names = {s.name for s in Gallery.open(path, key=key, anchor=anchor).subjects()}
        if names == expected(done + made):
            done += made
        elif names == expected(done + made + 1):
            done += made + 1
            in_flight += 1
        else:
            lost += 1
            break
    intact = Gallery.open(path, key=key, anchor=anchor).audit.report().intact
    report = {
        "kills": kills,
        "acknowledged": acknowledged,
        "in_flight": in_flight,
        "lost": lost,
        "intact": intact,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
