"""Run the device path over frames, and say what each stage of it cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.diagnostics.bench.clock import NETWORK, ClockedBackend, ClockedNetwork, Laps
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
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.detector import Detector, open_network
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import MiniFasNet
from edge_sdk.vision.quality import Limits

_TRACED_FRAMES = 5
#: Nobody is refused: a refused frame would leave stages out.
_NO_LIMITS = Limits(
    min_eye_distance_px=0,
    min_sharpness=0,
    min_brightness=-1,
    max_brightness=256,
    min_contrast=-1,
    max_exposed_wrongly=1,
    max_yaw_deg=180,
    max_pitch_deg=180,
    max_roll_deg=180,
    max_landmark_misfit=np.inf,
    min_eye_contrast=0,
    min_detection=0,
    max_rival=np.inf,
)


@dataclass(frozen=True)
class Stage:
    """What one stage of a frame cost.

    Args:
        name: ``detect network`` is what the detector's interpreter takes, ``detect`` the rest of detection.
        p50_ms: Median time.
        p95_ms: 95 of 100 frames took no longer.
        share: Of all frames' time, 0..1.
    """

    name: str
    p50_ms: float
    p95_ms: float
    share: float


@dataclass(frozen=True)
class Benchmark:
    """What frames cost on this device, with one interpreter thread.

    Args:
        frames: Measured frames.
        warm_up: Frames before them, not counted.
        size: Height and width of the first frame.
        stood_in: Measured frames without a face, in which a stand-in in the middle was taken.
        references: Rows that each probe was compared with.
        stages: In the order they run; they add up to the frame.
        p50_ms: Whole frame, median.
        p95_ms: Whole frame, 95 of 100 took no longer.
        fps: Frames a second: one over the mean time.
        own_share: Of a frame's time outside the interpreters, 0..1, median.
        allocated_bytes: Most memory that Python and numpy newly held at one time in each stage, of a few frames.
        peak_rss_bytes: Most physical memory of the process since its start.
        temperature_c: The hottest sensor before and after; None where there is none.
        runtime: Interpreter and version.
        device: ``cpu``, or the delegate's library.
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

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {"schema": "edge-sdk/benchmark/1", "threads": 1, **asdict(self)}


class DevicePath:
    """The device path from files, with a clock around every interpreter.

    Args:
        model: The embedder's .tflite.
        detector: The detector's; None where frames are aligned crops.
        pad: MiniFASNet's files, none or more; they need a detector.
        delegate: As ``Embedder.open``.
        sha256: The embedder's digest, hex.

    Raises:
        InputError: Attack detectors without a detector.
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
    ) -> None:
        if pad and detector is None:
            raise InputError("expected a detector beside the attack detectors, found none")
        self.laps = laps = Laps()
        file = ModelFile.open(model, sha256=sha256)
        backend, self.status = open_backend(file.data, file.card, delegate=delegate)
        clocked = ClockedBackend(backend, laps.invoked)
        self.embedder = Embedder(clocked, file.card, model_id=file.model_id, status=self.status)
        #: What each probe is compared with; nothing where None.
        self.references: BenchReferences | None = None
        self._faces: _WithStandIn | None = None
        if detector is not None:
            self._faces = _WithStandIn(
                Detector(open_network(detector).with_backend(lambda one: ClockedNetwork(one, laps.invoked)))
            )
            networks = [
                Network.open(path, task=PRESENTATION_ATTACK_DETECTOR).with_backend(
                    lambda one: ClockedNetwork(one, laps.invoked)
                )
                for path in pad
            ]
            self._sampler = Sampler(
                self._faces,
                self.embedder,
                pad=MiniFasNet(networks) if networks else None,
                limits=_NO_LIMITS,
                lap=laps.lap,
            )

    @property
    def stood_in(self) -> int:
        """Frames without a face so far."""
        return 0 if self._faces is None else self._faces.stood_in

    def run(self, frame: UInt8Array) -> None:
        """One frame, or one crop where there is no detector."""
        self.laps.start()
        if self._faces is None:
            embedding = self.embedder.embed(frame)
            self.laps.lap("embed")
        else:
            taken = self._sampler.take(frame)
            if isinstance(taken, NoSample):
                raise taken.refusal.error()
            embedding = taken.embedding
        if self.references is not None:
            self.references.match(embedding)
            self.laps.lap("match")


class _WithStandIn:
    """A detector that puts a frontal face in the middle of a frame that shows none, so that every stage runs."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.stood_in = 0

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """As the detector's own; never empty."""
        found = self._detector.detect(frame)
        if found:
            return found
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
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Benchmark:
    """Run frames through a device path, again from the first where there are fewer than asked for.

    Args:
        path: What to run.
        frames: Each of shape (H, W, 3), uint8, RGB; aligned crops where the path has no detector.
        count: Frames to measure, 1 or more.
        warm_up: Frames before, not counted, 1 or more.
        progress: Told how many are done, and of how many.

    Raises:
        InputError: No frame, no count, or not a frame.
        AcquisitionError: A face that cannot be aligned.
    """
    if not frames or count < 1 or warm_up < 1:
        raise InputError(
            f"expected frames, 1 or more to measure and 1 or more to warm up, found {len(frames)}, {count}, {warm_up}"
        )
    allocated = _allocated(path, frames)
    for index in range(warm_up):
        path.run(frames[index % len(frames)])
    before, stood_in = temperature_c(), path.stood_in
    laps: list[dict[str, float]] = []
    for index in range(count):
        path.run(frames[index % len(frames)])
        laps.append(path.laps.frame)
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
    )


def _percentiles_ms(seconds: Float64Array) -> tuple[float, float]:
    middle, high = np.percentile(seconds, (50, 95))
    return 1e3 * float(middle), 1e3 * float(high)


def _allocated(path: DevicePath, frames: Sequence[UInt8Array]) -> dict[str, int]:
    """Most bytes newly held in each stage, from rounds of their own: tracing makes Python slow."""
    path.run(frames[0])  # what is made once is no frame's
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
