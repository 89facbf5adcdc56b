"""Raspberry Pi camera, read with the system's picamera2."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

from edge_sdk.cameras.camera import no_camera
from edge_sdk.imports import ImportFailure, describe, numpy_cure, try_import
from edge_sdk.types import UInt8Array
from edge_sdk.vision.orientation import check_rotation, turn

#: picamera2 waits without limit if the sensor stops, for example because of a loose ribbon cable.
FRAME_TIMEOUT_S = 2.0
#: picamera2 and libcamera raise errors of many types if a camera is missing, busy or lost, or another numpy is installed.
_DRIVER_ERRORS = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)


class PiCamera:
    """Camera on the ribbon cable.

    Args:
        height: Height in pixels.
        width: Width in pixels; a multiple of 32 avoids padding and a copy.
        number: Number of the camera, from 0.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270. Height and width are those before the turn.
    """

    live = True

    def __init__(self, *, height: int = 480, width: int = 640, number: int = 0, rotate: int = 0) -> None:
        self.rotate = check_rotation(rotate)
        self._size = (height, width)
        self._number = number
        self._camera: Any = None

    @property
    def name(self) -> str:
        """Name of the camera in messages."""
        return f"Raspberry Pi camera {self._number}"

    def __enter__(self) -> PiCamera:
        module = import_picamera2()
        if isinstance(module, ImportFailure):
            raise no_camera(f"the Raspberry Pi camera needs picamera2: {module.message}", hint=module.hint)
        height, width = self._size
        try:
            camera = module.Picamera2(self._number)
            # picamera2 names formats by byte order in a word; "BGR888" is R, G, B in memory.
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (width, height), "format": "BGR888"}, buffer_count=2, queue=False
                )
            )
            camera.start()
        except _DRIVER_ERRORS as error:
            raise no_camera(
                f"{self.name}: cannot be opened: {describe(error)}",
                hint=numpy_cure(str(error)) or "list the detected cameras with rpicam-hello --list-cameras",
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
        from concurrent.futures import CancelledError
        from concurrent.futures import TimeoutError as FutureTimeoutError

        try:
            frame = self._camera.capture_array("main", wait=False).get_result(timeout=FRAME_TIMEOUT_S)
        except (FutureTimeoutError, CancelledError) as error:
            raise no_camera(
                f"{self.name}: no frame came within {FRAME_TIMEOUT_S:g} s", hint="check the ribbon cable"
            ) from error
        except _DRIVER_ERRORS as error:
            raise no_camera(
                f"{self.name}: no frame came: {describe(error)}",
                hint=numpy_cure(str(error)) or "check the ribbon cable",
            ) from error
        height, width = self._size
        # Rows may be padded to the hardware's alignment.
        return turn(frame[:height, :width, :3], self.rotate)


def import_picamera2() -> ModuleType | ImportFailure:
    """Import picamera2; return the reason if that is not possible."""
    failure = try_import(
        "picamera2",
        package="picamera2",
        install="apt install python3-picamera2, and create the environment with --system-site-packages",
    )
    if isinstance(failure, ImportFailure) and not failure.missing and numpy_cure(failure.message):
        # picamera2 comes from the distribution and needs the numpy that the distribution has.
        return replace(
            failure,
            hint="install the numpy for which the system's picamera2 was built: pip install 'numpy<2' (Raspberry Pi OS"
            " Bookworm) or pip install 'numpy>=2' (Trixie); or remove numpy from the environment (pip uninstall numpy)",
        )
    return failure
