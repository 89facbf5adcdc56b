"""Archives of images: ZIP and tar, read within limits on members, directory and decompressed bytes."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from converters.data.tar_members import BLOCK_BYTES, TarMember, is_header, tar_members
from edge_sdk.errors import InputError
from edge_sdk.model.zip_archive import open_zip, read_member

#: Most members of an archive; a larger set is given as a folder.
MAX_MEMBERS = 100_000
# Most members of a tar that are not read, such as folders; each costs time.
_MAX_OTHER_MEMBERS = 20_000
MAX_DIRECTORY_BYTES = 16 << 20
#: Largest size of a compressed tar after decompression: it has no index, so its images are kept in memory.
MAX_UNPACKED_BYTES = 2 << 30
# Photographs are compressed already. A tar that becomes far larger is empty data, made to fill memory.
_BASE_UNPACKED_BYTES = 64 << 20
_MAX_RATIO = 100
# The images of a compressed tar stay in memory.
_BASE_KEPT_BYTES = 32 << 20
_MAX_KEPT_RATIO = 4
_CHUNK_BYTES = 64 << 10
_XZ_MEMORY_BYTES = 96 << 20
_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    RecursionError,
    OverflowError,
)


@dataclass(frozen=True)
class Archive:
    """Names and contents of the files of an archive.

    Args:
        names: Names of the files, without a leading "./".
        read: Returns the content of a file; raises InputError if it is damaged.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]


def open_archive(path: Path, *, accepts: Callable[[str], bool], max_file_bytes: int) -> Archive | None:
    """List the files of a ZIP or tar archive.

    Args:
        path: The archive.
        accepts: Tells from a name if the file is needed.
        max_file_bytes: Most bytes of one file.

    Returns:
        The archive; None if the file is neither a ZIP nor a tar archive.

    Raises:
        InputError: The archive is damaged, or larger than the limits.
    """
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK_BYTES)
        if head.startswith(_MAGICS):
            return _compressed_tar(path, accepts, max_file_bytes)
        # Before ZIP: the last member of a tar may be a ZIP archive, which `zipfile` would read instead.
        if is_header(head):
            return _tar(path, accepts, max_file_bytes)
        if zipfile.is_zipfile(path):
            return _zip(path, accepts, max_file_bytes)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return None


def _damaged(name: str | Path, error: Exception) -> InputError:
    return InputError(
        f"{name}: expected a readable archive, found a damaged or unsupported one: {error}",
        hint="copy it again, or unpack it and give the folder",
    )


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise InputError(
            f"{name}: expected an image file of at most {most >> 20} MiB, found {size >> 20} MiB"
        )


def _zip(path: Path, accepts: Callable[[str], bool], max_file_bytes: int) -> Archive:
    archive = open_zip(path, max_members=MAX_MEMBERS, max_directory_bytes=MAX_DIRECTORY_BYTES)
    members = {i.filename: i for i in archive.infolist() if not i.is_dir() and accepts(i.filename)}
    # Members are read on demand, so only the time to decompress all of them is limited.
    total = sum(member.file_size for member in members.values() if member.file_size <= max_file_bytes)
    most = _BASE_UNPACKED_BYTES + _MAX_RATIO * path.stat().st_size
    if total > most:
        raise ValueError(
            f"expected at most {most >> 20} MiB after decompression, {_MAX_RATIO} times its size,"
            f" found {total >> 20} MiB"
        )

    def read(name: str) -> bytes:
        _check_size(f"{path}/{name}", members[name].file_size, max_file_bytes)
        try:
            return read_member(archive, members[name], max_bytes=max_file_bytes)
        except _UNREADABLE as error:
            raise _damaged(f"{path}/{name}", error) from error

    return Archive(tuple(members), read)


def _tar(path: Path, accepts: Callable[[str], bool], max_file_bytes: int) -> Archive:
    """List an uncompressed tar; it contains the bytes of a file unchanged, so they are read on demand."""
    total = path.stat().st_size
    places: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file:
        for name, member in _members(file, total, accepts):
            places[name] = (member.start, member.size)

    def read(name: str) -> bytes:
        start, size = places[name]
        _check_size(f"{path}/{name}", size, max_file_bytes)
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise _damaged(f"{path}/{name}", error) from error

    return Archive(tuple(places), read)


