"""Durable file changes that happen completely or not at all.

`FileSystem` is the interface. `PosixFileSystem` uses the device's file system; the tests' `SimulatedFileSystem` can cut
the power between any two steps. This module does not interpret the bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, MAX_HEADER_BYTES

LOCK_TIMEOUT_S = 10.0
_LOCK_POLL_S = 0.01


#: Longest name of a gallery: file systems allow 255 bytes, and the longest suffix of a companion file has 13.
MAX_NAME_BYTES = 240


def checked_path(path: str | bytes | os.PathLike[str]) -> Path:
    """Return a path of a file.

    Raises:
        InputError: the value is not a path, contains a NUL character, or its last part is too long for companion files.
    """
    try:
        name = os.fsdecode(path)
    except TypeError as error:
        raise InputError(f"expected a path, found {type(path).__name__}") from error
    if "\0" in name:
        raise InputError("expected a path without NUL characters, found one")
    checked = Path(name)
    length = len(os.fsencode(checked.name))
    if length > MAX_NAME_BYTES:
        raise InputError(
            f"expected a file name of at most {MAX_NAME_BYTES} bytes, found {length}: names of companion files are longer",
            hint="choose a shorter name",
        )
    return checked


class FileSystem(Protocol):
    """The operations that a durable change consists of. Every method may raise OSError."""

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Hold an exclusive lock on the file at `path`, which is created if missing and never removed."""

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """Read at most `max_bytes` of a regular file from `offset`; refuse a symbolic link (ELOOP)."""

    def size(self, path: Path) -> int:
        """Return the length of a regular file in bytes; refuse a symbolic link (ELOOP)."""

    def mode(self, path: Path) -> int | None:
        """Return the permission bits of a path; None if it does not exist."""

    def create(self, path: Path) -> int:
        """Create a file with mode 0600 and return a handle; refuse an existing path."""

    def append(self, path: Path) -> int:
        """Return a handle that appends to a regular file, created with mode 0600 if missing."""

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data`."""

    def fsync(self, handle: int) -> None:
        """Sync the file's bytes to the medium."""

    def close(self, handle: int) -> None:
        """Close a handle."""

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` atomically."""

    def fsync_directory(self, path: Path) -> None:
        """Sync a directory's entries to the medium."""

    def unlink(self, path: Path) -> None:
        """Remove a directory entry."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory."""


