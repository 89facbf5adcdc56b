"""The Raspberry Pi's camera, through the system's picamera2."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Any

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array

#: A capture waits for ever when the sensor stops (a loose ribbon cable); a door does not.
FRAME_TIMEOUT_S = 2.0


class PiCamera:
    """The camera on the ribbon cable.

    Args:
        height: Height in pixels.
        width: Width in pixels; a multiple of 32 is read without a copy by the camera's own hardware.
        number: Which, on a board with two.
    """

    live = True

    def __init__(self, *, height: int = 480, width: int = 640, number: int = 0) -> None:
        self._size = (height, width)
        self._number = number
        self._camera: Any = None

    @property
    def name(self) -> str:
        """The camera."""
        return f"Raspberry Pi camera {self._number}"

    def __enter__(self) -> PiCamera:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise AcquisitionError(
                "the Raspberry Pi camera needs picamera2",
                reason="no camera",
                hint="apt install python3-picamera2, and make the environment with --system-site-packages",
            ) from error
        height, width = self._size
        try:
            camera = Picamera2(self._number)
            # picamera2 names formats by their bytes in a word, so that "BGR888" is R, G, B in memory.
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (width, height), "format": "BGR888"}, buffer_count=2, queue=False
                )
            )
            camera.start()
        except (IndexError, RuntimeError, OSError) as error:
            raise AcquisitionError(
                f"{self.name}: cannot be opened: {error}",
                reason="no camera",
                hint="rpicam-hello --list-cameras shows what the board sees",
            ) from error
        self._camera = camera
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._camera is not None:
            self._camera.stop()
            self._camera.close()
            self._camera = None

    def read(self) -> UInt8Array:
        """The next frame; an `AcquisitionError` where none comes."""
        if self._camera is None:
            raise AcquisitionError(
                f"{self.name}: is not open", reason="no camera", hint="read inside a with block"
            )
        try:
            frame = self._camera.capture_array("main", wait=False).get_result(timeout=FRAME_TIMEOUT_S)
        except (RuntimeError, OSError, FutureTimeoutError, CancelledError) as error:
            raise AcquisitionError(
                f"{self.name}: no frame came within {FRAME_TIMEOUT_S:g} s",
                reason="no camera",
                hint="is the ribbon cable seated?",
            ) from error
        height, width = self._size
        # Rows may be padded to a multiple of the hardware's word.
        return np.ascontiguousarray(frame[:height, :width, :3])