def _compressed_tar(path: Path, accepts: Callable[[str], bool], max_file_bytes: int) -> Archive:
    """Read all files in archive order, so that the archive is decompressed only once."""
    size = path.stat().st_size
    budget = _unpacked_limit(size)
    most_kept = _BASE_KEPT_BYTES + _MAX_KEPT_RATIO * size
    contents: dict[str, bytes] = {}
    kept = 0
    with path.open("rb") as file, io.BufferedReader(_Decompressed(file, budget)) as stream:
        for name, member in _members(stream, budget, accepts):
            _check_size(f"{path}/{name}", member.size, max_file_bytes)
            kept += member.size
            if kept > most_kept:
                raise ValueError(
                    f"its images have more than {most_kept >> 20} MiB, {_MAX_KEPT_RATIO} times its size"
                )
            contents[name] = stream.read(member.size)
            if len(contents[name]) != member.size:
                raise EOFError("it is cut short")
    return Archive(tuple(contents), contents.__getitem__)


def _members(stream: BinaryIO, limit: int, accepts: Callable[[str], bool]) -> Iterator[tuple[str, TarMember]]:
    """Yield name and place of the needed files of a tar, and check number, names and sizes of all members."""
    others = name_bytes = 0
    for count, member in enumerate(tar_members(stream, limit)):
        name = member.name.removeprefix("./")
        if member.is_file and accepts(name):
            name_bytes += len(name)
            if name_bytes > MAX_DIRECTORY_BYTES:
                raise ValueError(f"the names have more than {MAX_DIRECTORY_BYTES >> 20} MiB")
            yield name, member
        else:
            others += 1
        if count >= MAX_MEMBERS or others > _MAX_OTHER_MEMBERS:
            raise ValueError(
                f"expected at most {MAX_MEMBERS} members and {_MAX_OTHER_MEMBERS} that are no images, found more"
            )


class _Decompressor(Protocol):
    """The common interface of the decompressors of `bz2` and `lzma`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """`zlib`'s decompressor for gzip, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Decompressed(io.RawIOBase):
    """The content of a compressed file, read forwards in bounded steps.

    Args:
        file: The compressed file.
        budget: Most bytes to produce.
    """

    def __init__(self, file: BinaryIO, budget: int) -> None:
        super().__init__()
        self._file = file
        self._budget = budget
        self._position = 0
        self._decompressor: _Decompressor | None = None
        self._head = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        if whence != 0 or position < self._position:
            raise OSError("a compressed archive is read forwards")
        while self._position < position and self._next(min(_CHUNK_BYTES, position - self._position)):
            pass
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _next(self, most: int) -> bytes:
        """Return up to `most` bytes; none at the end."""
        while True:
            if self._decompressor is None:
                self._head = self._head or self._file.read(_CHUNK_BYTES)
                if not self._head.strip(b"\0"):
                    return b""
                self._decompressor = _decompressor(self._head)
            data = b""
            if self._decompressor.needs_input:
                data, self._head = self._head or self._file.read(_CHUNK_BYTES), b""
                if not data:
                    raise EOFError("it is cut short")
            content = self._decompressor.decompress(data, most)
            if self._decompressor.eof:
                self._head, self._decompressor = self._decompressor.unused_data, None
            if content:
                break
        self._position += len(content)
        if self._position > self._budget:
            raise _too_large(self._budget)
        return content


def _decompressor(head: bytes) -> _Decompressor:
    if head.startswith(_MAGICS[0]):
        return _Gzip()
    if head.startswith(_MAGICS[1]):
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


def _unpacked_limit(size: int) -> int:
    return min(MAX_UNPACKED_BYTES, _BASE_UNPACKED_BYTES + _MAX_RATIO * size)


def _too_large(budget: int) -> ValueError:
    return ValueError(
        f"it has more than {budget >> 20} MiB after decompression, over {_MAX_RATIO} times its size or 2 GiB"
    )
