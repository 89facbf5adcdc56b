"""Network cameras, read with OpenCV."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from edge_sdk.cameras.camera import no_camera
from edge_sdk.cameras.opencv import Capture, import_opencv
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.orientation import check_rotation

SCHEMES = ("rtsp", "rtsps", "http", "https")
#: A stream without a frame for this long is dead.
TIMEOUT_S = 10.0
#: Longest wait at the end for the thread that reads; it may be inside a system call.
_JOIN_S = 2.0


class NetworkCamera:
    """Camera that sends RTSP, or MJPEG over HTTP.

    A thread decodes the stream and keeps only its newest frame, because an old frame may show a person who has left.
    User name, password and query of the address never appear in messages.

    Args:
        url: Address that begins with rtsp, rtsps, http or https.
        timeout_s: Longest wait for the connection and for each frame in seconds, above 0.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270.

    Raises:
        InputError: The address has no host or another scheme, or an option is out of range.
    """

    live = True

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, rotate: int = 0) -> None:
        self.name = f"camera {_public_part(url)}"
        self.rotate = check_rotation(rotate)
        if not 0 < timeout_s < math.inf:
            raise InputError(f"expected a timeout above 0 s, found {timeout_s!r}")
        self._timeout_s = timeout_s
        self._url = url
        self._stream: _Stream | None = None

    def __enter__(self) -> NetworkCamera:
        import_opencv()
        self._stream = stream = _Stream(self._url, self.name, self._timeout_s, self.rotate)
        stream.thread.start()
        if not stream.wait(lambda: stream.opened):
            error = stream.failure()
            self.__exit__()
            raise error
        return self

    def __exit__(self, *error: object) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop = True
            stream.thread.join(_JOIN_S)

    def read(self) -> UInt8Array:
        """Return the newest frame that was not returned before, and wait for it if necessary.

        Raises:
            AcquisitionError: The stream ended, or no frame came within the timeout.
        """
        stream = self._stream
        if stream is None:
            raise no_camera(f"{self.name}: is not open", hint="read inside a with block")
        stream.wait(lambda: stream.newest is not None)
        frame, stream.newest = stream.newest, None
        if frame is None:
            raise stream.failure()
        return frame


class _Stream(Capture):
    """One connection, read by a thread of its own.

    Attributes:
        thread: The thread; it ends with the stream or after `stop` was set.
        opened: True after the connection was made.
        newest: Newest frame that was not returned yet.
    """

    def __init__(self, url: str, name: str, timeout_s: float, rotate: int) -> None:
        super().__init__(url, rotate)
        self._name = name
        self._timeout_s = timeout_s
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.opened = False
        self.newest: UInt8Array | None = None
        self.stop = False
        self._ended = False
        self._error: AcquisitionError | None = None
        self._changed = threading.Condition()

    @property
    def name(self) -> str:
        return self._name

    def wait(self, ready: Callable[[], bool]) -> bool:
        """Wait for a condition, for the end of the stream or for the timeout; return the condition."""
        with self._changed:
            self._changed.wait_for(lambda: ready() or self._ended, self._timeout_s)
            return ready()

    def failure(self) -> AcquisitionError:
        """Create the error for a stream that gives no frame."""
        if self._error is not None:
            return self._error
        reason = "the stream ended" if self._ended else f"no frame came within {self._timeout_s:g} s"
        return no_camera(f"{self.name}: {reason}", hint="check the camera and the network")

    def _run(self) -> None:
        try:
            self._connect()
            while not self.stop and (frame := self._read()) is not None:
                with self._changed:
                    self.newest = frame
                    self._changed.notify_all()
        except AcquisitionError as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self.__exit__()

    def _connect(self) -> None:
        cv2 = import_opencv()
        wait_ms = max(1, round(self._timeout_s * 1000))
        self._open(
            self._source,
            cv2.CAP_FFMPEG,
            hint="check the address, its user name and password, and the network",
            parameters=[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait_ms],
        )
        with self._changed:
            self.opened = True
            self._changed.notify_all()


def _public_part(url: str) -> str:
    """Return an address without user name, password, query and fragment.

    Raises:
        InputError: The address has another scheme or no host; the message does not contain it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError("expected the address of a network camera, found a malformed one") from error
    if parts.scheme not in SCHEMES or not host:
        raise InputError(
            f"expected an address such as rtsp://HOST/PATH with one of {', '.join(SCHEMES)}, found another one"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path}"
