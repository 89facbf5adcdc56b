"""Headers of tar archives, read forwards within limits.

`tarfile` reads extended headers whole, keeps the records of global ones and takes quadratic time for some contents. Images
need only names, sizes and kinds, so only these are read.

Sources: POSIX.1-2001, pax interchange format; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK_BYTES = tarfile.BLOCKSIZE
# Bytes of headers before one member: long names and extended headers are some kilobytes.
_MAX_HEADER_BYTES = 128 << 10
#: Most bytes of all extended headers of an archive.
MAX_EXTENDED_BYTES = 32 << 20
_GNU_NAME = tarfile.GNUTYPE_LONGNAME
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (_GNU_NAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, *_PAX)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
# Kinds without data, whatever size their header declares.
_WITHOUT_DATA = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
    *(tarfile.DIRTYPE, tarfile.FIFOTYPE),
)
_SPARSE_BLOCK_END, _SPARSE_HEADER_END = 504, 482


@dataclass(frozen=True)
class TarMember:
    """One member of a tar archive.

    Args:
        name: Path in the archive.
        start: Position of its data.
        size: Bytes of its data.
        is_file: True for a regular file whose data are stored unchanged: no link, no folder, no sparse file.
    """

    name: str
    start: int
    size: int
    is_file: bool


def is_header(block: bytes) -> bool:
    """Tell if a block is the header of a member, or the block of zeros at the end of an archive."""
    if block == bytes(BLOCK_BYTES):
        return True
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def tar_members(stream: BinaryIO, limit: int) -> Iterator[TarMember]:
    """Yield the members in archive order. The caller may read the data of a member before it takes the next one.

    Args:
        stream: The archive; it is read forwards, and data are skipped by `seek` to a later position.
        limit: Most bytes up to the end of a member.

    Raises:
        tarfile.HeaderError: A header is damaged.
        ValueError: A header is malformed or too large.
        EOFError: The archive is cut short, or a member ends after the limit.
    """
    position = extended = 0
    while True:
        stream.seek(position)
        first = position
        name, size, sparse = "", -1, False
        while True:
            block = _read(stream, BLOCK_BYTES, at_end=position == first)
            if block in (b"", bytes(BLOCK_BYTES)):
                if position != first:
                    raise EOFError("it ends after an extended header")
                return
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            position += BLOCK_BYTES
            if header.size < 0:
                raise ValueError(f"member {header.name!r} has a negative size")
            if header.type not in _EXTENDED:
                break
            padded = _padded(header.size)
            if position + padded - first > _MAX_HEADER_BYTES:
                raise ValueError(f"a header has more than {_MAX_HEADER_BYTES >> 10} KiB")
            extended += padded
            if extended > MAX_EXTENDED_BYTES:
                raise ValueError(f"the extended headers have more than {MAX_EXTENDED_BYTES >> 20} MiB")
            body = _read(stream, padded)[: header.size]
            position += padded
            if header.type == _GNU_NAME:
                name = _text(body.split(b"\0", 1)[0])
            elif header.type in _PAX:
                records = _pax_records(body)
                name = _text(records.get(b"GNU.sparse.name", records.get(b"path", b""))) or name
                size = _size(records[b"size"]) if b"size" in records else size
                sparse = any(key.startswith(b"GNU.sparse.") for key in records)
        if header.type == tarfile.GNUTYPE_SPARSE:
            more = block[_SPARSE_HEADER_END]
            while more:
                more = _read(stream, BLOCK_BYTES)[_SPARSE_BLOCK_END]
                position += BLOCK_BYTES
                if position - first > _MAX_HEADER_BYTES:
                    raise ValueError(f"a header has more than {_MAX_HEADER_BYTES >> 10} KiB")
        size = 0 if header.type in _WITHOUT_DATA else header.size if size < 0 else size
        name = (name or header.name).rstrip("/")
        if position + size > limit:
            raise EOFError(f"member {name[:100]!r} ends at byte {position + size}, expected at most {limit}")
        yield TarMember(name, position, size, header.type in _FILES and not sparse)
        position += _padded(size)
        if size % BLOCK_BYTES:
            stream.seek(position - 1)
            _read(stream, 1)


def _read(stream: BinaryIO, size: int, *, at_end: bool = False) -> bytes:
    content = stream.read(size)
    if len(content) != size and (content or not at_end):
        raise EOFError("it is cut short")
    return content


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _size(value: bytes) -> int:
    if not (value.isdigit() and len(value) < 20):
        raise ValueError(f"a PAX header has the size {value[:20]!r}")
    return int(value)


def _pax_records(body: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header: ``LENGTH KEY=VALUE`` and a line feed; the length counts the whole record."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(body) and body[start]:
        digits = body[start : start + 8].split(b" ", 1)[0]
        length = int(digits) if digits.isdigit() else 0
        record = body[start : start + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or len(record) != length or record[-1:] != b"\n":
            raise ValueError("a PAX header has a malformed record")
        records[key] = value
        start += length
    return records
