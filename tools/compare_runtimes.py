"""Compare the SDK, OpenCV, ONNX Runtime and OpenVINO from a whole frame to a decision, alternately in one run, one thread each.

    OPENBLAS_NUM_THREADS=1 python -m tools.compare_runtimes --zoo ../shared/zoo \\
        --photographs ../shared/faces/lfw_devtest_raw250.tar --calibration ../shared/faces/lfw_calibration_aligned112.tar

Frames are 480x640 pixels, each with one photograph at a random place; each peer identifies the person among 1,000
references. Every detector gets the frame scaled to 240x320 and padded to 320x320, unless its name states another size.
Only the SDK also measures quality. OpenVINO takes part if `openvino` is installed, and `nncf` for the conversion. Memory and cold start are measured in fresh processes. Networks are converted once,
into --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk import console
from tools.photographs import photographs
from tools.runtime_peers import DIMENSION, padded, peers

FRAMES, REFERENCES = 8, 1000
HEIGHT, WIDTH = 480, 640
CONTRACT = ("--size", "112x112", "--color", "rgb", "--range", "0..255", "--alignment", "arcface")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="compare_runtimes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--zoo", type=Path, required=True, help="folder with YuNet's and SFace's ONNX files")
    add("--photographs", type=Path, help=".tar of photographs with one person each")
    add("--calibration", type=Path, help="calibration crops; required if --cache lacks the networks")
    add(
        "--cache",
        type=Path,
        default=Path("work/runtimes"),
        help="folder of converted networks (default: %(default)s)",
    )
    add("--rounds", type=int, default=60, help="frames that each peer identifies (default: 60)")
    add("--starts", type=int, default=5, help="fresh processes per peer (default: 5)")
    add("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error(
            "expected OPENBLAS_NUM_THREADS=1 in the environment, because every peer runs on one thread"
        )
    if arguments.photographs is None or arguments.rounds < 1 or arguments.starts < 1:
        parser.error("expected --photographs, and 1 or more --rounds and --starts")
    return console.run("compare_runtimes", lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> int:
    """Measure every peer and print a table."""
    convert(arguments.zoo, arguments.calibration, arguments.cache)
    if find_spec("openvino"):
        convert_for_openvino(arguments.zoo, arguments.photographs, arguments.calibration, arguments.cache)
    known = peers(arguments.cache, arguments.zoo)
    frames, others, skipped = compose_frames(arguments)
    strangers = np.random.default_rng(1).normal(size=(REFERENCES - len(frames), DIMENSION)).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        folders, opened, broken = {}, {}, {}
        for index, (name, make) in enumerate(known.items()):
            folders[name] = Path(temporary) / str(index)
            folders[name].mkdir()
            try:
                peer = make()
                for number, other in enumerate(others):
                    peer.enrol(other, f"person {number}")
                peer.save(folders[name], strangers)
            except Exception as error:  # noqa: BLE001  a peer that cannot run a file is reported
                broken[name] = " ".join(str(error).split())[:160]
                continue
            np.save(folders[name] / "frame.npy", frames[0])
            opened[name] = peer
        measured = run_alternately(opened, frames, arguments.rounds)
        fresh = {name: measure_starts(arguments, name, folders[name]) for name in opened}
    first = next(iter(measured.values()))
    rows = [make_row(name, times, fresh[name], first) for name, times in measured.items()]
    results = {
        "schema": "edge-sdk/runtimes/1",
        "rounds": arguments.rounds,
        "frames": len(frames),
        "photographs_skipped": skipped,
        "references": REFERENCES,
        "peers": rows,
        "not_run": broken,
        "versions": sorted({peer.versions for peer in opened.values()} | {f"numpy {np.__version__}"}),
    }
    print(json.dumps(results, indent=1) if arguments.json else to_text(results))
    return 0


def convert(zoo: Path, calibration: Path | None, cache: Path) -> None:
    """Convert the networks that the cache lacks."""
    names = ("sface.cpu_int8.tflite", "sface.float32.tflite", "yunet.cpu_int8.tflite", "yunet.float32.tflite")
    if not all((cache / name).is_file() for name in names):
        if calibration is None:
            raise SystemExit(
                f"{cache}: expected the converted networks, found none; give --calibration to convert them"
            )
        program = str(Path(sys.executable).with_name("edge-convert"))
        into = ("--calibration", str(calibration), "--output", str(cache), "--name")
        search = ("--recipe", "auto", "--min-cosine", "0.997")
        sface, yunet = str(zoo / "sface_2021dec_float.onnx"), str(zoo / "yunet_n_320_320.onnx")
        subprocess.run([program, "convert", sface, *CONTRACT, *search, *into, "sface"], check=True, stdout=2)
        subprocess.run(
            [program, "auxiliary", yunet, "--method", "yunet", *into, "yunet"], check=True, stdout=2
        )
    plain = cache / "sface_int8bq.onnx"
    if not plain.is_file():
        # The published file lists unused or constant weights as inputs; OpenCV accepts only one input.
        import onnx

        model = onnx.load(zoo / "sface_2021dec_int8bq.onnx")
        weights = {tensor.name for tensor in model.graph.initializer}
        read = {name for node in model.graph.node for name in node.input} - weights
        inputs = [value for value in model.graph.input if value.name in read]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        onnx.save(model, plain)


def convert_for_openvino(zoo: Path, frames: Path, calibration: Path | None, cache: Path) -> None:
    """Quantize the networks of OpenVINO's peer that the cache lacks.

    YuNet is calibrated on frames: calibrated on the crops that suffice for the SDK, NNCF's YuNet finds no face.
    """
    from tools.nncf_networks import quantize

    if all((cache / f"{name}.nncf_int8.xml").is_file() for name in ("yunet", "sface")):
        return
    if calibration is None:
        raise SystemExit(f"{cache}: expected OpenVINO's networks, found none; give --calibration")
    rng = np.random.default_rng(2)
    composed = (padded(compose_frame(image, rng))[..., ::-1] for image in photographs(frames))
    quantize(zoo / "yunet_n_320_320.onnx", cache / "yunet.nncf_int8.xml", composed)
    quantize(zoo / "sface_2021dec_float.onnx", cache / "sface.nncf_int8.xml", photographs(calibration))


def compose_frames(arguments: argparse.Namespace) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Return frames to identify, frames of the same persons to enrol, and the number of skipped photographs.

    Photographs in which the SDK does not find exactly one good face are skipped; the other peers would accept them.
    """
    from edge_sdk import Detector, Embedder
    from edge_sdk.recognizer.sampling import AlignedSample, Sampler

    detector = Detector.open(arguments.cache / "yunet.float32.tflite")
    sampler = Sampler(detector, Embedder.open(arguments.cache / "sface.cpu_int8.tflite"))
    rng = np.random.default_rng(0)
    frames: list[np.ndarray] = []
    others: list[np.ndarray] = []
    skipped = 0
    for photograph in photographs(arguments.photographs, rng):
        frame, other = compose_frame(photograph, rng), compose_frame(photograph, rng)
        if all(
            isinstance(sampler.take(image), AlignedSample) and len(detector.detect(image)) == 1
            for image in (frame, other)
        ):
            frames.append(frame)
            others.append(other)
        else:
            skipped += 1
        if len(frames) == FRAMES:
            return frames, others, skipped
    raise SystemExit(
        f"{arguments.photographs}: expected at least {FRAMES} photographs with one good face, found {len(frames)}"
    )


