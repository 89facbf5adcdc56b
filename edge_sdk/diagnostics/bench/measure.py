"""Measurement of the device path over frames, stage by stage."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.diagnostics.bench.clock import NETWORK, Clock, Laps, clocked
from edge_sdk.diagnostics.bench.memory import peak_rss_bytes
from edge_sdk.diagnostics.bench.references import BenchReferences
from edge_sdk.diagnostics.doctor.hardware import temperature_c
from edge_sdk.errors import InputError
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.network_card import PRESENTATION_ATTACK_DETECTOR
from edge_sdk.recognizer.sampling import NoSample, Sampler
from edge_sdk.runtime.backend_choice import open_backend
from edge_sdk.runtime.network import Network
from edge_sdk.runtime.threads import thread_count
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.detector import Detector, open_network
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import MiniFasNet
from edge_sdk.vision.quality import Limits

_TRACED_FRAMES = 5
#: Limits that refuse no frame, because a refused frame would skip stages.
_NO_LIMITS = Limits(
    **{limit.name: math.inf if limit.name.startswith("max_") else -math.inf for limit in fields(Limits)}
)


@dataclass(frozen=True)
class Stage:
    """Time of one stage of a frame.

    Args:
        name: Name of the stage; ``detect network`` is the detector's interpreter, ``detect`` the rest of detection.
        p50_ms: Median time in milliseconds.
        p95_ms: 95th percentile of the time in milliseconds.
        share: Share of the total time of all frames, 0..1.
    """

    name: str
    p50_ms: float
    p95_ms: float
    share: float


@dataclass(frozen=True)
class Benchmark:
    """Time and memory per frame on this device.

    Args:
        frames: Number of measured frames.
        warm_up: Number of frames processed before the measured ones.
        size: Height and width of the first frame in pixels.
        stood_in: Number of measured frames without a face; an artificial face in the middle was used instead.
        references: Number of references that each probe was compared with.
        stages: Stages in the order they run; their times add up to the time of the frame.
        p50_ms: Median time of a frame in milliseconds.
        p95_ms: 95th percentile of the time of a frame in milliseconds.
        fps: Frames per second: the reciprocal of the mean time.
        own_share: Median share of a frame's time outside the interpreters, 0..1.
        allocated_bytes: Peak memory newly allocated by Python and numpy in each stage, over a few frames.
        peak_rss_bytes: Peak physical memory of the process since its start.
        temperature_c: Temperature of the hottest sensor before and after, in degrees Celsius; None without sensors.
        runtime: Interpreter package and version.
        device: ``cpu``, or the delegate's library.
        threads: Number of threads of each network.
    """

    frames: int
    warm_up: int
    size: tuple[int, int]
    stood_in: int
    references: int
    stages: tuple[Stage, ...]
    p50_ms: float
    p95_ms: float
    fps: float
    own_share: float
    allocated_bytes: dict[str, int]
    peak_rss_bytes: int
    temperature_c: tuple[float | None, float | None]
    runtime: str
    device: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        """Convert the benchmark to JSON values."""
        return {"schema": "edge-sdk/benchmark/1", **asdict(self)}


class DevicePath:
    """Device path with a clock around every interpreter.

    Args:
        model: The embedder's .tflite.
        detector: The detector's .tflite; None if frames are aligned crops.
        pad: Files of MiniFASNet networks; empty skips this stage. They need a detector.
        delegate: Shared library of a delegate for the embedder; None uses the CPU.
        sha256: Expected digest of the embedder's file, hex; None skips the check.
        smallest_face_px: Width of the smallest face to find; see `Detector`.
        threads: Number of threads of each network, 1 or more; None for the device's default.
        clock: Clock of the stages.

    Raises:
        InputError: There are presentation attack detectors without a face detector.
        ModelError: A file cannot be used.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        detector: str | Path | None = None,
        pad: Sequence[str | Path] = (),
        delegate: str | Path | None = None,
        sha256: str | None = None,
        smallest_face_px: float | None = None,
        threads: int | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        if pad and detector is None:
            raise InputError("presentation attack detectors need a face detector; none was given")
        self.laps = laps = Laps(clock)
        self.threads = threads = thread_count(threads)
        file = ModelFile.open(model, sha256=sha256)
        backend, self.status = open_backend(file.data, file.card, threads=threads, delegate=delegate)
        backend = clocked(backend, laps.invoked, clock)
        self.embedder = Embedder(backend, file.card, model_id=file.model_id, status=self.status)
        #: References that each probe is compared with; None skips the comparison.
        self.references: BenchReferences | None = None
        self._faces: _DetectorWithStandIn | None = None
        if detector is not None:

            def timed(network: Network) -> Network:
                return network.with_backend(lambda backend: clocked(backend, laps.invoked, clock))

            finder = Detector(
                timed(open_network(detector, threads=threads)), smallest_face_px=smallest_face_px
            )
            self._faces = _DetectorWithStandIn(finder)
            task = PRESENTATION_ATTACK_DETECTOR
            networks = [timed(Network.open(path, task=task, threads=threads)) for path in pad]
            self._sampler = Sampler(
                self._faces,
                self.embedder,
                pad=MiniFasNet(networks) if networks else None,
                limits=_NO_LIMITS,
                lap=laps.lap,
            )

    @property
    def stood_in(self) -> int:
        """Number of frames without a face so far."""
        return 0 if self._faces is None else self._faces.stood_in

    def run(self, frame: UInt8Array) -> None:
        """Process one frame, or one aligned crop if there is no detector."""
        self.laps.start()
        if self._faces is None:
            embedding = self.embedder.embed(frame)
            self.laps.lap("embed")
        else:
            sample = self._sampler.take(frame)
            if isinstance(sample, NoSample):
                raise sample.refusal.error()
            embedding = sample.embedding
        if self.references is not None:
            self.references.match(embedding)
            self.laps.lap("match")


