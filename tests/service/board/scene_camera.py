"""Live camera that shows what a text file names: photographs of a folder with sensor noise, ``gone`` or ``stuck``."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.images import read_image

_FRAMES_PER_S = 15


class SceneCamera:
    """Camera whose scene is the content of a file."""

    live = True

    def __init__(self, argument: str) -> None:
        self.name = f"camera of {argument}"
        self._file = Path(argument)
        self._scene = ""
        self._photographs: Iterator[UInt8Array] = iter(())
        self._rng = np.random.default_rng(0)

    def __enter__(self) -> SceneCamera:
        self.read()
        return self

    def __exit__(self, *error: object) -> None:
        self._scene = ""

    def read(self) -> UInt8Array:
        """Read the next frame."""
        scene = self._file.read_text().strip()
        if scene == "gone":
            raise AcquisitionError(f"{self.name}: unplugged", reason="no camera")
        if scene == "stuck":
            threading.Event().wait()
        if scene != self._scene:
            files = sorted((self._file.parent / scene).glob("*.jpg"))
            self._scene, self._photographs = scene, itertools.cycle([read_image(path) for path in files])
        time.sleep(1 / _FRAMES_PER_S)
        frame = next(self._photographs)
        noise = self._rng.integers(-2, 3, frame.shape)
        return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)
