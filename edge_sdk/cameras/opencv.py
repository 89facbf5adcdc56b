"""USB cameras and video files through OpenCV, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.types import UInt8Array

_HINT = "pip install 'edge-sdk[camera]'"


class _Capture:
    """What a device and a file have in common: `cv2.VideoCapture`, and its BGR turned to RGB."""

    def __init__(self, source: int | str) -> None:
        self._source = source
        self._capture: Any = None

    @property
    def name(self) -> str:
        """What a person calls it, for errors."""
        return str(self._source)

    def _open(self, api: int, settings: Mapping[int, float]) -> None:
        cv2 = _cv2()
        capture = cv2.VideoCapture(self._source, api)
        if not capture.isOpened():
            capture.release()
            raise AcquisitionError(
                f"{self.name}: cannot be opened",
                reason="no camera",
                hint="is it plugged in, and does no other program hold it? v4l2-ctl --list-devices",
            )
        for key, value in settings.items():
            capture.set(key, value)
        self._capture = capture

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _read(self) -> UInt8Array | None:
        if self._capture is None:
            raise AcquisitionError(
                f"{self.name}: is not open", reason="no camera", hint="read inside a with block"
            )
        good, frame = self._capture.read()
        return np.ascontiguousarray(frame[..., ::-1]) if good else None


class V4l2Camera(_Capture):
    """A USB camera by its number: 0 is `/dev/video0`.

    Args:
        number: Which.
        height: Wished height in pixels; the camera gives the nearest it has.
        width: Wished width in pixels.
    """

    live = True

    def __init__(self, number: int = 0, *, height: int = 480, width: int = 640) -> None:
        super().__init__(number)
        self._size = (height, width)

    @property
    def name(self) -> str:
        """The device."""
        return f"camera /dev/video{self._source}"

    def __enter__(self) -> V4l2Camera:
        cv2 = _cv2()
        height, width = self._size
        # One buffer: an old frame is somebody who may have left already.
        settings = {
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        self._open(cv2.CAP_V4L2, settings)
        return self

    def read(self) -> UInt8Array:
        """The next frame; an `AcquisitionError` where none comes, as after a pulled plug."""
        frame = self._read()
        if frame is None:
            raise AcquisitionError(
                f"{self.name}: no frame comes any more", reason="no camera", hint="is it still plugged in?"
            )
        return frame


class VideoFile(_Capture):
    """A recording, once, frame by frame.

    Args:
        path: A file that OpenCV can decode, such as .mp4 or .avi.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))

    def __enter__(self) -> VideoFile:
        if not Path(self.name).is_file():
            raise AcquisitionError(f"{self.name}: no such file", reason="no camera")
        self._open(_cv2().CAP_ANY, {})
        return self

    def read(self) -> UInt8Array | None:
        """The next frame, None after the last."""
        return self._read()


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise AcquisitionError(
            "USB cameras and video files need OpenCV", reason="no camera", hint=_HINT
        ) from error
    return cv2