class _DetectorWithStandIn:
    """Detector that returns an artificial frontal face in the middle of a frame without one, so that every stage runs."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.stood_in = 0

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """Find the faces of a frame; never empty."""
        faces = self._detector.detect(frame)
        if faces:
            return faces
        self.stood_in += 1
        rows, columns = frame.shape[:2]
        side = min(rows, columns) / 3
        left, top = (columns - side) / 2, (rows - side) / 2
        return (Face((left, top, side, side), np.array(ARCFACE_112) * side / 112 + (left, top), 0.0),)


def measure(
    path: DevicePath,
    frames: Sequence[UInt8Array],
    *,
    count: int = 100,
    warm_up: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Benchmark:
    """Measure a device path over frames, which are repeated if there are fewer than requested.

    Args:
        path: Device path to measure.
        frames: Each of shape (H, W, 3), uint8, RGB; aligned crops if the path has no detector.
        count: Number of frames to measure, 1 or more.
        warm_up: Number of frames to process before them without measuring, 1 or more.
        progress: Called with the number of measured frames and their total.

    Raises:
        InputError: There is no frame, an argument is below 1, or a frame is malformed.
        AcquisitionError: A face cannot be aligned.
    """
    if not frames or count < 1 or warm_up < 1:
        raise InputError(
            f"expected 1 or more for each of frames, count and warm_up, found {len(frames)}, {count} and {warm_up}"
        )
    allocated = _allocated(path, frames)
    for index in range(warm_up):
        path.run(frames[index % len(frames)])
    before, stood_in = temperature_c(), path.stood_in
    laps: list[dict[str, float]] = []
    for index in range(count):
        path.run(frames[index % len(frames)])
        laps.append(path.laps.frame)
        if progress is not None:
            progress(index + 1, count)
    names = list(laps[0])
    seconds = np.array([[lap[name] for name in names] for lap in laps])
    whole = seconds.sum(axis=1)
    own = seconds[:, [not name.endswith(NETWORK) for name in names]].sum(axis=1)
    return Benchmark(
        frames=count,
        warm_up=warm_up,
        size=(frames[0].shape[0], frames[0].shape[1]),
        stood_in=path.stood_in - stood_in,
        references=0 if path.references is None else path.references.count,
        stages=tuple(
            Stage(name, *_percentiles_ms(column), float(column.sum() / whole.sum()))
            for name, column in zip(names, seconds.T, strict=True)
        ),
        p50_ms=_percentiles_ms(whole)[0],
        p95_ms=_percentiles_ms(whole)[1],
        fps=float(1 / whole.mean()),
        own_share=float(np.median(own / whole)),
        allocated_bytes=allocated,
        peak_rss_bytes=peak_rss_bytes(),
        temperature_c=(before, temperature_c()),
        runtime=path.status.runtime,
        device=path.status.device,
        threads=path.threads,
    )


def _percentiles_ms(seconds: Float64Array) -> tuple[float, float]:
    middle, high = np.percentile(seconds, (50, 95))
    return 1e3 * float(middle), 1e3 * float(high)


def _allocated(path: DevicePath, frames: Sequence[UInt8Array]) -> dict[str, int]:
    """Measure the peak of newly allocated bytes in each stage, in separate runs because tracing slows Python down."""
    path.run(frames[0])  # exclude objects that are created only once
    most: dict[str, int] = {}
    tracemalloc.start()
    path.laps.traced = True
    try:
        for frame in frames[:_TRACED_FRAMES]:
            path.run(frame)
            most = {stage: max(int(size), most.get(stage, 0)) for stage, size in path.laps.frame.items()}
    finally:
        path.laps.traced = False
        tracemalloc.stop()
    return most
