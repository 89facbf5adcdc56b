"""A mirror folder gives a model by its content, whatever the names of its files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import zoo
from edge_sdk.errors import ModelError
from edge_sdk.zoo import mirror

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]
ENTRY = replace(
    zoo.entry("blazeface-short"),
    name="toy",
    file="toy.tflite",
    address="https://nowhere.invalid/toy",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
)


@pytest.fixture(params=["path", "file address"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Mirror folder that the environment variable names in both ways; downloads would go to another folder."""
    folder = tmp_path / "my mirror"
    folder.mkdir()
    monkeypatch.setenv(zoo.MIRROR, str(folder) if request.param == "path" else folder.as_uri())
    monkeypatch.setenv("EDGE_SDK_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("name", ["toy.tflite", "another name.bin", "0", ".hidden"])
def test_any_file_name_is_accepted(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "a").write_bytes(OTHER)
    (folder / "longer").write_bytes(CONTENT + b"x")
    (folder / name).write_bytes(CONTENT)
    assert zoo.pull(ENTRY) == zoo.path(ENTRY) == folder / name
    assert not (tmp_path / "cache").exists()


def test_another_file_under_the_listed_name_does_not_hide_the_model(folder: Path) -> None:
    (folder / ENTRY.file).write_bytes(OTHER)
    (folder / "renamed").write_bytes(CONTENT)
    assert zoo.path(ENTRY) == folder / "renamed"


def test_a_link_to_the_file_is_followed_and_a_broken_one_ignored(folder: Path, tmp_path: Path) -> None:
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert zoo.path(ENTRY) == folder / "link"


def test_a_wrong_digest_is_refused(folder: Path) -> None:
    (folder / "renamed").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelError, match="found 1 of this size with another SHA-256") as error:
        zoo.pull(ENTRY)
    assert f"expected a file of {len(CONTENT)} bytes with SHA-256 {ENTRY.sha256}" in str(error.value)
    (folder / ENTRY.file).write_bytes(OTHER)
    with pytest.raises(ModelError, match=r"found a different file as toy\.tflite"):
        zoo.pull(ENTRY)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_missing_file_states_the_expected_one(folder: Path, content: bytes) -> None:
    (folder / "renamed").write_bytes(content)
    (folder / "subfolder").mkdir()
    (folder / "subfolder" / ENTRY.file).write_bytes(CONTENT)
    with pytest.raises(ModelError, match=f"SHA-256 {ENTRY.sha256} in .*, found none of this size") as error:
        zoo.path(ENTRY)
    assert error.value.hint == f"put toy.tflite there, under any name, or unset {zoo.MIRROR}"


def test_only_files_of_the_right_size_are_read(folder: Path) -> None:
    """Reading a pipe would block, and reading the sparse file of 1 TiB would take hours."""
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / ENTRY.file)
    with (folder / "huge").open("wb") as stream:
        os.truncate(stream.fileno(), 1 << 40)
    (folder / "renamed").write_bytes(CONTENT)
    assert zoo.path(ENTRY) == folder / "renamed"


def test_a_huge_folder_is_refused_unless_the_file_has_its_listed_name(tmp_path: Path) -> None:
    for number in range(mirror.MAX_ENTRIES + 1):
        (tmp_path / f"{number}").touch()
    with pytest.raises(ModelError, match="expected at most 10000 files, found more") as error:
        mirror.find(ENTRY, tmp_path)
    assert ENTRY.file in (error.value.hint or "")
    (tmp_path / ENTRY.file).write_bytes(CONTENT)
    assert mirror.find(ENTRY, tmp_path) == tmp_path / ENTRY.file


def test_the_number_of_files_to_hash_is_bounded(folder: Path) -> None:
    for number in range(mirror.MAX_CANDIDATES):
        (folder / f"{number:03}").write_bytes(OTHER)
    with pytest.raises(ModelError, match="found 32 of this size"):
        zoo.path(ENTRY)
    (folder / "renamed").write_bytes(CONTENT)
    with pytest.raises(ModelError, match=f"expected at most 32 files of {len(CONTENT)} bytes, found 33"):
        zoo.path(ENTRY)
    (folder / "renamed").rename(folder / ENTRY.file)
    assert zoo.path(ENTRY) == folder / ENTRY.file


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("https://example.org/mirror", "expected the path of a folder or a file:// address"),
        ("file://elsewhere/mirror", "expected the path of a folder or a file:// address"),
        ("file:///nowhere%20at%20all", "expected a folder, found none as /nowhere at all"),
        ("nowhere", "expected a folder, found none as nowhere"),
    ],
)
def test_a_mirror_that_is_no_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, place: str, message: str
) -> None:
    monkeypatch.setenv(zoo.MIRROR, place)
    for get in (zoo.pull, zoo.path):
        with pytest.raises(ModelError, match=message):
            get(ENTRY)
