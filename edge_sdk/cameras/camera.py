"""Protocol of cameras, and a check for frozen frames."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.orientation import ROTATIONS, check_rotation, turn

#: Noise of a live sensor changes every frame; this many equal frames in a row mean a stuck driver or a replay.
FROZEN_FRAMES = 5
#: Number of frames that a driver may have buffered earlier; they may show a person who has left.
STALE_FRAMES = 2


class Camera(Protocol):
    """Source of frames, open inside `with`."""

    @property
    def name(self) -> str:
        """Name of the camera in messages."""

    @property
    def live(self) -> bool:
        """True if frames come from a sensor in real time, False if they come from files."""

    def __enter__(self) -> Camera:
        """Open the camera.

        Raises:
            AcquisitionError: The camera is missing, or another program uses it.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera."""

    def read(self) -> UInt8Array | None:
        """Read the next frame.

        Returns:
            Shape (H, W, 3), uint8, RGB; None at the end of a recording.

        Raises:
            AcquisitionError: The camera delivers no frame.
        """


class WrappedCamera:
    """Camera that delivers the frames of another camera; a base of classes that change or count them.

    Args:
        camera: Any camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    @property
    def name(self) -> str:
        """Name of the camera in messages."""
        return self._camera.name

    @property
    def live(self) -> bool:
        """True if frames come from a sensor in real time."""
        return self._camera.live

    @property
    def rotate(self) -> int:
        """Clockwise turn of the frames in degrees."""
        return rotation_of(self._camera)

    def __enter__(self) -> WrappedCamera:
        self._camera = self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._camera.__exit__(kind, error, trace)

    def read(self) -> UInt8Array | None:
        """Read the next frame; see `Camera.read`."""
        return self._camera.read()


class Rotated(WrappedCamera):
    """Camera that turns the frames of another camera, for cameras without a rotation of their own.

    Args:
        camera: Any camera.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270.
    """

    def __init__(self, camera: Camera, rotate: int) -> None:
        super().__init__(camera)
        self._turn = check_rotation(rotate)

    @property
    def rotate(self) -> int:
        """Clockwise turn of the frames in degrees, including the camera's own rotation."""
        return (rotation_of(self._camera) + self._turn) % 360

    def read(self) -> UInt8Array | None:
        """Read the next frame and turn it; see `Camera.read`."""
        frame = super().read()
        return None if frame is None else turn(frame, self._turn)


def rotation_of(camera: Camera, *, default: int = 0) -> int:
    """Return the `rotate` attribute of a camera, in degrees clockwise; the default if it has none or an invalid one."""
    rotate = getattr(camera, "rotate", default)
    return rotate if isinstance(rotate, int) and rotate in ROTATIONS else default


def no_camera(message: str, *, hint: str | None = None) -> AcquisitionError:
    """Create the error for a camera that is missing or delivers no frame."""
    return AcquisitionError(message, reason="no camera", hint=hint)


class Watched:
    """Reader of a camera that skips buffered frames and rejects a frozen picture.

    Args:
        camera: An open camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._last: UInt8Array | None = None
        self._equal = 0
        self._fresh = not camera.live

    def read(self) -> UInt8Array | None:
        """Read the next frame; see `Camera.read`.

        The frame of a live camera is a copy, so that it stays the same while the next one is read. The next frame is
        compared with it: do not write into it.

        Raises:
            AcquisitionError: The camera delivers no frame, or a live camera delivered the same frame `FROZEN_FRAMES`
                times in a row.
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
        # Copy, because a camera may reuse its buffer for the next frame.
        self._last = frame.copy()
        if self._equal >= FROZEN_FRAMES - 1:
            raise AcquisitionError(
                f"{self._camera.name}: the same frame came {FROZEN_FRAMES} times in a row",
                reason="frozen camera",
                hint="restart the camera; a live picture always changes a little",
            )
        return self._last


def frames(camera: Camera, *, seconds: float = math.inf) -> Iterator[UInt8Array]:
    """Read frames of an open camera until the recording ends or the time is over; see `Watched.read`.

    The caller may write into the frames.
    """
    watched, ends = Watched(camera), time.monotonic() + seconds
    while time.monotonic() < ends and (frame := watched.read()) is not None:
        yield frame.copy() if camera.live else frame
