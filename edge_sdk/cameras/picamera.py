"""Raspberry Pi camera, read with the system's picamera2."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from edge_sdk.cameras.camera import no_camera
from edge_sdk.types import UInt8Array

#: picamera2 waits without limit if the sensor stops, for example because of a loose ribbon cable.
FRAME_TIMEOUT_S = 2.0


class PiCamera:
    """Camera on the ribbon cable.

    Args:
        height: Height in pixels.
        width: Width in pixels; a multiple of 32 avoids padding and a copy.
        number: Number of the camera, from 0.
    """

    live = True

    def __init__(self, *, height: int = 480, width: int = 640, number: int = 0) -> None:
        self._size = (height, width)
        self._number = number
        self._camera: Any = None

    @property
    def name(self) -> str:
        """Name of the camera in messages."""
        return f"Raspberry Pi camera {self._number}"

    def __enter__(self) -> PiCamera:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise no_camera(
                "the Raspberry Pi camera needs picamera2",
                hint="apt install python3-picamera2, and create the environment with --system-site-packages",
            ) from error
        height, width = self._size
        try:
            camera = Picamera2(self._number)
            # picamera2 names formats by byte order in a word; "BGR888" is R, G, B in memory.
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (width, height), "format": "BGR888"}, buffer_count=2, queue=False
                )
            )
            camera.start()
        except (IndexError, RuntimeError, OSError) as error:
            raise no_camera(
                f"{self.name}: cannot be opened: {error}",
                hint="list the detected cameras with rpicam-hello --list-cameras",
            ) from error
        self._camera = camera
        return self

    def __exit__(self, *error: object) -> None:
        if self._camera is not None:
            self._camera.stop()
            self._camera.close()
            self._camera = None

    def read(self) -> UInt8Array:
        """Read the next frame; raises AcquisitionError if there is none within 2 s."""
        if self._camera is None:
            raise no_camera(f"{self.name}: is not open", hint="read inside a with block")
        try:
            frame = self._camera.capture_array("main", wait=False).get_result(timeout=FRAME_TIMEOUT_S)
        except (RuntimeError, OSError, FutureTimeoutError, CancelledError) as error:
            raise no_camera(
                f"{self.name}: no frame came within {FRAME_TIMEOUT_S:g} s", hint="check the ribbon cable"
            ) from error
        height, width = self._size
        # Rows may be padded to the hardware's alignment.
        return np.ascontiguousarray(frame[:height, :width, :3])
