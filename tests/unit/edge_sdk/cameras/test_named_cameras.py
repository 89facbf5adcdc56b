"""Cameras are named by kind, number, path or address, and each can turn its frames."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_sdk.cameras import (
    Camera,
    FolderCamera,
    NetworkCamera,
    PiCamera,
    Rotated,
    V4l2Camera,
    VideoFile,
    camera_named,
)
from edge_sdk.errors import AcquisitionError, InputError

STAND_INS = Path(__file__).parents[3] / "stand_ins"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pi", PiCamera),
        ("pi:1", PiCamera),
        ("usb", V4l2Camera),
        ("usb:2", V4l2Camera),
        ("2", V4l2Camera),
        ("/dev/video0", V4l2Camera),
        ("/dev/v4l/by-path/pci-0-usb-0:1:1.0-video-index0", V4l2Camera),
        ("usb:/dev/v4l/by-id/usb-Foo-video-index0", V4l2Camera),
        ("rtsp://127.0.0.1:8554/door", NetworkCamera),
        ("RTSP://127.0.0.1:8554/door", NetworkCamera),
        ("https://camera.local/stream.mjpg", NetworkCamera),
    ],
)
def test_a_name_names_a_camera_that_need_not_be_there_yet(name: str, kind: type) -> None:
    camera = camera_named(name, rotate=90)
    assert type(camera) is kind
    assert camera.live and camera.rotate == 90  # type: ignore[attr-defined]


def test_a_device_by_its_number_and_by_its_path_has_its_name_in_messages() -> None:
    names = [camera_named(name).name for name in ("usb:3", "/dev/video3", "usb:/dev/v4l/by-id/usb-A")]
    assert names == ["camera /dev/video3", "camera /dev/video3", "camera /dev/v4l/by-id/usb-A"]


def test_a_path_names_a_folder_or_a_file(tmp_path: Path) -> None:
    video = tmp_path / "door.mp4"
    video.touch()
    assert type(camera_named(str(tmp_path))) is FolderCamera
    assert type(camera_named(str(video))) is VideoFile


def test_a_link_to_a_device_is_a_camera(tmp_path: Path) -> None:
    link = tmp_path / "door-camera"
    link.symlink_to("/dev/null")
    camera = camera_named(str(link))
    assert type(camera) is V4l2Camera
    with pytest.raises(AcquisitionError, match="cannot be opened"), camera:
        pass


def test_a_device_that_is_not_connected_is_one_error() -> None:
    with (
        pytest.raises(AcquisitionError, match="no such device") as refused,
        camera_named("/dev/v4l/by-id/usb-A"),
    ):
        pass
    assert (refused.value.reason, "/dev/v4l/by-id" in str(refused.value.hint)) == ("no camera", True)


@pytest.mark.parametrize(
    "name", ["front door", "usb:front", "pi:x", "ftp://127.0.0.1/a", "udp://0.0.0.0:1", "", "\0"]
)
def test_another_name_is_one_error_that_lists_the_possible_ones(name: str) -> None:
    with pytest.raises(InputError, match="expected a camera") as refused:
        camera_named(name)
    for possible in ("pi:N", "usb:N", "/dev/v4l/by-id", "rtsp://", "http://", "video file", "folder"):
        assert possible in str(refused.value.hint)


@pytest.mark.parametrize("rotate", [1, 45, 360, -90])
def test_a_camera_turns_by_quarter_turns_only(rotate: int) -> None:
    for name in ("pi", "usb", "rtsp://127.0.0.1/door", str(STAND_INS)):
        with pytest.raises(InputError, match="0, 90, 180 or 270"):
            camera_named(name, rotate=rotate)


def marked() -> np.ndarray:
    """Return a frame whose upper left corner is marked."""
    frame = np.full((30, 50, 3), 40, np.uint8)
    frame[:10, :10] = (250, 0, 0)
    return frame


def corner(frame: np.ndarray | None) -> tuple[str, str]:
    """Return in which corner the mark of `marked` is."""
    assert frame is not None and frame.flags.c_contiguous
    row, column = np.argwhere(frame[..., 0] > 180).mean(axis=0)
    return (
        "upper" if row < frame.shape[0] / 2 else "lower",
        "left" if column < frame.shape[1] / 2 else "right",
    )


CORNERS = {0: ("upper", "left"), 90: ("upper", "right"), 180: ("lower", "right"), 270: ("lower", "left")}


@pytest.mark.parametrize("rotate", CORNERS)
def test_a_folder_and_a_video_turn_their_frames_clockwise(tmp_path: Path, rotate: int) -> None:
    cv2 = pytest.importorskip("cv2")
    Image.fromarray(marked()).save(tmp_path / "a.png")
    path = tmp_path / "door.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (50, 30))
    writer.write(np.ascontiguousarray(marked()[..., ::-1]))
    writer.release()
    for name in (tmp_path, path):
        with camera_named(str(name), rotate=rotate) as camera:
            frame = camera.read()
        assert corner(frame) == CORNERS[rotate]
        assert frame is not None and frame.shape == ((30, 50, 3) if rotate in (0, 180) else (50, 30, 3))


@pytest.mark.parametrize("rotate", CORNERS)
def test_the_boards_camera_turns_its_frames(monkeypatch: pytest.MonkeyPatch, rotate: int) -> None:
    monkeypatch.syspath_prepend(str(STAND_INS))
    sys.modules.pop("picamera2", None)
    importlib.import_module("picamera2")
    with PiCamera(height=30, width=50, rotate=rotate) as camera:
        frame = camera.read()
    assert frame.shape == ((30, 50, 3) if rotate in (0, 180) else (50, 30, 3))
    assert frame.flags.c_contiguous


class Plain:
    """Camera of another distribution, without a rotation of its own."""

    name = "plain"
    live = False

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def read(self) -> np.ndarray | None:
        return marked()


@pytest.mark.parametrize("rotate", CORNERS)
def test_any_camera_is_turned_by_the_wrapper(rotate: int) -> None:
    plain = Plain()
    with Rotated(plain, rotate) as camera:
        assert corner(camera.read()) == CORNERS[rotate]
        assert (camera.name, camera.live, camera.rotate) == ("plain", False, rotate)
        twice: Camera = Rotated(camera, 90)
        assert getattr(twice, "rotate") == (rotate + 90) % 360  # noqa: B009
    assert plain.closed
