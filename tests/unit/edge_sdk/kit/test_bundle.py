"""A kit is read only as its manifest lists it; anything else is refused before a network is parsed."""

from __future__ import annotations

import hashlib
import tracemalloc
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.kit import KitFile, KitManifest, KitMember, Role, write_kit
from edge_sdk.kit.manifest import MANIFEST_NAME, MAX_KIT_BYTES

FILES = {"face.tflite": b"embedder" * 40, "detector.tflite": b"detector" * 30, "licence.txt": b"Apache-2.0\n"}
ROLES = {"face.tflite": Role.EMBEDDER, "detector.tflite": Role.DETECTOR, "licence.txt": Role.LICENCE}


def manifest_of(files: Mapping[str, bytes] = FILES) -> KitManifest:
    members = (
        KitMember(name, ROLES[name], hashlib.sha256(content).hexdigest(), len(content))
        for name, content in files.items()
    )
    return KitManifest("face", "1", tuple(members), fpir=0.01, limits=("not measured on your camera",))


def write_archive(
    path: Path, entries: Sequence[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED
) -> Path:
    """Write an archive as somebody who does not use `write_kit` would."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def entries_of(files: Mapping[str, bytes] = FILES) -> list[tuple[str, bytes]]:
    return [(MANIFEST_NAME, manifest_of().to_bytes()), *files.items()]


def test_a_written_kit_gives_its_manifest_and_members_back(tmp_path: Path) -> None:
    written = write_kit(tmp_path / "face.edgekit", manifest_of(), FILES)
    kit = KitFile.open(tmp_path / "face.edgekit")
    assert kit == written
    assert kit.manifest == manifest_of()
    assert kit.sha256 == hashlib.sha256(kit.path.read_bytes()).hexdigest()
    assert {member.file: kit.read(member) for member in kit.manifest.members} == FILES


@pytest.mark.parametrize("version", ["", "1\n2", "1\x1b[2J", "1\u202e", "x" * 65])
def test_a_version_is_a_short_line_of_visible_characters(version: str) -> None:
    with pytest.raises(ModelCardError, match="expected a version"):
        replace(manifest_of(), version=version)


def test_equal_kits_have_equal_bytes_at_any_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_kit(tmp_path / name, manifest_of(), dict(reversed(FILES.items())) if name == "b" else FILES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.namelist() == [MANIFEST_NAME, *FILES]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_every_changed_byte_gives_the_same_content_or_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "face.edgekit"
    write_kit(path, manifest_of(), FILES)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x21]) + whole[position + 1 :])
        try:
            kit = KitFile.open(path)
        except ModelError:
            refused += 1
            continue
        assert {
            member.file: kit.read(member) for member in kit.manifest.members if member.file in FILES
        } == FILES
    assert refused > len(whole) / 6


@pytest.mark.parametrize("length", [0, 1, 30, 400, -1])
def test_a_truncated_kit_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "face.edgekit"
    write_kit(path, manifest_of(), FILES)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match="expected a kit"):
        KitFile.open(path)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "sub/face.tflite", "FACE.TFLITE", "extra.txt"])
def test_a_file_that_the_manifest_does_not_list_is_refused(tmp_path: Path, name: str) -> None:
    path = write_archive(tmp_path / "kit", [*entries_of(), (name, b"x")])
    with pytest.raises(ModelError, match="expected only files that its manifest lists"):
        KitFile.open(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kit"]


def test_a_listed_name_with_a_null_byte_is_another_name(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "kit", [*entries_of(), ("face.tfliteXb", b"y")])
    path.write_bytes(path.read_bytes().replace(b"face.tfliteXb", b"face.tflite\0b"))
    with pytest.raises(ModelError, match="expected"):
        KitFile.open(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["face.tflite", MANIFEST_NAME])
def test_a_duplicate_member_is_refused(tmp_path: Path, name: str) -> None:
    content = dict(entries_of())[name]
    with pytest.raises(ModelError, match=f"expected {name} once, found it 2 times"):
        KitFile.open(write_archive(tmp_path / "kit", [*entries_of(), (name, content)]))


@pytest.mark.parametrize("name", [*FILES, MANIFEST_NAME])
def test_a_missing_member_is_refused(tmp_path: Path, name: str) -> None:
    left = [(other, content) for other, content in entries_of() if other != name]
    with pytest.raises(ModelError, match=f"expected {name} once, found it 0 times"):
        KitFile.open(write_archive(tmp_path / "kit", left))


def test_a_member_of_another_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "kit", entries_of({**FILES, "face.tflite": bytes(64 << 20)}))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="expected 320 bytes, found 67108864"):
            KitFile.open(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_an_altered_member_is_refused(tmp_path: Path) -> None:
    altered = {**FILES, "detector.tflite": FILES["detector.tflite"][:-1] + b"!"}
    with pytest.raises(ModelError, match=r"detector\.tflite: expected SHA-256") as caught:
        KitFile.open(write_archive(tmp_path / "kit", entries_of(altered)))
    assert "copy it again" in str(caught.value.hint)


def test_a_compressed_member_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "kit", entries_of(), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="expected no compression"):
        KitFile.open(path)


def test_a_member_that_changes_after_opening_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    kit = write_kit(path, manifest_of(), FILES)
    write_archive(path, entries_of({**FILES, "face.tflite": b"another " * 40}))
    with pytest.raises(ModelError, match="SHA-256"):
        kit.read(kit.manifest.embedder)


def test_a_file_larger_than_any_kit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    with path.open("wb") as file:
        file.truncate(MAX_KIT_BYTES + 1)
    with pytest.raises(ModelError, match="at most 256 MiB"):
        KitFile.open(path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_path_without_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelError, match="expected a kit"):
        KitFile.open(tmp_path if kind == "folder" else tmp_path / "none")


def test_files_that_do_not_match_the_manifest_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "kit"
    with pytest.raises(ModelError, match="expected the files"):
        write_kit(path, manifest_of(), {"face.tflite": FILES["face.tflite"]})
    with pytest.raises(ModelError, match=r"licence\.txt: expected the content"):
        write_kit(path, manifest_of(), {**FILES, "licence.txt": b"other"})
    assert not path.exists()


def test_the_error_of_an_unwritable_folder_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        write_kit(tmp_path / "none" / "kit", manifest_of(), FILES)
