"""Two galleries of one key file: a warning when the second is sealed, and no exchange of their files."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from pathlib import Path

import pytest

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import FileAnchor, Gallery, KeyFile
from edge_sdk.notices import GalleryWarning
from tests.unit.edge_sdk.gallery.galleries import MODEL, OTHER, D, embeddings, names

SHARED = "this key file is also the key of .*front"


def create(path: Path, key: KeyFile) -> Gallery:
    return Gallery.create(path, key=key, model_id=MODEL, dimension=D)


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "home.key")


@pytest.fixture
def two(tmp_path: Path, key: KeyFile) -> tuple[Path, Path]:
    """Return the paths of two galleries with the same key."""
    front, safe = tmp_path / "front", tmp_path / "safe"
    create(front, key).enrol("cleaner", embeddings(1))
    with pytest.warns(GalleryWarning, match=SHARED):
        create(safe, key)
    return front, safe


def test_galleries_of_one_key_file_cannot_be_exchanged(two: tuple[Path, Path], key: KeyFile) -> None:
    front, safe = two
    assert names(safe, key) == []
    front_id = Gallery.open(front, key=key).status().gallery_id
    for suffix in ("", ".audit", ".lock"):
        shutil.copy(f"{front}{suffix}", f"{safe}{suffix}")
    with pytest.raises(GalleryError, match=r"which the key file notes for .*safe, found gallery") as caught:
        Gallery.open(safe, key=key)
    assert f"give --gallery-id {front_id}" in str(caught.value.hint)
    assert names(safe, key, gallery_id=front_id) == ["cleaner"], "an administrator who moved it says so"
    assert names(front, key) == ["cleaner"]


def test_galleries_of_the_same_name_in_two_folders_cannot_be_exchanged(tmp_path: Path, key: KeyFile) -> None:
    paths = [tmp_path / folder / "home.gallery" for folder in ("front", "safe")]
    for path in paths:
        path.parent.mkdir()
    create(paths[0], key)
    with pytest.warns(GalleryWarning, match=SHARED):
        create(paths[1], key)
    shutil.copy(paths[0], paths[1])
    with pytest.raises(GalleryError, match="which the key file notes"):
        Gallery.open(os.path.relpath(paths[1]), key=key)


def test_a_gallery_whose_id_the_program_knows_is_not_exchanged_whatever_its_key(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("front", "safe")]
    ids = [Gallery.create(path, key=OTHER, model_id=MODEL, dimension=D).status().gallery_id for path in paths]
    for gallery_id in (ids[1], bytes.fromhex(ids[1])):
        assert names(paths[1], OTHER, gallery_id=gallery_id) == []
        with pytest.raises(GalleryError, match=rf"^expected gallery {ids[1]}, found gallery {ids[0]} at"):
            Gallery.open(paths[0], key=OTHER, gallery_id=gallery_id)
    for malformed in ("", "no id", ids[0][:-2], bytes(15), 7):
        with pytest.raises(InputError, match="expected a gallery id of 32 hexadecimal digits"):
            Gallery.open(paths[0], key=OTHER, gallery_id=malformed)  # type: ignore[arg-type]


def test_a_gallery_of_an_earlier_version_is_seen_next_to_a_new_one(tmp_path: Path, key: KeyFile) -> None:
    create(tmp_path / "front", key)
    file = tmp_path / "home.key"
    file.write_bytes(file.read_bytes()[:32])
    with pytest.warns(GalleryWarning, match=SHARED):
        create(tmp_path / "safe", key)


def test_added_and_rotated_keys_are_noted(tmp_path: Path, key: KeyFile) -> None:
    create(tmp_path / "front", key)
    other = Gallery.create(tmp_path / "safe", key=OTHER, model_id=MODEL, dimension=D)
    with pytest.warns(GalleryWarning, match=SHARED):
        other.keys.add(key)
    shutil.copy(tmp_path / "front", tmp_path / "safe")
    with pytest.raises(GalleryError, match="which the key file notes"):
        Gallery.open(tmp_path / "safe", key=key)
    third = Gallery.create(tmp_path / "third", key=OTHER, model_id=MODEL, dimension=D)
    with pytest.warns(GalleryWarning, match=SHARED):
        third.keys.rotate(key)
    assert list(key.galleries()) == [str(tmp_path / name) for name in ("front", "safe", "third")]


def test_no_warning_for_a_new_gallery_in_place_of_one_that_was_moved_away(
    tmp_path: Path, key: KeyFile
) -> None:
    path, away = tmp_path / "home", tmp_path / "attic"
    create(path, key)
    away.mkdir()
    for suffix in ("", ".audit", ".lock"):
        Path(f"{path}{suffix}").rename(away / f"home{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create(path, key).enrol("ann", embeddings(1))
    assert names(path, key) == ["ann"]
    assert names(away / "home", key) == [], "a gallery at another path opens"
    shutil.copy(away / "home", path)
    with pytest.raises(GalleryError, match="which the key file notes"):
        Gallery.open(path, key=key)


def test_a_key_file_is_32_bytes_and_notes_and_nothing_else(tmp_path: Path, key: KeyFile) -> None:
    file = tmp_path / "home.key"
    secret = file.read_bytes()
    assert len(secret) == 32
    place = str(tmp_path / "a path with\na line feed and \udcff")
    assert key.note_gallery(place, bytes(16))
    noted = file.read_bytes()
    assert (noted[:32], key.secret(b""), key.galleries()) == (secret, secret, {place: bytes(16)})
    for torn in range(32, len(noted)):
        file.write_bytes(noted[:torn])
        assert key.secret(b"") == secret
        assert key.note_gallery("/b", b"b" * 16)
        assert key.galleries()["/b"] == b"b" * 16
    for wrong in (secret[:31], secret + b"x", secret * 2, secret + bytes(65536), noted + bytes(65536)):
        file.write_bytes(wrong)
        with pytest.raises(GalleryError, match="expected a key file of 32 bytes"):
            key.secret(b"")
    file.write_bytes(noted + b"\n" * (65536 - len(noted)))
    assert not key.note_gallery("/c", bytes(16))
    assert key.galleries() == {place: bytes(16)}


def test_a_key_file_on_a_read_only_medium_gets_no_note(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    missing = KeyFile(tmp_path / "folder" / "missing.key")
    assert not missing.note_gallery("/a", bytes(16))
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("failing", ["write", "fsync of the file", "fsync of the folder"])
def test_a_key_file_that_cannot_be_written_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """os.fsync is replaced, because no file system fails on demand."""
    real, calls = os.fsync, []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == ("fsync of the file", "fsync of the folder").index(failing) + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(handle)

    if failing == "write":
        monkeypatch.setattr("edge_sdk.gallery.keys.file.os.urandom", lambda size: bytes(size - 1))
    else:
        monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(GalleryError, match="cannot write the key file"):
        KeyFile.create(tmp_path / "home.key")
    assert list(tmp_path.iterdir()) == []


def test_a_shared_anchor_refuses_the_exchange_too(tmp_path: Path, key: KeyFile) -> None:
    front, safe = tmp_path / "front", tmp_path / "safe"
    for path in (front, safe):
        anchor = FileAnchor(f"{path}.anchor")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GalleryWarning)
            Gallery.create(path, key=key, model_id=MODEL, dimension=D, anchor=anchor)
    shutil.copy(front, safe)
    with pytest.raises(GalleryError, match="is the anchor of another gallery"):
        Gallery.open(safe, key=key, anchor=FileAnchor(f"{safe}.anchor"))
