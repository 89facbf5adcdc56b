"""Aligned crops from a folder of photographs."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface
from edge_sdk.vision.align_folder import PerPerson, align_folder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.orientation import ROTATIONS, turn
from tests.painted_faces import SCORES, PaintedFaceDetector, painted_frame

CONTRACT = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)


def face_at(left: float, top: float, size: float) -> Face:
    landmarks = np.array(arcface(112, 112)) * size / 112 + [left, top]
    return Face((left, top, size, size), landmarks, 0.9)


class FakeDetector:
    """Detector that finds given faces in bright frames and none in dark ones."""

    def __init__(self, *faces: Face) -> None:
        self._faces = faces

    def detect(self, frame: np.ndarray) -> tuple[Face, ...]:
        return self._faces if frame.mean() > 64 else ()


def photograph(path: Path, *, level: int = 128) -> None:
    """Write a photograph that differs from those of other paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((250, 250, 3), level, np.uint8)
    pixels[50:162, 50:162, 0] = min(level + 100, 255)
    pixels[100:104, 60:120, 1] += (
        np.frombuffer(hashlib.sha256(str(path).encode()).digest(), np.uint8)[:4, None] % 8
    )
    Image.fromarray(pixels).save(path)


def test_crops_keep_the_folders_of_persons_and_refusals_are_listed(tmp_path: Path) -> None:
    photos, crops = tmp_path / "photos", tmp_path / "crops"
    photograph(photos / "ann" / "1.jpg")
    photograph(photos / "ann" / "1.png")
    photograph(photos / "bob" / "2.ppm")
    photograph(photos / "bob" / "dark.png", level=5)
    photograph(photos / "bob" / "._2.png")
    (photos / "bob" / "3.jpg").write_bytes(b"not an image")
    steps: list[tuple[int, int]] = []
    result = align_folder(
        FakeDetector(face_at(50, 50, 112)),
        photos,
        crops,
        CONTRACT,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert result.written == ("ann/1.png", "ann/1.png.png", "bob/2.png")
    assert [name for name, _ in result.refused] == ["bob/3.jpg", "bob/dark.png"]
    assert result.refused[1] == ("bob/dark.png", "no face")
    assert steps[-1] == (5, 5)
    assert sorted(p.relative_to(crops).as_posix() for p in crops.rglob("*.png")) == sorted(result.written)
    pixels = np.asarray(Image.open(crops / "bob" / "2.png"))
    assert pixels.shape == (112, 112, 3)
    assert abs(int(pixels[56, 56, 0]) - 228) <= 2


def test_the_central_or_the_largest_face_is_taken(tmp_path: Path) -> None:
    photograph(tmp_path / "photos" / "1.png")
    faces = FakeDetector(face_at(0, 0, 60), face_at(100, 100, 50))
    for choose, level in (("central", 228), ("largest", 128)):
        align_folder(faces, tmp_path / "photos", tmp_path / choose, CONTRACT, choose=choose)
        red = np.asarray(Image.open(tmp_path / choose / "1.png"))[40:70, 40:70, 0]
        assert abs(float(red.mean()) - level) < 3
    with pytest.raises(InputError, match="expected a choice of central or largest"):
        align_folder(faces, tmp_path / "photos", tmp_path / "c", CONTRACT, choose="first")


def test_nothing_is_written_if_the_folders_cannot_be_used(tmp_path: Path) -> None:
    detector = FakeDetector(face_at(50, 50, 112))
    photos, crops = tmp_path / "photos", tmp_path / "crops"
    with pytest.raises(InputError, match="expected a folder of photographs"):
        align_folder(detector, photos, crops, CONTRACT)
    photos.mkdir()
    with pytest.raises(InputError, match="expected photographs"):
        align_folder(detector, photos, crops, CONTRACT)
    photograph(photos / "dark.png", level=5)
    with pytest.raises(
        InputError, match=r"expected photographs of upright faces, found none; dark.png: no face"
    ):
        align_folder(detector, photos, crops, CONTRACT)
    photograph(photos / "1.png")
    crops.mkdir()
    (crops / "other.txt").write_text("kept")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        align_folder(detector, photos, crops, CONTRACT)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".align")] == []
    assert (crops / "other.txt").read_text() == "kept"


def painted_photographs(folder: Path, *turns: int) -> None:
    folder.mkdir()
    for degrees in turns:
        Image.fromarray(turn(painted_frame(), degrees)).save(folder / f"{degrees}.png")


