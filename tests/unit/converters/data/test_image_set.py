"""Folders and archives of the same images give the same image set, and unreadable files are refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from converters.data.image_set import ImageSet
from converters.data.samples import open_samples, open_unlabelled
from edge_sdk.errors import InputError
from tests.labelled_images import contents, write

FILES = contents(2, 2)


def packed(path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in sorted(FILES.items(), reverse=True):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(params=["folder", "tar", "tar.gz", "tar.xz", "zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        return write(tmp_path / "people", FILES)
    if request.param == "zip":
        return zipped(tmp_path / "people.zip")
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[request.param]
    return packed(tmp_path / f"people.{request.param}", mode)


def test_every_kind_of_place_gives_the_same_images_in_any_order(place: Path, tmp_path: Path) -> None:
    images = ImageSet.open(place)
    assert images.names == tuple(sorted(FILES))
    assert {name: images.read(name) for name in reversed(images.names)} == FILES
    samples = open_samples(place)
    assert samples.data_set == "people"
    assert samples.digest == open_samples(write(tmp_path / "reference", FILES)).digest


def test_a_folder_has_one_digest_for_calibration_and_evaluation(tmp_path: Path) -> None:
    from tests.networks import CONTRACT

    folder = write(tmp_path, FILES)
    assert ImageSet.open(folder).crops(CONTRACT).sha256 == open_samples(folder).digest


@pytest.mark.parametrize("cut", [700, 1200, -600])
def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    for path in (packed(tmp_path / "a.tar", "w"), packed(tmp_path / "a.tar.gz", "w:gz")):
        whole = path.read_bytes()
        path.write_bytes(whole[: cut if cut > 0 else len(whole) // 2])
        with pytest.raises(InputError, match="readable"):
            ImageSet.open(path)


def test_a_damaged_member_of_a_zip_is_a_failure_of_that_image(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    images = ImageSet.open(path)
    with pytest.raises(InputError, match="damaged"):
        for name in images.names:
            images.read(name)
    assert open_samples(path).digest != open_samples(zipped(tmp_path / "b.zip")).digest


def test_images_without_labels_are_found_at_any_depth(tmp_path: Path) -> None:
    files = {"a.png": FILES["s00/s00_0001.png"], "x/y/b.png": FILES["s01/s01_0001.png"], "n.txt": b"no"}
    samples = open_unlabelled(write(tmp_path, files))
    assert [sample.name for sample in samples.samples] == ["a.png", "x/y/b.png"]
    assert not samples.labelled


def test_loose_images_beside_subjects_are_counted(tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path, {**FILES, "loose.png": b"x", "s00/deep/x.png": b"x"}))
    assert (len(samples.samples), samples.left_out) == (4, 2)
