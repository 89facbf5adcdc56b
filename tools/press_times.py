"""Time the press of a door's button to its answer: one thread and one stage after another, against the SDK's own way.

    OPENBLAS_NUM_THREADS=1 python -m tools.press_times --model face.tflite --detector yunet.tflite --pad v2.tflite v1se.tflite \\
        --photographs ../shared/faces/lfw_devtest_raw250.tar

The frames of a press show one photograph that moves by some pixels, with the noise of a sensor; they come without a pause. Ways:

- ``sequential``: three frames, each detected, checked for liveness and embedded on one thread, then one search. This is what a press took before
  threads and early answers.
- ``one thread``: `Recognizer.watch` with one thread for each network.
- ``default``: `Recognizer.watch` with the device's default of threads.

`watch` also checks that the picture is upright. It ends early if two frames agree. The ways take turns on the same frames. The score of liveness is
computed and its threshold is lowered, because a pasted photograph is an attack.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_sdk import Detector, Embedder, Gallery, MiniFasNet, Recognizer, console
from edge_sdk.gallery import InMemoryKey
from edge_sdk.recognizer.sampling import AlignedSample, Sampler
from edge_sdk.recognizer.track import mean_direction
from edge_sdk.runtime.threads import default_threads
from tools.compare_runtimes import compose_frame
from tools.photographs import photographs

PEOPLE, REFERENCES, FRAMES = 8, 1000, 6
THRESHOLD = 0.363
KEY = InMemoryKey(bytes(range(32)))
#: Every liveness score passes.
NO_LIVENESS_LIMIT = 1e-9


class PressCamera:
    """Camera that delivers the frames of one press, then no more."""

    name, live = "press", False

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self._frames = iter(frames)

    def __enter__(self) -> PressCamera:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing."""

    def read(self) -> np.ndarray | None:
        """Return the next frame."""
        return next(self._frames, None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="press_times", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the embedder's .tflite")
    add("--detector", type=Path, required=True, help="the detector's .tflite")
    add("--pad", type=Path, nargs="*", default=[], help="liveness networks (default: none)")
    add("--photographs", type=Path, required=True, help=".tar of photographs with one person each")
    add("--rounds", type=int, default=24, help="presses of each way (default: 24)")
    add("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error("expected OPENBLAS_NUM_THREADS=1 in the environment")
    return console.run("press_times", lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Measure every way and print a table."""
    presses = list(compose_presses(arguments))
    with tempfile.TemporaryDirectory() as folder:
        ways = open_ways(arguments, Path(folder) / "home.gallery", presses)
        wall: dict[str, list[float]] = {name: [] for name in ways}
        processor: dict[str, list[float]] = {name: [] for name in ways}
        right = dict.fromkeys(ways, 0)
        for number in range(-2, arguments.rounds):
            index = number % len(presses)
            for name, press in ways.items():
                began, used = time.perf_counter(), time.process_time()
                subject = press(presses[index])
                ended, done = time.perf_counter(), time.process_time()
                if number >= 0:  # the first two rounds warm up
                    wall[name].append(ended - began)
                    processor[name].append(done - used)
                    right[name] += subject == f"person {index}"
    first = np.array(wall["sequential"])
    rows = {
        name: {
            "median_ms": 1e3 * float(np.median(times)),
            "least_ms": 1e3 * min(times),
            "processor_ms": 1e3 * float(np.median(processor[name])),
            "times_faster": float(np.median(first / np.array(times))),
            "right": right[name],
        }
        for name, times in wall.items()
    }
    result = {"rounds": arguments.rounds, "default_threads": default_threads(), "ways": rows}
    print(json.dumps(result, indent=1) if arguments.json else "\n".join(to_text(result)))
    return 0


def to_text(result: dict) -> Iterator[str]:
    """Format the result as a table."""
    yield f"{'':<12}{'median ms':>11}{'least ms':>11}{'processor ms':>14}{'times faster':>14}{'right':>9}"
    for name, row in result["ways"].items():
        yield (
            f"{name:<12}{row['median_ms']:>11.1f}{row['least_ms']:>11.1f}{row['processor_ms']:>14.1f}"
            f"{row['times_faster']:>14.2f}{row['right']:>6}/{result['rounds']}"
        )
    yield f"one press to its answer; default: {result['default_threads']} threads; times faster: median of rounds, by wall time"


def compose_presses(arguments: argparse.Namespace) -> Iterator[list[np.ndarray]]:
    """Yield the frames of each person's press; photographs without one good face are skipped."""
    sampler = Sampler(Detector.open(arguments.detector), Embedder.open(arguments.model))
    rng = np.random.default_rng(0)
    count = 0
    for photograph in photographs(arguments.photographs, rng):
        frame = compose_frame(photograph, rng)
        frames = [move(frame, rng) for _ in range(FRAMES)]
        if all(isinstance(sampler.take(image), AlignedSample) for image in frames):
            count += 1
            yield frames
        if count == PEOPLE:
            return


def move(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move a picture by up to three pixels and add the noise of a sensor."""
    moved = np.roll(frame, rng.integers(-3, 4, 2).tolist(), axis=(0, 1))
    return (moved + rng.normal(0, 2, moved.shape)).clip(0, 255).astype(np.uint8)


def open_ways(
    arguments: argparse.Namespace, gallery: Path, presses: Sequence[Sequence[np.ndarray]]
) -> dict[str, Callable[[Sequence[np.ndarray]], str | None]]:
    """Enrol the persons among strangers, and return the ways by name."""
    single = parts(arguments, 1)
    strangers = np.random.default_rng(1).normal(size=(REFERENCES - PEOPLE, single[1].dimension))
    made = Gallery.create(gallery, key=KEY, model_id=single[1].model_id, dimension=single[1].dimension)
    with made.transaction() as transaction:
        for number, stranger in enumerate(strangers.astype(np.float32)):
            transaction.enrol(f"stranger {number}", stranger)
    recognizer = Recognizer(single[0], single[1], made, pad=single[2], threshold=THRESHOLD)
    for number, frames in enumerate(presses):
        recognizer.enrol([frames[-1]], f"person {number}", least=1)
    sampler = Sampler(single[0], single[1], pad=single[2])

    def sequential(frames: Sequence[np.ndarray]) -> str | None:
        samples = [sampler.take(frame) for frame in frames[:3]]
        good = [sample for sample in samples if isinstance(sample, AlignedSample)]
        return made.identify(mean_direction(good), threshold=THRESHOLD).subject

    def watched(recognizer: Recognizer) -> Callable[[Sequence[np.ndarray]], str | None]:
        def press(frames: Sequence[np.ndarray]) -> str | None:
            with PressCamera(frames) as camera:
                answers = recognizer.watch(camera, attempts=1)
                return next((answer.subject for answer in answers if answer.counted), None)

        return press

    detector, embedder, pad = parts(arguments, None)
    threaded = Recognizer(detector, embedder, made, pad=pad, threshold=THRESHOLD)
    return {"sequential": sequential, "one thread": watched(recognizer), "default": watched(threaded)}


def parts(arguments: argparse.Namespace, threads: int | None) -> tuple[Detector, Embedder, MiniFasNet | None]:
    """Open the networks with a number of threads."""
    pad = (
        MiniFasNet.open(*arguments.pad, threshold=NO_LIVENESS_LIMIT, threads=threads)
        if arguments.pad
        else None
    )
    return (
        Detector.open(arguments.detector, threads=threads),
        Embedder.open(arguments.model, threads=threads),
        pad,
    )


if __name__ == "__main__":
    sys.exit(main())
