"""Replacement for picamera2, whose native part exists only on a Raspberry Pi.

It contains only the calls of `edge_sdk.cameras.picamera`, with the relevant behaviour: asynchronous jobs, padded rows,
`IndexError` if no camera is connected, and a capture that never ends if the sensor stops.
"""

from concurrent.futures import Future
from typing import Any

import numpy as np

connected = True
delivers = True
opened: list["Picamera2"] = []


class _Job:
    def __init__(self, future: "Future[Any]") -> None:
        self._future = future

    def get_result(self, timeout: float | None = None) -> Any:
        return self._future.result(timeout=timeout and min(timeout, 0.05))


class Picamera2:
    def __init__(self, camera_num: int = 0) -> None:
        if not connected:
            raise IndexError("list index out of range")
        self.running = False
        self.closed = False
        self._count = 0
        opened.append(self)

    def create_video_configuration(
        self, main: dict[str, Any], buffer_count: int, queue: bool
    ) -> dict[str, Any]:
        assert main["format"] == "BGR888"
        return main

    def configure(self, configuration: dict[str, Any]) -> None:
        self._width, self._height = configuration["size"]

    def start(self) -> None:
        self.running = True

    def capture_array(self, name: str = "main", wait: bool = True) -> Any:
        assert name == "main" and wait is False and self.running
        future: Future[Any] = Future()
        if delivers:
            self._count += 1
            padded = -(-self._width // 32) * 32
            frame = np.zeros((self._height, padded, 3), np.uint8)
            frame[..., 0] = 200  # red
            frame[0, 0] = self._count
            future.set_result(frame)
        return _Job(future)

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        self.closed = True
