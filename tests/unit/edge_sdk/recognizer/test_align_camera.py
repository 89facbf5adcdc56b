"""Aligned crops of one person from the frames of a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.recognizer.align_camera import AlignedFrames, align_camera
from edge_sdk.recognizer.posing import INTERVAL_S, pose
from edge_sdk.types import UInt8Array
from edge_sdk.vision.orientation import turn
from edge_sdk.vision.quality import Limits, Refusal
from tests.painted_faces import PaintedFaceDetector, painted_frame

CONTRACT = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)
ANYTHING = Limits(
    min_eye_distance_px=1, min_sharpness=0, min_brightness=0, min_contrast=0, max_exposed_wrongly=1, max_landmark_misfit=9
)  # fmt: skip
EMPTY = np.full((240, 320, 3), 90, np.uint8)


class Frames:
    """Camera of given frames."""

    name = "frames"

    def __init__(self, frames: Sequence[UInt8Array], *, live: bool = False) -> None:
        self._frames = iter(frames)
        self.live = live

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        return next(self._frames, None)


def crops_of(
    frames: Sequence[UInt8Array], folder: Path, name: str = "ann", **options: object
) -> AlignedFrames:
    detector = PaintedFaceDetector()
    return align_camera(detector, Frames(frames), name, folder, CONTRACT, limits=ANYTHING, **options)  # type: ignore[arg-type]


def test_crops_of_people_are_written_side_by_side(tmp_path: Path) -> None:
    advice: list[str] = []
    frames = [EMPTY, EMPTY, painted_frame(), turn(painted_frame(), 180), painted_frame((100, 150))]
    result = crops_of(frames, tmp_path / "crops", guide=advice.append)
    assert result.written == ("ann/0001.png", "ann/0002.png")
    assert result.frames == 5
    assert advice[0] == "stand in front of the camera" and advice[1].endswith("--rotate 180")
    assert dict(result.refused)["stand in front of the camera"] == 2
    crops_of(frames, tmp_path / "crops", "bob", most=1)
    files = sorted(path.relative_to(tmp_path / "crops").as_posix() for path in tmp_path.rglob("*.png"))
    assert files == ["ann/0001.png", "ann/0002.png", "bob/0001.png"]


def test_nothing_is_written_without_a_good_picture(tmp_path: Path) -> None:
    with pytest.raises(AcquisitionError, match="found none in 3 frames") as refused:
        crops_of([EMPTY] * 3, tmp_path / "crops")
    assert refused.value.hint == "stand in front of the camera"
    assert list((tmp_path / "crops").iterdir()) == []


@pytest.mark.parametrize("name", ["../ann", ".ann", "", "a\\b"])
def test_a_name_is_the_name_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        crops_of([painted_frame()], tmp_path, name)


def test_crops_of_an_earlier_time_are_kept(tmp_path: Path) -> None:
    crops_of([painted_frame()], tmp_path)
    with pytest.raises(InputError, match="expected a new or empty folder"):
        crops_of([painted_frame()], tmp_path)


def test_a_person_at_a_live_camera_has_time_to_move() -> None:
    frames = [np.full((16, 16, 3), level, np.uint8) for level in range(40)]
    ticks = iter(np.arange(0, 100, INTERVAL_S / 4))
    posed = pose(
        Frames(frames, live=True), lambda frame: int(frame[0, 0, 0]), most=3, clock=lambda: float(next(ticks))
    )
    first, second, third = posed.samples
    assert second - first > 1 and third - second > 1


def test_the_time_to_pose_ends() -> None:
    ticks = iter(range(100))
    refuse = Refusal("too_far", "", "come closer")
    with pytest.raises(AcquisitionError) as refused:
        pose(Frames([EMPTY] * 50), lambda _: refuse, most=1, seconds=5, clock=lambda: float(next(ticks)))
    assert refused.value.hint == "come closer"
