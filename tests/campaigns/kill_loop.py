"""Repeatedly kill a process that changes a gallery, and count lost changes that were acknowledged.

    python tests/campaigns/kill_loop.py FOLDER KILLS

Change i enrols `s<i>` or, every third time, removes `s<i - 1>`, so the subjects after i changes
are known. The child process writes one byte to a pipe to acknowledge each change.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from edge_sdk.gallery import FileAnchor, Gallery, KeyFile


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
            gallery = Gallery.open(path, key=key, anchor=anchor)
            i = done
            while True:
                change(gallery, i)
                os.write(writer, b".")
                i += 1
        os.close(writer)
        time.sleep(dice.uniform(0.002, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            made = len(pipe.read())
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
    print(json.dumps({"kills": kills, "acknowledged": acknowledged, "in_flight": in_flight, "lost": lost}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
