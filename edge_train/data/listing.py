"""List every file of a folder or an archive, also those that training ignores."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from converters.data.archives import open_archive
from converters.evaluate.metrics.cosines import MAX_IMAGES
from edge_sdk.errors import InputError
from edge_sdk.vision.images import MAX_FILE_BYTES, SUFFIXES
from edge_train.errors import FolderError


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Names of the files of a folder or an archive, relative to it, with forward slashes.

    Args:
        path: The folder or archive.
        images: Files that the SDK reads as images by their suffix.
        others: Other files.
        hidden: Files and folders that begin with a dot.
        folders: Folders; empty for an archive.
        links: Links to folders, which are not followed.
        loops: Links to a folder that contains the link.
        closed: Folders that may not be read.
        misnamed: Files whose names are not valid UTF-8.
        read: Returns the bytes of an image; raises InputError if they cannot be read.
    """

    path: Path
    images: tuple[str, ...]
    others: tuple[str, ...]
    read: Callable[[str], bytes]
    hidden: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    misnamed: tuple[str, ...] = ()


def list_pictures(path: str | Path) -> Listing:
    """List a folder, .tar or .zip.

    Raises:
        FolderError: There is no such folder or archive, or it has too many images.
    """
    path = Path(path)
    if path.is_dir():
        listing = _list_folder(path)
    elif path.is_file():
        listing = _list_archive(path)
    else:
        raise FolderError(
            f"{path}: expected a folder, .tar or .zip of pictures, found nothing there",
            hint="give a folder with one folder per subject: SUBJECT/IMAGE",
        )
    if len(listing.images) > MAX_IMAGES:
        raise FolderError(
            f"{path}: expected up to {MAX_IMAGES:,} images, found {len(listing.images):,}",
            hint="give fewer images",
        )
    return listing


@dataclass
class _Names:
    """Names collected during a walk."""

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    def add_file(self, name: str) -> None:
        """Add a file by its name alone."""
        if not _is_text(name):
            self.misnamed.append(ascii(name))
        elif any(part.startswith(".") for part in PurePosixPath(name).parts):
            self.hidden.append(name)
        elif PurePosixPath(name).suffix.lower() in SUFFIXES:
            self.images.append(name)
        else:
            self.others.append(name)

    def sorted(self) -> dict[str, tuple[str, ...]]:
        """Return the lists as sorted tuples by field name."""
        return {name: tuple(sorted(names)) for name, names in vars(self).items()}


def _list_folder(path: Path) -> Listing:
    names = _Names()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(path / folder))
        except OSError:
            names.closed.append(folder or ".")
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_folder(entry):
                names.add_file(name)
            elif not _is_text(name):
                names.misnamed.append(ascii(name))
            elif entry.name.startswith("."):
                names.hidden.append(name)
            elif entry.is_symlink():
                target, place = Path(entry.path).resolve(), (path / folder).resolve()
                (names.loops if target in (place, *place.parents) else names.links).append(name)
            else:
                names.folders.append(name)
                waiting.append(name)

    def read(name: str) -> bytes:
        file = path / name
        try:
            # Opening a pipe would wait for its writer.
            if not file.is_file():
                raise InputError(f"{name}: expected a file, found a broken link or a device")
            size = file.stat().st_size
            if size > MAX_FILE_BYTES:
                raise InputError(
                    f"{name}: expected a file of at most {MAX_FILE_BYTES >> 20} MiB, found {size >> 20} MiB"
                )
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error

    return Listing(path=path, read=read, **names.sorted())


def _list_archive(path: Path) -> Listing:
    names = _Names()

    def accepts(name: str) -> bool:
        before = len(names.images)
        names.add_file(name)
        return len(names.images) > before

    try:
        archive = open_archive(path, accepts=accepts, max_file_bytes=MAX_FILE_BYTES)
    except InputError as error:
        raise FolderError(str(error), hint=error.hint) from error
    if archive is None:
        raise FolderError(
            f"{path}: expected a folder, .tar or .zip of pictures, found another kind of file",
            hint="give a folder with one folder per subject: SUBJECT/IMAGE",
        )
    names.images = list(archive.names)
    return Listing(path=path, read=archive.read, **names.sorted())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, or to a place that may not be seen; reading it reports the fault


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
