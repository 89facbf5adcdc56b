"""Pictures of one person who poses for a camera, at intervals, with guidance when a picture is not good enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edge_sdk.cameras.camera import Camera, Watched
from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.quality import Refusal

#: Least time between two good pictures in seconds, so that the person can move.
INTERVAL_S = 0.5
#: Reason of the error if no picture of a person was good enough.
NO_PICTURE = "no picture"
_Sample = TypeVar("_Sample")


@dataclass
class Posed(Generic[_Sample]):
    """Pictures of one person.

    Attributes:
        samples: Samples of the good pictures.
        frames: Number of frames that were examined.
        refused: Number of frames that were not good enough, by the advice that the person got.
    """

    samples: list[_Sample] = field(default_factory=list)
    frames: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def pose(
    camera: Camera,
    take: Callable[[UInt8Array], _Sample | Refusal],
    *,
    most: int,
    seconds: float = math.inf,
    guide: Callable[[str], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Posed[_Sample]:
    """Take good pictures of one person until there are enough, the time is over, or the recording ends.

    Args:
        camera: A camera inside its `with` block.
        take: Makes a sample of a frame, or refuses it.
        most: Number of good pictures to take.
        seconds: Duration in seconds.
        guide: Called with the advice to the person whenever it changes.
        clock: Monotonic clock in seconds; replaced in tests.

    Raises:
        AcquisitionError: The camera delivers no frame or the same frame repeatedly, or no picture was good enough.
    """
    posed: Posed[_Sample] = Posed()
    watched, last = Watched(camera), ""
    ends, due = clock() + seconds, -math.inf
    while len(posed.samples) < most and clock() < ends and (frame := watched.read()) is not None:
        if camera.live and clock() < due:
            continue
        posed.frames += 1
        sample = take(frame)
        if not isinstance(sample, Refusal):
            posed.samples.append(sample)
            last, due = "", clock() + INTERVAL_S
            continue
        posed.refused[sample.hint] = posed.refused.get(sample.hint, 0) + 1
        if sample.hint != last:
            last = sample.hint
            guide(last)
    if not posed.samples:
        raise AcquisitionError(
            f"expected good pictures from {camera.name}, found none in {posed.frames} frames",
            reason=NO_PICTURE,
            hint="; ".join(sorted(posed.refused)) or "stand in front of the camera",
        )
    return posed


def paced(
    camera: Camera, *, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic
) -> Iterator[UInt8Array]:
    """Read frames of an open camera, from a live camera one per `INTERVAL_S`, so that they differ; see `Watched.read`."""
    watched, due = Watched(camera), -math.inf
    ends = clock() + seconds
    while clock() < ends and (frame := watched.read()) is not None:
        if not camera.live or clock() >= due:
            due = clock() + INTERVAL_S
            yield frame
