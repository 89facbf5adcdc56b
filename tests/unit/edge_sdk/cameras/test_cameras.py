"""Cameras deliver RGB frames, signal the end, and report errors."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from edge_sdk.cameras import FolderCamera, PiCamera, V4l2Camera, VideoFile, Watched
from edge_sdk.cameras.camera import FROZEN_FRAMES, STALE_FRAMES, frames
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.types import UInt8Array

STAND_INS = Path(__file__).parents[3] / "stand_ins"
RED = (200, 30, 20)


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STAND_INS))
    sys.modules.pop("picamera2", None)
    return importlib.import_module("picamera2")


def image(path: Path, color: tuple[int, int, int] = RED) -> Path:
    Image.new("RGB", (64, 48), color).save(path)
    return path


def test_a_folder_is_read_once_in_order_of_names(tmp_path: Path) -> None:
    image(tmp_path / "b.png", (0, 0, 9))
    image(tmp_path / "a.PNG")
    (tmp_path / "notes.txt").write_text("no image")
    with FolderCamera(tmp_path) as camera:
        first, second, end = camera.read(), camera.read(), camera.read()
    assert first is not None and second is not None and end is None
    assert first.shape == (48, 64, 3) and first.dtype == np.uint8
    assert (tuple(first[0, 0]), tuple(second[0, 0])) == (RED, (0, 0, 9))


def test_files_come_in_the_order_given(tmp_path: Path) -> None:
    files = [image(tmp_path / "z.png"), image(tmp_path / "a.png", (1, 2, 3))]
    with FolderCamera(files) as camera:
        frames = [camera.read(), camera.read(), camera.read()]
    assert frames[0] is not None and tuple(frames[0][0, 0]) == RED
    assert frames[2] is None


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_images_is_no_camera(tmp_path: Path, folder: str) -> None:
    with pytest.raises(AcquisitionError) as refused, FolderCamera(tmp_path / folder):
        pass
    assert refused.value.reason == "no camera"


def test_a_damaged_image_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no image")
    with FolderCamera(tmp_path) as camera, pytest.raises(InputError, match=r"a\.jpg"):
        camera.read()


def test_a_picture_larger_than_a_cameras_is_made_smaller(tmp_path: Path) -> None:
    for height, expected in ((3072, (3072, 4096, 3)), (3073, (1537, 2048, 3))):
        path = tmp_path / f"{height}.png"
        Image.new("1", (4096, height)).save(path)
        with FolderCamera([path]) as camera:
            frame = camera.read()
            assert frame is not None and frame.shape == expected


def test_a_folder_has_no_hidden_files(tmp_path: Path) -> None:
    """A Mac writes a hidden file beside each file on a memory stick."""
    Image.new("RGB", (20, 20)).save(tmp_path / "1.png")
    for name in ("._1.png", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + bytes(60))
    with FolderCamera(tmp_path) as camera:
        assert camera.read() is not None and camera.read() is None


def test_a_video_file_gives_rgb_and_ends(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "door.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), RED[::-1], np.uint8))
    writer.release()
    with VideoFile(path) as camera:
        frames = []
        while (frame := camera.read()) is not None:
            frames.append(frame)
    assert len(frames) == 3
    assert np.abs(frames[0].astype(int) - RED).max() <= 8  # JPEG
    with pytest.raises(AcquisitionError, match="is not open"):
        camera.read()


def test_what_cannot_be_opened_is_no_camera(tmp_path: Path) -> None:
    (tmp_path / "noise.avi").write_bytes(bytes(range(256)) * 4)
    for camera in (
        VideoFile(tmp_path / "missing.avi"),
        VideoFile(tmp_path / "noise.avi"),
        V4l2Camera(number=63),
    ):
        with pytest.raises(AcquisitionError) as refused, camera:
            pass
        assert refused.value.reason == "no camera"


def test_the_boards_camera_gives_rgb_without_padding(picamera2: ModuleType) -> None:
    with PiCamera(height=30, width=50) as camera:
        frame = camera.read()
        assert frame.shape == (30, 50, 3) and tuple(frame[5, 5]) == (200, 0, 0)
        assert frame.flags.c_contiguous
    assert picamera2.opened[-1].closed and not picamera2.opened[-1].running


def test_a_loose_cable_is_said_and_the_camera_let_go(
    picamera2: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AcquisitionError, match="no frame came"), PiCamera() as camera:
        camera.read()
        monkeypatch.setattr(picamera2, "delivers", False)
        camera.read()
    assert picamera2.opened[-1].closed


def test_no_camera_on_the_board(picamera2: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera2, "connected", False)
    with pytest.raises(AcquisitionError, match="cannot be opened"), PiCamera():
        pass


def test_without_picamera2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(AcquisitionError) as refused, PiCamera():
        pass
    assert "python3-picamera2" in str(refused.value.hint)


class Scripted:
    """Camera that delivers frames of given values in one reused buffer, as some drivers do."""

    name = "scripted camera"

    def __init__(self, values: list[int], *, live: bool = True) -> None:
        self.live = live
        self._values = iter(values)
        self._buffer = np.zeros((8, 8, 3), np.uint8)

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        value = next(self._values, None)
        if value is None:
            return None
        self._buffer[:] = value
        return self._buffer


def test_a_picture_that_stands_still_is_refused() -> None:
    camera = Watched(Scripted([0] * STALE_FRAMES + [1, 2] + [3] * FROZEN_FRAMES))
    for _ in range(2 + FROZEN_FRAMES - 1):
        assert camera.read() is not None
    with pytest.raises(AcquisitionError) as refused:
        camera.read()
    assert refused.value.reason == "frozen camera"


def test_a_live_picture_is_not() -> None:
    values = [1, 1, 2, 2, 2, 1, 1, 1, 1, 5] * 3
    camera = Watched(Scripted([9] * STALE_FRAMES + values))  # frames buffered by the driver are skipped
    assert [int(frame[0, 0, 0]) for _ in values if (frame := camera.read()) is not None] == values


def test_a_recording_may_stand_still() -> None:
    camera = Watched(Scripted([7] * 20, live=False))
    assert all(camera.read() is not None for _ in range(20))
    assert camera.read() is None


def test_a_frozen_camera_is_noticed_if_the_caller_draws_into_its_frames() -> None:
    camera = Scripted([0] * STALE_FRAMES + [1, 2] + [3] * FROZEN_FRAMES)
    with pytest.raises(AcquisitionError, match="the same frame"):
        for number, frame in enumerate(frames(camera)):
            frame[0, 0] = number
