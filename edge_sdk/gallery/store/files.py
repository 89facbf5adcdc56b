"""Files that change whole or not at all.

`FileSystem` is the seam: `PosixFileSystem` is the real one, `simulation.SimulatedFileSystem` lets tests
cut the power between any two steps. Nothing here knows what the bytes mean.
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

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, MAX_HEADER_BYTES

LOCK_TIMEOUT_S = 10.0
_LOCK_POLL_S = 0.01


class FileSystem(Protocol):
    """The few steps of which a durable change is made. Every method may raise OSError."""

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Hold the lock file at `path` alone; made if missing, never removed."""

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """At most `max_bytes` of a plain file from `offset` on; a symbolic link is refused (ELOOP)."""

    def size(self, path: Path) -> int:
        """Length of a plain file in bytes; a symbolic link is refused (ELOOP)."""

    def mode(self, path: Path) -> int | None:
        """Permission bits of what lies there; None where nothing does."""

    def create(self, path: Path) -> int:
        """A handle to a new file, mode 0600; what exists is refused."""

    def append(self, path: Path) -> int:
        """A handle that writes at the end of a plain file, made with mode 0600 where it is missing."""

    def write(self, handle: int, data: bytes) -> None:
        """Append all of `data`."""

    def fsync(self, handle: int) -> None:
        """Put the file's bytes on the medium."""

    def close(self, handle: int) -> None:
        """End with a handle."""

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` at once."""

    def fsync_directory(self, path: Path) -> None:
        """Put a directory's entries on the medium."""

    def unlink(self, path: Path) -> None:
        """Remove a directory entry."""


class PosixFileSystem:
    """The device's own file system. No child inherits its handles: `os.open` sees to that (PEP 446)."""

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Take flock on `path`; GalleryError when another process holds it for over 10 s."""
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
                            f"{path} is locked by another process for over {LOCK_TIMEOUT_S:.0f} s",
                            hint="wait for it, or end it",
                        ) from error
                    time.sleep(_LOCK_POLL_S)
                    continue
                if _is_at(handle, path):
                    break
                # Whoever held it removed it: a lock on a file that has no name shuts nobody out.
                os.close(handle)
                handle = _open_lock(path)
            yield
        finally:
            os.close(handle)

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """As the seam says."""
        with _plain_file(path) as (handle, size), open(handle, "rb", closefd=False) as file:
            file.seek(offset)
            return file.read(min(size, max_bytes))

    def size(self, path: Path) -> int:
        """As the seam says."""
        with _plain_file(path) as (_, size):
            return size

    def mode(self, path: Path) -> int | None:
        """As the seam says."""
        try:
            return stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:
            return None

    def create(self, path: Path) -> int:
        """As the seam says."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _make_private(handle, path)
        return handle

    def append(self, path: Path) -> int:
        """As the seam says."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, flags)
            try:
                _plain_size(handle)
            except OSError:
                os.close(handle)
                raise
            return handle
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        _make_private(handle, path)
        return handle

    def write(self, handle: int, data: bytes) -> None:
        """As the seam says."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def fsync(self, handle: int) -> None:
        """As the seam says; then forget the cached pages, so that reading back asks the medium."""
        os.fsync(handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self, handle: int) -> None:
        """As the seam says."""
        os.close(handle)

    def rename(self, source: Path, target: Path) -> None:
        """As the seam says."""
        source.replace(target)

    def fsync_directory(self, path: Path) -> None:
        """As the seam says."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, path: Path) -> None:
        """As the seam says."""
        path.unlink()


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            _make_private(handle, path)
            return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def _plain_file(path: Path) -> Iterator[tuple[int, int]]:
    """A handle to read with, and the size; without O_NONBLOCK whoever makes the path a pipe could hold us up."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle, _plain_size(handle)
    finally:
        os.close(handle)


def _plain_size(handle: int) -> int:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a plain file")
    return found.st_size


def _make_private(handle: int, path: Path) -> None:
    """Mode 0600; what root makes goes to the folder's owner, or a daemon could not read what root changed."""
    os.fchmod(handle, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(handle, folder.st_uid, folder.st_gid)


def lock_path(path: Path) -> Path:
    """The lock file that belongs to a gallery."""
    return path.with_name(path.name + ".lock")


def audit_path(path: Path) -> Path:
    """The audit log that belongs to a gallery."""
    return path.with_name(path.name + ".audit")


def tmp_path(path: Path) -> Path:
    """Where a file's next content is written first."""
    return path.with_name(path.name + ".tmp")


@contextmanager
def locked(files: FileSystem, path: Path) -> Iterator[None]:
    """Hold a gallery's lock.

    Raises:
        GalleryError: it cannot be made or taken.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.lock(lock_path(path)))
        except OSError as error:
            raise _cannot("lock", lock_path(path), error) from error
        yield


def read_gallery(files: FileSystem, path: Path) -> bytes:
    """A gallery's bytes.

    Raises:
        GalleryError: missing, a symbolic link, not a plain file, or over 64 MiB.
    """
    data = _read(files, path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise GalleryError(f"{path} is over {MAX_FILE_BYTES} bytes, no gallery is that large")
    return data


def read_head(files: FileSystem, path: Path) -> bytes:
    """Enough of a gallery's first bytes to hold its header."""
    return _read(files, path, MAX_HEADER_BYTES)


def write_atomically(
    files: FileSystem, path: Path, data: bytes, *, check: Callable[[bytes], None] = lambda _: None
) -> None:
    """Put `data` at `path`, on the medium when this returns; the caller holds the lock.

    Args:
        files: Where.
        path: What to replace.
        data: The new content.
        check: Called with what is read back, before the old content is replaced; raises to refuse.

    Raises:
        GalleryError: a step failed. Before the rename the old content is untouched and the new
            one discarded; an fsync error is never retried, since the kernel may have dropped the
            pages (Rebello et al., USENIX ATC 2020).
    """
    tmp = tmp_path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            files.unlink(tmp)  # left by a crash
        handle = files.create(tmp)
    except OSError as error:
        raise _cannot("create", tmp, error) from error
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
                    f"{tmp} reads back other than it was written", hint="the medium is failing; replace it"
                )
        except OSError as error:
            raise _cannot("write", tmp, error) from error
        check(data)
        try:
            files.rename(tmp, path)
        except OSError as error:
            raise _cannot("replace", path, error) from error
        undo.pop_all()
    try:
        files.fsync_directory(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path} was replaced but its folder could not be synced: {error.strerror}; the change may not last",
            hint="open the gallery again to see what it holds",
        ) from error


def _discard(files: FileSystem, tmp: Path) -> None:
    with contextlib.suppress(OSError):
        files.unlink(tmp)


def append_durably(files: FileSystem, path: Path, data: bytes) -> None:
    """Put `data` after all that is at `path`, on the medium when this returns; the caller holds the lock.

    Raises:
        GalleryError: a step failed; a part of `data` may be there.
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
        raise _cannot("write", path, error) from error


def _read(files: FileSystem, path: Path, max_bytes: int) -> bytes:
    try:
        return files.read(path, max_bytes)
    except FileNotFoundError as error:
        raise GalleryError(
            f"no gallery at {path}",
            hint="edge-sdk gallery create makes one, as Gallery.create does; check the path",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise GalleryError(f"{path} is a symbolic link", hint="give the gallery's own path") from error
        raise _cannot("read", path, error) from error


def _cannot(verb: str, path: Path, error: OSError) -> GalleryError:
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space; the gallery is as it was"
    elif error.errno == errno.EROFS:
        hint = "mount it writable; with an anchor even reading takes the lock"
    elif error.errno == errno.ELOOP:
        hint = f"{path} is a symbolic link; remove it"
    elif error.errno == errno.ENOENT and not path.parent.is_dir():
        hint = f"make the folder {path.parent} first"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = f"{_owner(path)} must let you write"
    return GalleryError(f"cannot {verb} {path}: {error.strerror or error}", hint=hint)


def _owner(path: Path) -> str:
    """What keeps a writer out, by name: the file where there is one, else its folder."""
    for what in (path, path.parent):
        try:
            return f"{what}, which belongs to user {what.lstat().st_uid},"
        except OSError:
            continue
    return f"the folder {path.parent}"
