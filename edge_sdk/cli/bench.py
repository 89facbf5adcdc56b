"""``edge-sdk bench``: measure what a frame costs on this device, stage by stage."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk import console
from edge_sdk.cli.arguments import (
    CAMERA_HELP,
    PROGRAM,
    Output,
    add_command,
    add_face_arguments,
    add_gallery_arguments,
    add_model_arguments,
    format_count,
    show_progress,
)
from edge_sdk.cli.opening import camera_named, open_gallery
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from typing import Any

    from edge_sdk.diagnostics.bench import Benchmark, BenchReferences, DevicePath
    from edge_sdk.types import UInt8Array

#: Number of frames read from a camera; they are measured repeatedly.
_CAMERA_FRAMES = 16


def add_commands(commands: Any) -> None:
    """Add the command `bench`."""
    bench = add_command(
        commands,
        "bench",
        "measure the time of each stage of a frame, frames per second, memory and temperature",
        _bench,
        example="bench --model face.tflite --detector yunet.tflite --references 1000 --image photo.jpg",
        details="Each probe is compared with --references or --gallery, if given. No attempt is counted and nothing is written.",
    )
    add_model_arguments(bench)
    add_face_arguments(bench, required=False)
    source = bench.add_mutually_exclusive_group()
    source.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JPEG, PNG or PPM files to measure (default: noise: 480x640 pixels with --detector, else the model's input"
        " size)",
    )
    source.add_argument("--camera", metavar="SOURCE", help=f"camera: {CAMERA_HELP} (default: none)")
    bench.add_argument(
        "--references",
        type=int,
        metavar="N",
        help="compare each probe with N random references in memory, 1..1000000 (default: none)",
    )
    bench.add_argument(
        "--frames",
        type=int,
        default=100,
        metavar="N",
        help="frames to measure, 1 or more (default: %(default)s)",
    )
    bench.add_argument(
        "--warm-up",
        type=int,
        default=10,
        metavar="N",
        help="frames to run before measuring, 1 or more (default: %(default)s)",
    )
    add_gallery_arguments(bench, required=False, installed=False)


def _bench(arguments: argparse.Namespace) -> Output:
    from edge_sdk.diagnostics.bench import DevicePath, measure
    from edge_sdk.runtime.backend_choice import BackendWarning

    with warnings.catch_warnings():
        # An unused delegate is reported below. Missing evidence does not matter, because nothing is decided.
        warnings.simplefilter("ignore", BackendWarning)
        path = DevicePath(
            arguments.model,
            detector=arguments.detector,
            pad=arguments.pad,
            delegate=arguments.delegate,
            sha256=arguments.model_sha256,
            smallest_face_px=arguments.smallest_face,
            threads=arguments.threads,
        )
    if path.status.fallback:
        console.say(PROGRAM, f"warning: {path.status.fallback}; the CPU runs the network in its place")
    path.references = _prepare_references(arguments, path)
    frames = _read_frames(arguments, path)
    with show_progress("{done:.0f} of {total:.0f} frames") as progress:
        result = measure(path, frames, count=arguments.frames, warm_up=arguments.warm_up, progress=progress)
    return Output(result.to_json(), "\n".join(_format_benchmark(result)))


def _prepare_references(arguments: argparse.Namespace, path: DevicePath) -> BenchReferences | None:
    from edge_sdk.diagnostics.bench import BenchReferences

    if arguments.references is not None:
        if arguments.gallery is not None:
            raise InputError("expected --references or --gallery, found both")
        return BenchReferences.random(arguments.references, path.embedder.dimension)
    if arguments.gallery is None:
        return None
    if arguments.key is None:
        raise InputError("expected a key to open the gallery, found none", hint="give --key or --passphrase")
    return BenchReferences.of(open_gallery(arguments, path.embedder.model_id))


def _read_frames(arguments: argparse.Namespace, path: DevicePath) -> list[UInt8Array]:
    from itertools import islice

    import numpy as np

    from edge_sdk.cameras import frames
    from edge_sdk.model.array_contract import image_contract
    from edge_sdk.vision.images import read_image

    contract = image_contract(path.embedder.card.input)
    if arguments.image:
        color = contract.color if arguments.detector is None else "rgb"
        return [read_image(image, color=color) for image in arguments.image]
    if arguments.camera:
        with camera_named(arguments.camera) as camera:
            return list(islice(frames(camera), _CAMERA_FRAMES))
    shape = contract.shape if arguments.detector is None else (480, 640, 3)
    return [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]


def _format_benchmark(result: Benchmark) -> Iterator[str]:
    yield f"{'stage':<18}{'p50 ms':>9}{'p95 ms':>9}{'share':>8}"
    for stage in result.stages:
        yield f"{stage.name:<18}{stage.p50_ms:>9.3f}{stage.p95_ms:>9.3f}{stage.share:>8.1%}"
    yield f"{'whole':<18}{result.p50_ms:>9.3f}{result.p95_ms:>9.3f}{1:>8.1%}"
    yield ""
    height, width = result.size
    references = f", {format_count(result.references, 'reference')}" if result.references else ""
    yield (
        f"{result.fps:.1f} frames per second of {height}x{width}{references};"
        f" {result.own_share:.1%} of the time outside the networks"
    )
    allocated = ", ".join(f"{stage} {size / 1024:.0f}" for stage, size in result.allocated_bytes.items())
    yield f"peak of newly allocated memory, KiB: {allocated}; peak RSS {result.peak_rss_bytes / 1e6:.0f} MB"
    before, after = result.temperature_c
    if before is not None and after is not None:
        yield f"temperature: {before:.0f} degrees C before, {after:.0f} after"
    if result.stood_in:
        yield (
            f"no face in {result.stood_in} of {result.frames} frames: a face-sized region in the middle was used instead"
        )
    yield (
        f"{result.frames} frames after {result.warm_up} to warm up, {format_count(result.threads, 'thread')}, {result.runtime} on {result.device}"
    )
