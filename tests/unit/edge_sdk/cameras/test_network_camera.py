"""A network camera reads a real MJPEG stream, ends with one error if it dies, and keeps its password to itself."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_sdk.cameras import NetworkCamera, frames
from edge_sdk.errors import AcquisitionError, InputError

pytest.importorskip("cv2")

BOUNDARY = "frame"
USER, PASSWORD, TOKEN = "porter", "s3cret-pass", "t0ken-value"
RIGHT = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
#: Long enough for a slow machine; a test that waits for it takes this long.
PATIENT_S, SHORT_S = 120.0, 1.0


class Server:
    """Local camera that sends numbered pictures as MJPEG.

    Attributes:
        behaviour: ``sends`` sends pictures until the end, ``ends`` closes after 5, ``stops`` keeps the connection open after
            5, ``silent`` accepts the connection and sends nothing, ``asks`` wants a password and then sends.
    """

    def __init__(self) -> None:
        self.behaviour = "sends"
        self.over = threading.Event()
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.authorizations.append(self.headers.get("Authorization"))
                if outer.behaviour == "asks" and outer.authorizations[-1] != RIGHT:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="door"')
                    self.end_headers()
                    return
                if outer.behaviour == "silent":
                    outer.over.wait()
                    return
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                self.end_headers()
                with contextlib.suppress(OSError):
                    outer.send(self.wfile.write)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def send(self, write: Callable[[bytes], object]) -> None:
        for number in range(1_000_000):
            if self.over.is_set() or (number >= 5 and self.behaviour == "ends"):
                return
            if number >= 5 and self.behaviour == "stops":
                self.over.wait()
                return
            picture = jpeg(number)
            write(
                f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                + picture
                + b"\r\n"
            )

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def jpeg(number: int) -> bytes:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[..., 0] = 200
    picture[:24, :, 1] = number % 100 * 2
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=95)
    return data.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    opened = Server()
    yield opened
    opened.close()


def test_a_stream_gives_rgb_frames_that_change(server: Server) -> None:
    with NetworkCamera(f"http://{server.address}/video.mjpg", timeout_s=PATIENT_S) as camera:
        assert camera.live
        several = [camera.read() for _ in range(3)]
        assert next(frames(camera)) is not None
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in several)
    assert np.abs(several[0][30, 30].astype(int) - (200, 0, 0)).max() <= 12
    with pytest.raises(AcquisitionError, match="is not open"):
        camera.read()


def test_a_stream_is_turned(server: Server) -> None:
    with NetworkCamera(f"http://{server.address}/v", timeout_s=PATIENT_S, rotate=90) as camera:
        assert camera.read().shape == (64, 48, 3)


def test_a_stream_that_ends_is_one_error(server: Server) -> None:
    server.behaviour = "ends"
    with (
        pytest.raises(AcquisitionError, match=r"the stream ended|cannot be opened") as refused,
        NetworkCamera(f"http://{server.address}/v", timeout_s=PATIENT_S) as camera,
    ):
        for _ in range(10):
            camera.read()
    assert refused.value.reason == "no camera"


@pytest.mark.parametrize("behaviour", ["stops", "silent"])
def test_a_dead_stream_ends_with_one_error_and_not_with_a_hang(server: Server, behaviour: str) -> None:
    server.behaviour = behaviour
    with (
        pytest.raises(AcquisitionError) as refused,
        NetworkCamera(f"http://{server.address}/v", timeout_s=SHORT_S) as camera,
    ):
        for _ in range(10):
            camera.read()
    assert refused.value.reason == "no camera"


def test_a_password_is_sent_and_never_shown(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.behaviour = "asks"
    url = f"http://{USER}:{PASSWORD}@{server.address}/v?token={TOKEN}"
    with NetworkCamera(url, timeout_s=PATIENT_S) as camera:
        camera.read()
        shown = [camera.name, repr(camera)]
    assert RIGHT in server.authorizations
    wrong_password = f"http://{USER}:{TOKEN}@{server.address}/v"
    with pytest.raises(AcquisitionError) as unknown, NetworkCamera(wrong_password, timeout_s=PATIENT_S):
        pass
    shown += [str(unknown.value), str(unknown.value.hint)]
    closed = url.replace(server.address, "127.0.0.1:9")
    with pytest.raises(AcquisitionError) as refused, NetworkCamera(closed, timeout_s=PATIENT_S):
        pass
    shown += [str(refused.value), str(refused.value.hint), *capfd.readouterr()]
    for wrong in (
        f"http://{USER}:{PASSWORD}@:1/v",
        f"ftp://{USER}:{PASSWORD}@host/v",
        f"http://a:{PASSWORD}@b:x/",
    ):
        with pytest.raises(InputError) as malformed:
            NetworkCamera(wrong)
        shown += [str(malformed.value), str(malformed.value.hint)]
    for text in shown:
        assert PASSWORD not in text and TOKEN not in text and USER not in text
    assert camera.name == f"camera http://{server.address}/v"


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_is_above_zero(timeout_s: float) -> None:
    with pytest.raises(InputError, match="timeout"):
        NetworkCamera("rtsp://127.0.0.1/door", timeout_s=timeout_s)


def test_closing_twice_and_opening_again_work(server: Server) -> None:
    camera = NetworkCamera(f"http://{server.address}/v", timeout_s=PATIENT_S)
    for _ in range(2):
        with camera:
            assert camera.read().shape == (48, 64, 3)
        camera.__exit__()
