"""``edge-sdk bench``: what a frame costs on this device, stage by stage."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk import console
from edge_sdk.cli.arguments import PROGRAM, add_command, add_gallery_arguments, counted, open_gallery, tell
from edge_sdk.cli.face import CAMERA_HELP, camera_named
from edge_sdk.cli.recognition import add_model_arguments
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from typing import Any

    from edge_sdk.diagnostics.bench import Benchmark, BenchReferences, DevicePath
    from edge_sdk.types import UInt8Array

#: Frames that are taken from a camera; they are measured again and again.
_CAMERA_FRAMES = 16


def add_commands(commands: Any) -> None:
    """Add the command."""
    bench = add_command(
        commands,
        "bench",
        "measure what a frame costs on this device: each stage's time, frames a second, memory, heat",
        _bench,
        example="bench --model face.tflite --detector yunet.tflite --references 1000 --image photo.jpg",
    )
    add_model_arguments(bench)
    bench.add_argument("--detector", type=Path, help="a .tflite that finds faces; without it, aligned crops")
    bench.add_argument(
        "--pad",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="MiniFASNet .tflite files that tell a person from a picture",
    )
    source = bench.add_mutually_exclusive_group()
    source.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JPEG, PNG or PPM files (default: a frame of 480x640 noise)",
    )
    source.add_argument("--camera", metavar="SOURCE", help=CAMERA_HELP)
    bench.add_argument("--references", type=int, help="compare with so many random references in memory")
    bench.add_argument("--frames", type=int, default=100, help="frames to measure (default: 100)")
    bench.add_argument("--warm-up", type=int, default=10, help="frames before, not counted (default: 10)")
    add_gallery_arguments(bench, required=False)


def _bench(arguments: argparse.Namespace) -> int:
    from edge_sdk.diagnostics.bench import DevicePath, measure
    from edge_sdk.runtime.backend_choice import BackendWarning

    with warnings.catch_warnings():
        # A delegate's is said below, in this program's voice; of evidence, nothing is decided here.
        warnings.simplefilter("ignore", BackendWarning)
        path = DevicePath(
            arguments.model,
            detector=arguments.detector,
            pad=arguments.pad,
            delegate=arguments.delegate,
            sha256=arguments.model_sha256,
        )
    if path.status.fallback:
        console.say(PROGRAM, f"warning: {path.status.fallback}; the CPU runs the network in its place")
    path.references = _references(arguments, path)
    frames = _frames(arguments, path)
    shown = sys.stderr.isatty()
    found = measure(
        path,
        frames,
        count=arguments.frames,
        warm_up=arguments.warm_up,
        **({"progress": _show} if shown else {}),
    )
    if shown:
        sys.stderr.write("\n")
    tell(arguments, found.to_json(), "\n".join(_lines(found)))
    return 0


def _references(arguments: argparse.Namespace, path: DevicePath) -> BenchReferences | None:
    from edge_sdk.diagnostics.bench import BenchReferences

    if arguments.references is not None:
        if arguments.gallery is not None:
            raise InputError("expected --references or --gallery, found both")
        return BenchReferences.random(arguments.references, path.embedder.dimension)
    if arguments.gallery is None:
        return None
    if arguments.key is None:
        raise InputError("expected a key to open the gallery with, found none", hint="say --key FILE")
    return BenchReferences.of(open_gallery(arguments, path.embedder.model_id))


def _frames(arguments: argparse.Namespace, path: DevicePath) -> list[UInt8Array]:
    from itertools import islice

    import numpy as np

    from edge_sdk.cameras import frames
    from edge_sdk.vision.images import read_image

    contract = path.embedder.card.input
    if arguments.image:
        color = contract.color if arguments.detector is None else "rgb"
        return [read_image(image, color=color) for image in arguments.image]
    if arguments.camera:
        with camera_named(arguments.camera) as camera:
            return list(islice(frames(camera), _CAMERA_FRAMES))
    shape = contract.shape if arguments.detector is None else (480, 640, 3)
    return [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]


def _show(done: int, of: int) -> None:
    sys.stderr.write(f"\r{done} of {of} frames")
    sys.stderr.flush()


def _lines(found: Benchmark) -> Iterator[str]:
    yield f"{'stage':<18}{'p50 ms':>9}{'p95 ms':>9}{'share':>8}"
    for stage in found.stages:
        yield f"{stage.name:<18}{stage.p50_ms:>9.3f}{stage.p95_ms:>9.3f}{stage.share:>8.1%}"
    yield f"{'whole':<18}{found.p50_ms:>9.3f}{found.p95_ms:>9.3f}{1:>8.1%}"
    yield ""
    height, width = found.size
    against = f", {counted(found.references, 'reference')}" if found.references else ""
    yield f"{found.fps:.1f} frames a second of {height}x{width}{against}; {found.own_share:.1%} of the time outside the networks"
    allocated = ", ".join(f"{stage} {size / 1024:.0f}" for stage, size in found.allocated_bytes.items())
    yield f"newly allocated at most, KiB: {allocated}; peak RSS {found.peak_rss_bytes / 1e6:.0f} MB"
    if found.temperature_c[0] is not None and found.temperature_c[1] is not None:
        yield f"{found.temperature_c[0]:.0f} degrees C before, {found.temperature_c[1]:.0f} after"
    if found.stood_in:
        yield f"no face in {found.stood_in} of {found.frames} frames: a stand-in in the middle was aligned and compared"
    yield (
        f"{found.frames} frames after {found.warm_up} to warm up, one thread, {found.runtime} on {found.device}"
    )
