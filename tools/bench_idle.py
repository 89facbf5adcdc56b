"""Measure the processor time of a watched camera while nobody is there.

python -m tools.bench_idle --model sface.cpu_int8.tflite --detector yunet.int8.tflite

The camera shows one drawn scene with the noise of a sensor. The frames are searched first as `Recognizer.watch` does, with its motion gate, and
then each of them, in turns. The share is that of one core of this computer at 10 frames per second; drawing the noise is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.recognizer import Recognizer
from edge_sdk.types import UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder

FRAMES_PER_S = 10
DIFFERENT_FRAMES = 16


class StillScene:
    """Live camera in front of an empty scene; its frames come at `FRAMES_PER_S` on the clock of this object.

    Args:
        noise: Standard deviation of the sensor's noise, levels of 0..255.
        frames: Number of frames.
    """

    name, live = "still scene", True

    def __init__(self, noise: float, frames: int) -> None:
        rng = np.random.default_rng(1)
        scene = np.repeat(np.repeat(rng.integers(40, 200, (12, 16, 3)), 40, axis=0), 40, axis=1)
        noisy = [scene + rng.normal(0, noise, scene.shape) for _ in range(DIFFERENT_FRAMES)]
        self._frames = [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in noisy]
        self._left = frames
        self._read = 0

    def __enter__(self) -> StillScene:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        """Return the next frame."""
        self._read += 1
        return None if self._read > self._left else self._frames[self._read % DIFFERENT_FRAMES]

    def clock(self) -> float:
        """Return the time of the last frame, seconds."""
        return self._read / FRAMES_PER_S


def measure(recognizer: Recognizer, detector: Detector, noise: float, frames: int) -> tuple[float, float]:
    """Return the processor time of one frame, ms: watched with the motion gate, and with a search of every frame."""
    watched, searched = StillScene(noise, frames), StillScene(noise, frames)
    start_s = time.process_time()
    if list(recognizer.watch(watched, clock=watched.clock)):
        raise RuntimeError("expected a scene without a face")
    watched_s = time.process_time() - start_s
    while (frame := searched.read()) is not None:
        detector.detect(frame)
    return 1e3 * watched_s / frames, 1e3 * (time.process_time() - start_s - watched_s) / frames


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="bench_idle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help=".tflite of an embedder")
    parser.add_argument("--detector", type=Path, required=True, help=".tflite of a detector")
    parser.add_argument("--frames", type=int, default=300, help="frames of a round (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    embedder, detector = Embedder.open(arguments.model), Detector.open(arguments.detector)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.create(
            Path(folder) / "empty.gallery",
            key=InMemoryKey(np.random.default_rng(1).bytes(32)),
            model_id=embedder.model_id,
            dimension=embedder.dimension,
        )
        recognizer = Recognizer(detector, embedder, gallery, threshold=0.9)
        for noise in (1.0, 3.0, 8.0):
            rounds = [measure(recognizer, detector, noise, arguments.frames) for _ in range(3)]
            watched_ms, searched_ms = (min(column) for column in zip(*rounds, strict=True))
            rows.append({"noise": noise, "watched_ms": watched_ms, "searched_ms": searched_ms})
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print(
            "| noise | a watched frame | a searched frame | share of a core at 10 frames/s |\n|---|---|---|---|"
        )
        for row in rows:
            share = row["watched_ms"] * FRAMES_PER_S / 10
            print(
                f"| {row['noise']:g} levels | {row['watched_ms']:.2f} ms | {row['searched_ms']:.2f} ms | {share:.1f} % |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