def compose_frame(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paste a photograph at a random place on a smooth background."""
    from edge_sdk.vision.resize import resize_fast

    coarse = rng.integers(60, 190, (7, 9, 3)).astype(np.uint8)
    frame = resize_fast(coarse, HEIGHT, WIDTH)
    rows, columns = photograph.shape[:2]
    top, left = rng.integers(0, HEIGHT - rows + 1), rng.integers(0, WIDTH - columns + 1)
    frame[top : top + rows, left : left + columns] = photograph
    return frame


@dataclass
class Times:
    """Times of one peer by round, seconds; times of its networks alone, if known; number of correct answers.

    Processor time does not count the time in which other processes run.
    """

    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    networks_s: list[float] = field(default_factory=list)
    right: int = 0


def run_alternately(opened: dict[str, Any], frames: list[np.ndarray], rounds: int) -> dict[str, Times]:
    """Let every peer identify one frame per round, one peer after the other, and return their times."""
    measured = {name: Times() for name in opened}
    for peer in opened.values():
        for frame in frames[:2]:
            peer.identify(frame)
    names = list(opened)
    for number in range(rounds):
        index = number % len(frames)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began, used = time.perf_counter(), time.process_time()
            subject = opened[name].identify(frames[index])
            measured[name].processor_s.append(time.process_time() - used)
            measured[name].seconds.append(time.perf_counter() - began)
            measured[name].right += subject == f"person {index}"
            spent = opened[name].networks_s()
            if spent is not None:
                measured[name].networks_s.append(spent)
    return measured


def measure_starts(arguments: argparse.Namespace, name: str, folder: Path) -> list[dict[str, float]]:
    """Start fresh processes; return each one's seconds until its first decision and its peak memory.

    Python reads compiled modules, as those of an installed package; a first start, which compiles them, is not counted.
    """
    command = [
        sys.executable,
        "-m",
        "tools.runtime_start",
        name,
        str(arguments.cache),
        str(arguments.zoo),
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    results = []
    for _ in range(arguments.starts + 1):
        began = time.perf_counter()
        reader, writer = os.pipe()
        with (
            os.fdopen(reader) as output,
            subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, env=environment) as process,
        ):
            os.close(writer)
            answer = output.readline().strip()
            took = time.perf_counter() - began
            peak = output.readline().strip()
        if process.returncode or answer != "person 0":
            raise SystemExit(
                f"{name}: expected 'person 0' as first decision in a fresh process, found {answer!r}"
            )
        results.append({"first_decision_s": took, "peak_rss_mb": int(peak) * 1024 / 1e6})
    return results[1:]


def make_row(name: str, times: Times, fresh: list[dict[str, float]], first: Times) -> dict[str, Any]:
    """Return one peer's figures; ratios compare times of the same round, so that other load affects both."""
    seconds = np.array(times.seconds)
    low, middle, high = np.percentile(1e3 * seconds, (25, 50, 75))
    processor = np.array(times.processor_s)
    own = 1 - np.array(times.networks_s) / seconds if times.networks_s else None
    return {
        "name": name,
        "median_ms": float(middle),
        "quartiles_ms": [float(low), float(high)],
        "least_ms": float(1e3 * seconds.min()),
        "processor_ms": float(1e3 * np.median(processor)),
        "ratio": float(np.median(processor / np.array(first.processor_s))),
        "ratio_of_least": float(seconds.min() / min(first.seconds)),
        "own_share": None if own is None else float(np.median(own)),
        "right": times.right,
        "cold_start_s": statistics.median(start["first_decision_s"] for start in fresh),
        "cold_start_least_s": min(start["first_decision_s"] for start in fresh),
        "peak_rss_mb": max(start["peak_rss_mb"] for start in fresh),
    }


def to_text(results: dict[str, Any]) -> str:
    """Format the results as a table."""
    lines = [
        f"{'':<27}{'median':>8}{'quartiles':>16}{'least':>8}{'processor':>11}{'times':>7}{'own':>7}{'right':>7}"
        f"{'cold start':>12}{'RSS':>8}"
    ]
    for peer in results["peers"]:
        own = "" if peer["own_share"] is None else f"{peer['own_share']:.1%}"
        quartiles = "{:.2f} .. {:.2f}".format(*peer["quartiles_ms"])
        lines.append(
            f"{peer['name']:<27}{peer['median_ms']:>8.2f}{quartiles:>16}{peer['least_ms']:>8.2f}{peer['processor_ms']:>11.2f}{peer['ratio']:>7.2f}"
            f"{own:>7}{peer['right']:>4}/{results['rounds']}{peer['cold_start_s']:>10.2f} s{peer['peak_rss_mb']:>5.0f} MB"
        )
    lines += [f"{name:<27}not run: {reason}" for name, reason in results["not_run"].items()]
    lines += [
        "",
        f"milliseconds of a {HEIGHT}x{WIDTH} frame against {results['references']} references, one thread, {results['rounds']} alternating rounds"
        f" over {results['frames']} frames ({results['photographs_skipped']} photographs skipped); processor: median processor time; times: processor time"
        " relative to the first line,"
        " median of rounds; own: share outside the networks; cold start: median time of a fresh process to its first decision",
        ", ".join(results["versions"]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
