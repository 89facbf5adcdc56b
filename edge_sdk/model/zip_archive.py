"""Open and read ZIP archives within limits that are checked before anything is allocated.

`zipfile` builds one object for each entry of an archive's directory, and it decompresses up to the end of a member
whose declared size is wrong. Both can take gigabytes for a file of some kilobytes.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

# PKWARE's APPNOTE 6.3.10, sections 4.3.12 to 4.3.16.
_END = struct.Struct("<4s4H2IH")
_END_MAGIC = b"PK\5\6"
_END_64 = struct.Struct("<4sQ2H2I4Q")
_END_64_MAGIC = b"PK\6\6"
_LOCATOR_BYTES, _LOCATOR_MAGIC = 20, b"PK\6\7"
_LOCAL_HEADER_BYTES = 30
_ENTRY = struct.Struct("<28x3H12x")  # the lengths of name, extra field and comment, which follow the entry
_MAX_COMMENT_BYTES = 0xFFFF
# Methods that every ZIP reader supports and that `zipfile` decompresses in bounded steps.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipLimitError(zipfile.BadZipFile):
    """The archive is larger than its reader accepts."""


def open_zip(file: Path | BinaryIO, *, max_members: int, max_directory_bytes: int) -> zipfile.ZipFile:
    """Open an archive after its directory was checked.

    Args:
        file: The archive, a path or a seekable stream.
        max_members: Most members.
        max_directory_bytes: Most bytes of its directory.

    Raises:
        zipfile.BadZipFile: The file has no ZIP directory, or a damaged one.
        ZipLimitError: The directory is too large, or members share bytes.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:
            _check_directory(stream, max_members, max_directory_bytes)
    else:
        _check_directory(file, max_members, max_directory_bytes)
    try:
        archive = zipfile.ZipFile(file)
    except (NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error
    try:
        _check_places(archive)
    except zipfile.BadZipFile:
        archive.close()
        raise
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, max_bytes: int) -> bytes:
    """Read one member; no more than its declared size is decompressed, and its checksum is checked.

    Args:
        archive: The archive.
        member: The member.
        max_bytes: Most bytes of the member.

    Raises:
        ZipLimitError: The member is declared larger.
        zipfile.BadZipFile: The member is damaged, encrypted, or compressed by another method than deflate.
        OSError: The file cannot be read.
        zlib.error: The compressed data are damaged.
        EOFError: The file is cut short.
    """
    if member.file_size > max_bytes:
        raise ZipLimitError(
            f"{member.filename!r}: expected at most {max_bytes} bytes, found {member.file_size}"
        )
    if member.compress_type not in _METHODS:
        raise zipfile.BadZipFile(
            f"{member.filename!r}: expected no compression or deflate, found method {member.compress_type}"
        )
    try:
        with archive.open(member) as stream:
            content = stream.read(member.file_size)
    except (NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise zipfile.BadZipFile(f"{member.filename!r}: {error}") from error
    if len(content) != member.file_size:
        raise EOFError(f"{member.filename!r}: expected {member.file_size} bytes, found {len(content)}")
    return content


def _check_directory(file: BinaryIO, max_members: int, max_bytes: int) -> None:
    start, size = _find_directory(file)
    if size > max_bytes:
        raise ZipLimitError(f"expected a directory of at most {max_bytes} bytes, found {size}")
    if size > max_members * _ENTRY.size:
        file.seek(max(0, start))
        if _has_more_entries(file.read(size), max_members):
            raise ZipLimitError(f"expected at most {max_members} members, found more")


def _check_places(archive: zipfile.ZipFile) -> None:
    """Check that no two members share bytes: a small archive could be read as one of any size."""
    end = 0
    # Members without content may be listed anywhere.
    filled = (member for member in archive.infolist() if member.compress_size > 0)
    for member in sorted(filled, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise ZipLimitError(
                f"{member.filename[:100]!r}: expected members one after another, found overlapping ones"
            )
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size
    if end > archive.start_dir:
        raise ZipLimitError("expected the members before the directory, found a longer one")


def _find_directory(file: BinaryIO) -> tuple[int, int]:
    """Return offset and length of the directory, found as `zipfile` finds them."""
    total = file.seek(0, 2)
    start = max(0, total - _END.size - _MAX_COMMENT_BYTES - 1)
    file.seek(start)
    tail = file.read()
    position = len(tail) - _END.size
    if not (position >= 0 and tail[position:].startswith(_END_MAGIC) and tail.endswith(b"\0\0")):
        position = tail.rfind(_END_MAGIC)
    if position < 0 or len(tail) - position < _END.size:
        raise zipfile.BadZipFile("it has no ZIP directory")
    end, size = start + position, int(_END.unpack_from(tail, position)[5])
    record = end - _LOCATOR_BYTES - _END_64.size
    if record >= 0:
        file.seek(record)
        fields = file.read(_END_64.size)
        if file.read(len(_LOCATOR_MAGIC)) == _LOCATOR_MAGIC and fields.startswith(_END_64_MAGIC):
            size = int(_END_64.unpack(fields)[8])
            return record - size, size
    return end - size, size


def _has_more_entries(directory: bytes, most: int) -> bool:
    offset = count = 0
    while offset + _ENTRY.size <= len(directory) and count <= most:
        count += 1
        offset += _ENTRY.size + sum(_ENTRY.unpack_from(directory, offset))
    return count > most
