"""Measure opening a large gallery and one durable enrolment into it.

    python tools/bench_gallery.py [--subjects 10000] [--dimension 512] [--folder .]

Prints one JSON object: medians and worst of the rounds, in milliseconds. The folder should lie on
the medium that matters, since a durable enrolment waits for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_sdk.gallery import FileAnchor, Gallery, KeyFile


def measure(work: Callable[[int], object], rounds: int) -> dict[str, float]:
    """Median and worst time of `work(round)`, in milliseconds."""
    times_ms = []
    for i in range(rounds):
        start_s = time.perf_counter()
        work(i)
        times_ms.append(1e3 * (time.perf_counter() - start_s))
    return {"median": round(statistics.median(times_ms), 2), "worst": round(max(times_ms), 2)}


def main() -> None:
    """Build a gallery of random unit vectors, one template per subject, and time it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--suite", default="aes-256-gcm")
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    random = np.random.default_rng(1)
    embeddings = random.normal(size=(options.subjects + options.rounds, options.dimension)).astype(np.float32)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "bench.gallery"
        key = KeyFile.create(Path(folder) / "bench.key")
        anchor = FileAnchor(Path(folder) / "bench.anchor")
        gallery = Gallery.create(
            path, key=key, model_id=bytes(32), dimension=options.dimension, suite=options.suite, anchor=anchor
        )
        with gallery.transaction() as t:
            for i in range(options.subjects):
                t.enrol(f"subject {i}", embeddings[i])
        probe = embeddings[options.subjects // 2]
        found = gallery.identify(probe, threshold=0.9).subject
        figures = {
            "file_bytes": path.stat().st_size,
            "found_itself": found == f"subject {options.subjects // 2}",
            "open_ms": measure(lambda _: Gallery.open(path, key=key, anchor=anchor), options.rounds),
            "identify_ms": measure(lambda _: gallery.identify(probe, threshold=0.9), options.rounds),
            "enrol_durable_ms": measure(
                lambda i: gallery.enrol(f"new {i}", embeddings[options.subjects + i]), options.rounds
            ),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