class PosixFileSystem:
    """The device's own file system. Child processes do not inherit its handles (PEP 446)."""

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an flock on `path`; raise GalleryError if another process holds it for over 10 s."""
        import fcntl

        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        handle = _open_lock(path)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    if time.monotonic() > deadline_s:
                        raise GalleryError(
                            f"{path} has been locked by another process for over {LOCK_TIMEOUT_S:.0f} s",
                            hint="wait for that process, or end it",
                        ) from error
                    time.sleep(_LOCK_POLL_S)
                    continue
                if _is_at(handle, path):
                    break
                # The lock file was removed: a lock on an unlinked file excludes no other process.
                os.close(handle)
                handle = _open_lock(path)
            yield
        finally:
            os.close(handle)

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """Read at most `max_bytes` of a regular file from `offset`."""
        with _regular_file(path) as (handle, size), open(handle, "rb", closefd=False) as file:
            file.seek(offset)
            return file.read(min(size, max_bytes))

    def size(self, path: Path) -> int:
        """Return the length of a regular file in bytes."""
        with _regular_file(path) as (_, size):
            return size

    def mode(self, path: Path) -> int | None:
        """Return the permission bits of a path; None if it does not exist."""
        try:
            return stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:
            return None

    def create(self, path: Path) -> int:
        """Create a file with mode 0600 and return a handle."""
        return _create_private(path, os.O_RDWR)

    def append(self, path: Path) -> int:
        """Return a handle that appends to a regular file, created with mode 0600 if missing."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, flags)
            try:
                _regular_size(handle)
            except OSError:
                os.close(handle)
                raise
            return handle
        return _create_private(path, flags)

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def fsync(self, handle: int) -> None:
        """Sync the file's bytes to the medium, then drop its cached pages, so that reading back reads the medium."""
        os.fsync(handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self, handle: int) -> None:
        """Close a handle."""
        os.close(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` atomically."""
        source.replace(target)

    def fsync_directory(self, path: Path) -> None:
        """Sync a directory's entries to the medium."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, path: Path) -> None:
        """Remove a directory entry."""
        path.unlink()

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory."""
        return [entry.name for entry in path.iterdir()]


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):
            return _create_private(path, flags)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def _regular_file(path: Path) -> Iterator[tuple[int, int]]:
    """Open a regular file for reading and yield its handle and size; with O_NONBLOCK a named pipe cannot block."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle, _regular_size(handle)
    finally:
        os.close(handle)


def _regular_size(handle: int) -> int:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return status.st_size


def _create_private(path: Path, flags: int) -> int:
    """Create a file with mode 0600; a file created by root gets the folder's owner, so that its daemon can read it."""
    handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchmod(handle, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(handle, folder.st_uid, folder.st_gid)
    return handle


def lock_path(path: Path) -> Path:
    """Return the path of a gallery's lock file."""
    return path.with_name(path.name + ".lock")


def audit_path(path: Path) -> Path:
    """Return the path of a gallery's audit log."""
    return path.with_name(path.name + ".audit")


def tmp_path(path: Path) -> Path:
    """Return the path to which the next content of a file is written first."""
    return path.with_name(path.name + ".tmp")


@contextmanager
def locked(files: FileSystem, path: Path) -> Iterator[None]:
    """Hold a gallery's lock.

    Raises:
        GalleryError: the lock file cannot be created or locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.lock(lock_path(path)))
        except OSError as error:
            raise cannot("lock", lock_path(path), error) from error
        yield


def read_gallery(files: FileSystem, path: Path) -> bytes:
    """Read a gallery file.

    Raises:
        GalleryError: the file is missing, a symbolic link, not a regular file, or over 64 MiB.
    """
    data = _read(files, path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise GalleryError(f"{path} is over {MAX_FILE_BYTES} bytes, no gallery is that large")
    return data


def read_head(files: FileSystem, path: Path) -> bytes:
    """Read as many bytes of a gallery as the longest header has."""
    return _read(files, path, MAX_HEADER_BYTES)


def write_atomically(
    files: FileSystem, path: Path, data: bytes, *, check: Callable[[bytes], None] = lambda _: None
) -> None:
    """Replace a file; the new content is on the medium when this returns. The caller holds the lock.

    Args:
        files: The file system.
        path: The file to replace.
        data: The new content.
        check: Called with the bytes read back, before the old content is replaced; raises to refuse them.

    Raises:
        GalleryError: a step failed. Until the rename the old content is kept and the new one discarded. An fsync error
            is never retried, because the kernel may have dropped the pages (Rebello et al., USENIX ATC 2020).
    """
    with staged(files, path, data, check=check):
        put_in_place(files, path)


@contextmanager
def staged(
    files: FileSystem, path: Path, data: bytes, *, check: Callable[[bytes], None] = lambda _: None
) -> Iterator[None]:
    """Write the new content of a file next to it for a block that calls `put_in_place`; discard it after an error.

    Args and errors as for `write_atomically`.
    """
    tmp = tmp_path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            files.unlink(tmp)  # left by a crash
        handle = files.create(tmp)
    except OSError as error:
        raise cannot("create", tmp, error) from error
    with contextlib.ExitStack() as undo:
        undo.callback(_discard, files, tmp)
        try:
            try:
                files.write(handle, data)
                files.fsync(handle)
            finally:
                files.close(handle)
            if files.read(tmp, len(data) + 1) != data:
                raise GalleryError(
                    f"{tmp} does not read back as it was written", hint="the medium is failing; replace it"
                )
        except OSError as error:
            raise cannot("write", tmp, error) from error
        check(data)
        yield
        undo.pop_all()


def put_in_place(files: FileSystem, path: Path) -> None:
    """Replace a file by its staged content, which is on the medium when this returns.

    Raises:
        GalleryError: the file was not replaced, or it was and its folder could not be synced.
    """
    try:
        files.rename(tmp_path(path), path)
    except OSError as error:
        raise cannot("replace", path, error) from error
    try:
        files.fsync_directory(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path} was replaced but its folder could not be synced: {error.strerror or error}; "
            "a power cut may undo this",
            hint="check the medium, which may be failing",
        ) from error


def _discard(files: FileSystem, tmp: Path) -> None:
    with contextlib.suppress(OSError):
        files.unlink(tmp)


def append_durably(files: FileSystem, path: Path, data: bytes) -> None:
    """Append to a file; the bytes are on the medium when this returns. The caller holds the lock.

    Raises:
        GalleryError: a step failed; a part of `data` may have been written.
    """
    try:
        try:
            new = files.size(path) == 0
        except FileNotFoundError:
            new = True
        handle = files.append(path)
        try:
            files.write(handle, data)
            files.fsync(handle)
        finally:
            files.close(handle)
        if new:
            files.fsync_directory(path.parent)
    except OSError as error:
        raise cannot("write", path, error) from error


def replace_segment(files: FileSystem, path: Path, tmp: Path, closed: Path | None, data: bytes) -> None:
    """Give a file a name of its own and put a new file in its place; the caller holds the lock.

    A power cut leaves the old file at `path` or at `closed`, and the new file at `tmp` or at `path`.

    Args:
        files: The file system.
        path: The file to replace.
        tmp: Where the new file is written first.
        closed: New name of the old file; None if there is no old file.
        data: Content of the new file.

    Raises:
        GalleryError: a step failed.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            files.unlink(tmp)  # left by a crash
        handle = files.create(tmp)
        try:
            files.write(handle, data)
            files.fsync(handle)
        finally:
            files.close(handle)
        files.fsync_directory(path.parent)
        if closed is not None:
            files.rename(path, closed)
            # Without this, a power cut could keep only the second rename, which removes the old file.
            files.fsync_directory(path.parent)
        files.rename(tmp, path)
        files.fsync_directory(path.parent)
    except OSError as error:
        raise cannot("write", path, error) from error


def _read(files: FileSystem, path: Path, max_bytes: int) -> bytes:
    try:
        return files.read(path, max_bytes)
    except FileNotFoundError as error:
        raise GalleryError(
            f"no gallery at {path}",
            hint="check the path, or create a gallery with edge-sdk gallery create or Gallery.create",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise GalleryError(
                f"{path} is a symbolic link", hint="give the path that the link points to"
            ) from error
        raise cannot("read", path, error) from error


def cannot(verb: str, path: Path, error: OSError) -> GalleryError:
    """Return the error for a step that failed, with a hint if the cause has a known cure."""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space"
    elif error.errno == errno.EROFS:
        hint = "mount the file system writable; with an anchor, reading a gallery also needs its lock file"
    elif error.errno == errno.ELOOP:
        hint = f"{path} is a symbolic link; remove it"
    elif error.errno == errno.ENOENT and not path.parent.is_dir():
        hint = f"create the folder {path.parent} first"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = f"make {_owner(path)} writable for your user"
    return GalleryError(f"cannot {verb} {path}: {error.strerror or error}", hint=hint)


def _owner(path: Path) -> str:
    """Name the file, or its folder if there is no file, and its owner."""
    for existing in (path, path.parent):
        try:
            return f"{existing}, which belongs to user {existing.lstat().st_uid},"
        except OSError:
            continue
    return f"the folder {path.parent}"
