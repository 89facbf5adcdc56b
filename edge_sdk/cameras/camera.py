"""What a camera is, and the check that it is alive."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array

#: A live sensor's noise changes every frame; so many equal ones in a row are a stuck driver or a replay.
FROZEN_FRAMES = 5
#: Frames that a driver may have kept since the last look, of somebody who has left.
STALE_FRAMES = 2


class Camera(Protocol):
    """A source of frames; open inside `with`."""

    @property
    def name(self) -> str:
        """What a person calls it, for errors."""

    @property
    def live(self) -> bool:
        """Whether frames come from a sensor, now; not from files."""

    def __enter__(self) -> Camera:
        """Open it.

        Raises:
            AcquisitionError: it is not there, or another program holds it.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""

    def read(self) -> UInt8Array | None:
        """The next frame.

        Returns:
            Shape (H, W, 3), uint8, RGB; None at the end of a recording.

        Raises:
            AcquisitionError: no frame comes.
        """


class Watched:
    """Reads a camera from now on, and refuses a picture that stands still.

    Args:
        camera: An open camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._last: UInt8Array | None = None
        self._equal = 0
        self._fresh = not camera.live

    def read(self) -> UInt8Array | None:
        """The next frame; shape and errors as `Camera.read`.

        Raises:
            AcquisitionError: the same frame came `FROZEN_FRAMES` times in a row from a live camera.
        """
        if not self._fresh:
            for _ in range(STALE_FRAMES):
                self._camera.read()
            self._fresh = True
        frame = self._camera.read()
        if frame is None or not self._camera.live:
            return frame
        same = self._last is not None and np.array_equal(frame, self._last)
        self._equal = self._equal + 1 if same else 0
        # Whoever gives out its buffer again would otherwise change what is remembered here.
        self._last = frame.copy()
        if self._equal >= FROZEN_FRAMES - 1:
            raise AcquisitionError(
                f"{self._camera.name}: the same frame came {FROZEN_FRAMES} times in a row",
                reason="frozen camera",
                hint="restart the camera; a live picture always changes a little",
            )
        return frame


def frames(camera: Camera, *, seconds: float = math.inf) -> Iterator[UInt8Array]:
    """The frames of an open camera until its end, or for so long; shape and errors as `Watched.read`."""
    watched, ends = Watched(camera), time.monotonic() + seconds
    while time.monotonic() < ends and (frame := watched.read()) is not None:
        yield frame
