"""USB cameras and video files, read with OpenCV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.cameras.camera import no_camera
from edge_sdk.extras import install_command
from edge_sdk.types import UInt8Array


class _Capture:
    """Base class of `V4l2Camera` and `VideoFile`: reads `cv2.VideoCapture` and converts BGR to RGB."""

    def __init__(self, source: int | str) -> None:
        self._source = source
        self._capture: Any = None

    @property
    def name(self) -> str:
        """Name of the camera in messages."""
        return str(self._source)

    def _open(self, api: int, settings: Mapping[int, float]) -> None:
        cv2 = _cv2()
        capture = cv2.VideoCapture(self._source, api)
        if not capture.isOpened():
            capture.release()
            raise no_camera(
                f"{self.name}: cannot be opened",
                hint="check a camera's cable and other users (v4l2-ctl --list-devices), or a file's video format",
            )
        for key, value in settings.items():
            capture.set(key, value)
        self._capture = capture

    def __exit__(self, *error: object) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _read(self) -> UInt8Array | None:
        if self._capture is None:
            raise no_camera(f"{self.name}: is not open", hint="read inside a with block")
        success, frame = self._capture.read()
        return np.ascontiguousarray(frame[..., ::-1]) if success else None


class V4l2Camera(_Capture):
    """USB camera.

    Args:
        number: Number of the device; 0 is `/dev/video0`.
        height: Requested height in pixels; the camera uses its nearest size.
        width: Requested width in pixels; the camera uses its nearest size.
    """

    live = True

    def __init__(self, number: int = 0, *, height: int = 480, width: int = 640) -> None:
        super().__init__(number)
        self._size = (height, width)

    @property
    def name(self) -> str:
        """Name of the device in messages."""
        return f"camera /dev/video{self._source}"

    def __enter__(self) -> V4l2Camera:
        cv2 = _cv2()
        height, width = self._size
        # One buffer, because an old frame may show a person who has left.
        settings = {
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        self._open(cv2.CAP_V4L2, settings)
        return self

    def read(self) -> UInt8Array:
        """Read the next frame; raises AcquisitionError if there is none, for example after unplugging."""
        frame = self._read()
        if frame is None:
            raise no_camera(f"{self.name}: no frame was delivered", hint="check that it is plugged in")
        return frame


class VideoFile(_Capture):
    """Recording that is read once, frame by frame.

    Args:
        path: A file that OpenCV can decode, such as .mp4 or .avi.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))

    def __enter__(self) -> VideoFile:
        if not Path(self.name).is_file():
            raise no_camera(f"{self.name}: no such file")
        self._open(_cv2().CAP_ANY, {})
        return self

    def read(self) -> UInt8Array | None:
        """Read the next frame; None after the last."""
        return self._read()


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise no_camera("USB cameras and video files need OpenCV", hint=install_command("camera")) from error
    return cv2