@pytest.mark.parametrize("scores", [SCORES, (0.9, 0.0, 0.0, 0.0)], ids=["turned faces found", "not found"])
def test_turned_photographs_are_refused_with_the_angle_to_set(
    tmp_path: Path, scores: tuple[float, float, float, float]
) -> None:
    painted_photographs(tmp_path / "photos", *ROTATIONS)
    result = align_folder(PaintedFaceDetector(scores), tmp_path / "photos", tmp_path / "crops", CONTRACT)
    assert result.written == ("0.png",)
    assert [(name, reason.split()[-2:]) for name, reason in result.refused] == [
        ("180.png", ["--rotate", "180"]),
        ("270.png", ["--rotate", "90"]),
        ("90.png", ["--rotate", "270"]),
    ]


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_rotation_turns_every_photograph(tmp_path: Path, turned: int) -> None:
    painted_photographs(tmp_path / "photos", 0)
    painted_photographs(tmp_path / "turned", turned, 0)
    align_folder(PaintedFaceDetector(), tmp_path / "photos", tmp_path / "crops", CONTRACT)
    result = align_folder(
        PaintedFaceDetector(), tmp_path / "turned", tmp_path / "others", CONTRACT, rotate=360 - turned
    )
    assert result.written == (f"{turned}.png",)
    # The other photograph is upright without a rotation.
    assert [(name, reason.split()[-1]) for name, reason in result.refused] == [("0.png", "0")]
    crops = [Image.open(tmp_path / name) for name in ("crops/0.png", f"others/{turned}.png")]
    assert np.array_equal(*map(np.asarray, crops))


def test_a_folder_of_turned_photographs_is_an_error_with_the_angle(tmp_path: Path) -> None:
    painted_photographs(tmp_path / "photos", 180)
    detector = PaintedFaceDetector()
    with pytest.raises(InputError, match=r"upright faces, found none; 180\.png: .* --rotate 180"):
        align_folder(detector, tmp_path / "photos", tmp_path / "crops", CONTRACT)
    assert not (tmp_path / "crops").exists()
    with pytest.raises(InputError, match="expected a rotation of 0, 90, 180 or 270 degrees"):
        align_folder(detector, tmp_path / "photos", tmp_path / "crops", CONTRACT, rotate=45)


def test_a_copy_of_a_photograph_is_refused_and_a_person_without_photographs_is_listed(tmp_path: Path) -> None:
    photos, crops = tmp_path / "photos", tmp_path / "crops"
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "bob/2.png", "bob/3.png"):
        photograph(photos / name)
    shutil.copy(photos / "ann" / "1.png", photos / "bob" / "1.png")
    for name in ("carol/1.heic", "__MACOSX/._1.png", ".git/index"):
        (photos / name).parent.mkdir()
        (photos / name).touch()
    detector = FakeDetector(face_at(50, 50, 112))
    result = align_folder(detector, photos, crops, CONTRACT, per_person=PerPerson(least=2))
    assert result.refused == (("bob/1.png", "shows the same face as ann/1.png, pixel by pixel"),)
    people = [(person.name, person.photographs, person.crops, person.written) for person in result.people]
    assert people == [("ann", 2, 2, True), ("bob", 3, 2, True), ("carol", 0, 0, False)]


def test_people_with_too_few_usable_photographs_are_left_out(tmp_path: Path) -> None:
    photos, crops = tmp_path / "photos", tmp_path / "crops"
    for name in ("ann/1.png", "ann/2.png", "bob/1.png"):
        photograph(photos / name)
    photograph(photos / "bob" / "dark.png", level=5)
    photograph(photos / "eve" / "dark.png", level=5)
    detector = FakeDetector(face_at(50, 50, 112))
    result = align_folder(detector, photos, crops, CONTRACT, per_person=PerPerson(least=2))
    assert result.written == ("ann/1.png", "ann/2.png")
    people = [(person.name, person.photographs, person.crops, person.written) for person in result.people]
    assert people == [("ann", 2, 2, True), ("bob", 2, 1, False), ("eve", 1, 0, False)]
    assert [path.name for path in crops.iterdir()] == ["ann"]
    with pytest.raises(InputError, match="expected a person with 3 usable photographs, found at most 2"):
        align_folder(detector, photos, tmp_path / "none", CONTRACT, per_person=PerPerson(least=3))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("name", "where"), [("1.png", "beside"), ("ann/summer/1.png", "deeper")])
def test_a_photograph_outside_the_folders_of_people_is_named(tmp_path: Path, name: str, where: str) -> None:
    photograph(tmp_path / "ann" / "1.png")
    photograph(tmp_path / name)
    with pytest.raises(InputError, match=f"found a photograph {where}.*: {name}"):
        align_folder(FakeDetector(), tmp_path, tmp_path / "crops", CONTRACT, per_person=PerPerson())


def test_each_photograph_shows_one_person(tmp_path: Path) -> None:
    photograph(tmp_path / "photos" / "ann" / "1.png")
    two = FakeDetector(face_at(50, 50, 112), face_at(160, 160, 90))
    assert align_folder(two, tmp_path / "photos", tmp_path / "any", CONTRACT).written
    with pytest.raises(InputError, match="another face is 65% as large"):
        align_folder(two, tmp_path / "photos", tmp_path / "crops", CONTRACT, per_person=PerPerson(1))
