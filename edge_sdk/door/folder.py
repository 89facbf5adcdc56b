"""Folder of an installation: create, lock and fill it so that nobody else can read or change it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.errors import InputError
from edge_sdk.gallery.store.files import PosixFileSystem, lock_path, locked, write_atomically
from edge_sdk.kit.manifest import KitMember


def is_at(path: Path, member: KitMember) -> bool:
    """Tell if a file has the content of a member."""
    try:
        if path.is_symlink() or path.stat().st_size != member.size_bytes:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == member.sha256
    except OSError:
        return False


def write_read_only(path: Path, content: bytes) -> None:
    """Write a file with mode 0400; it appears completely or not at all."""
    write_atomically(PosixFileSystem(), path, content)
    path.chmod(0o400)


@contextlib.contextmanager
def private_folder(folder: Path, *, lock: str, known: Sequence[str]) -> Iterator[None]:
    """Create a folder if necessary, lock it, and make it private; remove it after an error if it was created and is empty.

    Args:
        folder: Absolute path.
        lock: Name of the lock; the lock file is this name with ``.lock``.
        known: Files by which a folder with content is recognized as an installation.

    Raises:
        InputError: The folder has other content, or cannot be used.
        GalleryError: Another process has locked it.
    """
    created = not folder.exists()
    try:
        if created:
            _create(folder)
        elif any(folder.iterdir()) and not any((folder / name).exists() for name in (*known, f"{lock}.lock")):
            raise InputError(
                f"expected a new or empty folder, or an installation, found other files in {folder}",
                hint="name another folder with --installation",
            )
    except OSError as error:
        raise InputError(f"{folder}: cannot be used: {error.strerror or error}") from error
    with contextlib.ExitStack() as undo:
        if created:
            undo.callback(_remove_empty, folder, lock_path(folder / lock))
        with locked(PosixFileSystem(), folder / lock):
            if folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
            yield
        undo.pop_all()


def _create(folder: Path) -> None:
    """Create a folder with mode 0700 and its missing parents, owned by the owner of the folder above them."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700 if place == folder else 0o777)
        give_to_owner(place)


def _remove_empty(folder: Path, lock: Path) -> None:
    with contextlib.suppress(OSError):
        if [path for path in folder.iterdir() if path != lock]:
            return
        lock.unlink(missing_ok=True)
        folder.rmdir()


def make_private(folder: Path) -> None:
    """Create a folder with mode 0700 if it is missing.

    Raises:
        InputError: It is a link: root would write into a folder that another user chose.
    """
    if folder.is_symlink():
        raise InputError(f"expected a folder, found the link {folder}", hint="remove the link")
    if not folder.exists():
        folder.mkdir(mode=0o700)
        give_to_owner(folder)


def give_to_owner(path: Path) -> None:
    """Give what root has created to the owner of its folder, so that the owner's daemon can read it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync(folder: Path) -> None:
    """Write a folder's directory to the medium."""
    PosixFileSystem().fsync_directory(folder)
