"""USB cameras and video files, read with OpenCV."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_sdk.cameras.camera import no_camera
from edge_sdk.extras import install_command
from edge_sdk.imports import ImportFailure, try_import
from edge_sdk.types import UInt8Array
from edge_sdk.vision.orientation import check_rotation, turn

_VIDEO_DEVICE = re.compile(r"/dev/video(\d+)")


class Capture:
    """Base class of cameras that read `cv2.VideoCapture`; converts BGR to RGB.

    Args:
        source: Number, path or address for OpenCV.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270.
    """

    def __init__(self, source: int | str, rotate: int) -> None:
        self._source = source
        self._capture: Any = None
        self.rotate = check_rotation(rotate)

    @property
    def name(self) -> str:
        """Name of the camera in messages."""
        return str(self._source)

    def _open(
        self,
        source: int | str,
        api: int,
        *,
        hint: str,
        parameters: Sequence[int] = (),
        settings: Mapping[int, float] | None = None,
    ) -> None:
        cv2 = import_opencv()
        try:
            capture = cv2.VideoCapture(source, api, list(parameters))
            if not capture.isOpened():
                capture.release()
                raise no_camera(f"{self.name}: cannot be opened", hint=hint)
            for key, value in (settings or {}).items():
                capture.set(key, value)
        except cv2.error as error:
            raise no_camera(f"{self.name}: cannot be opened: OpenCV error {error.code}", hint=hint) from error
        self._capture = capture

    def __exit__(self, *error: object) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _read(self) -> UInt8Array | None:
        if self._capture is None:
            raise no_camera(f"{self.name}: is not open", hint="read inside a with block")
        try:
            success, frame = self._capture.read()
        except import_opencv().error as error:
            raise no_camera(f"{self.name}: no frame was delivered: OpenCV error {error.code}") from error
        # One copy for both, BGR to RGB and the turn.
        return turn(frame[..., ::-1], self.rotate) if success else None


class V4l2Camera(Capture):
    """USB camera.

    Args:
        number: Number of the device, 0 for `/dev/video0`; or its path, such as a link in `/dev/v4l/by-id`, which stays the
            same if another camera is connected.
        height: Requested height in pixels; the camera uses its nearest size.
        width: Requested width in pixels; the camera uses its nearest size.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270. The other sizes are those before the turn.
    """

    live = True

    def __init__(
        self, number: int | str | Path = 0, *, height: int = 480, width: int = 640, rotate: int = 0
    ) -> None:
        super().__init__(number if isinstance(number, int) else str(number), rotate)
        self._size = (height, width)

    @property
    def name(self) -> str:
        """Name of the device in messages."""
        return (
            f"camera /dev/video{self._source}" if isinstance(self._source, int) else f"camera {self._source}"
        )

    def __enter__(self) -> V4l2Camera:
        cv2 = import_opencv()
        source = self._source
        if isinstance(source, str):
            if not Path(source).exists():
                raise no_camera(f"{self.name}: no such device", hint="list the cameras: ls -l /dev/v4l/by-id")
            # OpenCV reads the number of a device from its name.
            device = _VIDEO_DEVICE.fullmatch(os.path.realpath(source))
            source = int(device[1]) if device else source
        height, width = self._size
        self._open(
            source,
            cv2.CAP_V4L2,
            hint="check its cable, its other users and this user's group video (v4l2-ctl --list-devices); a folder of photographs"
            " can stand for a camera",
            # One buffer, because an old frame may show a person who has left.
            settings={
                cv2.CAP_PROP_FRAME_HEIGHT: height,
                cv2.CAP_PROP_FRAME_WIDTH: width,
                cv2.CAP_PROP_BUFFERSIZE: 1,
            },
        )
        return self

    def read(self) -> UInt8Array:
        """Read the next frame; raises AcquisitionError if there is none, for example after unplugging."""
        frame = self._read()
        if frame is None:
            raise no_camera(f"{self.name}: no frame was delivered", hint="check that it is plugged in")
        return frame


class VideoFile(Capture):
    """Recording that is read once, frame by frame.

    Args:
        path: A file that OpenCV can decode, such as .mp4 or .avi.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270.
    """

    live = False

    def __init__(self, path: str | Path, *, rotate: int = 0) -> None:
        super().__init__(str(path), rotate)

    def __enter__(self) -> VideoFile:
        if not Path(self.name).is_file():
            raise no_camera(f"{self.name}: no such file")
        self._open(self.name, import_opencv().CAP_ANY, hint="check the file's video format")
        return self

    def read(self) -> UInt8Array | None:
        """Read the next frame; None after the last."""
        return self._read()


def import_opencv() -> Any:
    """Import OpenCV.

    Raises:
        AcquisitionError: It is not installed, or does not load.
    """
    module = try_import("cv2", package="OpenCV", install=install_command("camera"))
    if isinstance(module, ImportFailure):
        raise no_camera(
            f"USB cameras, network cameras and video files need OpenCV: {module.message}", hint=module.hint
        )
    return module
