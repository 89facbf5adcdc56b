"""The directory of a ZIP archive is checked before `zipfile` builds an object for each of its entries."""

from __future__ import annotations

import copy
import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from edge_sdk.errors import ModelCardError
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.zip_archive import ZipLimitError, open_zip, read_member
from tests.peak_memory import peak_bytes

ENTRY = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"


def directory(entries: int, *, zip64: bool, offset: int = 0) -> bytes:
    """A ZIP directory that lists empty members."""
    listed = ENTRY * entries
    short = (min(entries, 0xFFFF), min(entries, 0xFFFF), len(listed), offset)
    large = b""
    if zip64:
        fields = (44, 45, 45, 0, 0, entries, entries, len(listed), offset)
        large = struct.pack("<4sQ2H2I4Q", b"PK\6\6", *fields)
        large += struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(listed), 1)
        short = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return listed + large + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *short, 0)


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("comment", [b"", b"a comment", bytes(0xFFFF)], ids=["none", "short", "longest"])
def test_members_are_counted_before_they_are_listed(zip64: bool, comment: bytes) -> None:
    data = directory(65, zip64=zip64)[:-2] + struct.pack("<H", len(comment)) + comment
    with pytest.raises(ZipLimitError, match="at most 64 members, found more"):
        open_zip(io.BytesIO(data), max_members=64, max_directory_bytes=1 << 20)
    with open_zip(io.BytesIO(data), max_members=65, max_directory_bytes=1 << 20) as archive:
        assert len(archive.infolist()) == 65


@pytest.mark.parametrize("zip64", [False, True])
def test_a_directory_is_bounded_in_bytes(zip64: bool) -> None:
    data = directory(100, zip64=zip64)
    with pytest.raises(ZipLimitError, match=f"at most 4096 bytes, found {100 * len(ENTRY)}"):
        open_zip(io.BytesIO(data), max_members=100, max_directory_bytes=4096)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\5\6", bytes(100), b"PK\5\6" + bytes(17)])
def test_bytes_without_a_directory_are_no_archive(data: bytes) -> None:
    with pytest.raises(zipfile.BadZipFile):
        open_zip(io.BytesIO(data), max_members=1, max_directory_bytes=1 << 10)


def test_every_changed_byte_of_an_archive_gives_the_content_or_one_error() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"content " * 20)
    whole = buffer.getvalue()
    for position in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            data = whole[:position] + bytes([whole[position] ^ change]) + whole[position + 1 :]
            try:
                with open_zip(io.BytesIO(data), max_members=4, max_directory_bytes=1 << 10) as archive:
                    contents = [read_member(archive, m, max_bytes=1 << 10) for m in archive.infolist()]
            except (zipfile.BadZipFile, EOFError, OSError, zlib.error):
                continue
            assert all(content == b"content " * 20 for content in contents)


@pytest.mark.parametrize("zip64", [False, True])
def test_a_model_file_with_a_huge_directory_is_refused_in_little_memory(tmp_path: Path, zip64: bool) -> None:
    network = b"\x1c\0\0\0TFL3" + bytes(56)
    path = tmp_path / "many.tflite"
    path.write_bytes(network + directory(400_000, zip64=zip64, offset=len(network)))
    start = "from edge_sdk.model.model_file import ModelFile\nfrom edge_sdk.errors import ModelCardError\nimport sys\n"
    opens = "try: ModelFile.open(sys.argv[1])\nexcept ModelCardError: pass\nelse: sys.exit('not refused')\n"
    growth = peak_bytes(start + opens, str(path)) - peak_bytes(start)
    assert growth < 2 * path.stat().st_size + (8 << 20)  # the file itself is read


def test_the_error_of_a_model_file_names_the_file(tmp_path: Path, model_bytes: bytes) -> None:
    network = model_bytes[: model_bytes.index(b"PK\3\4")]
    path = tmp_path / "many.tflite"
    path.write_bytes(network + directory(70, zip64=False, offset=len(network)))
    with pytest.raises(ModelCardError, match=r"many.tflite: the archive with the model card is damaged"):
        ModelFile.open(path)


def test_members_that_share_bytes_are_refused() -> None:
    """A member that is listed a thousand times would be decompressed a thousand times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 20))
        for number in range(20):
            member = copy.copy(archive.filelist[0])
            member.filename = member.orig_filename = f"b{number}"
            archive.filelist.append(member)
    with pytest.raises(ZipLimitError, match="overlapping"):
        open_zip(io.BytesIO(buffer.getvalue()), max_members=64, max_directory_bytes=1 << 20)


def test_a_member_at_an_offset_beyond_64_bits_gives_one_error() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"")
        archive.filelist[0].header_offset = (1 << 64) - 1
    with (
        pytest.raises(zipfile.BadZipFile),
        open_zip(io.BytesIO(buffer.getvalue()), max_members=4, max_directory_bytes=1 << 10) as archive,
    ):
        read_member(archive, archive.infolist()[0], max_bytes=1)
