"""Files of a mirror folder, identified by their content."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edge_sdk.errors import ModelError
from edge_sdk.zoo.entries import ZooEntry

#: Environment variable with the folder from which models are read; if set, nothing is downloaded.
MIRROR = "EDGE_SDK_ZOO"
#: Most directory entries of a mirror folder that are looked at.
MAX_ENTRIES = 10_000
#: Most files of the right size whose digest is computed to find one model.
MAX_CANDIDATES = 32
_CHUNK = 1 << 20


def mirror_folder() -> Path | None:
    """Return the mirror folder that ``EDGE_SDK_ZOO`` names by a path or a ``file://`` address; None if it is not set.

    Raises:
        ModelError: The variable names no folder of this computer.
    """
    place = os.environ.get(MIRROR)
    if not place:
        return None
    parts = urlsplit(place)
    if "://" in place and (parts.scheme != "file" or parts.netloc not in ("", "localhost")):
        raise ModelError(
            f"{MIRROR}: expected the path of a folder or a file:// address, found {place!r}",
            hint="copy the files into a folder of this computer",
        )
    folder = Path(unquote(parts.path)) if "://" in place else Path(place)
    if not folder.is_dir():
        raise ModelError(
            f"{MIRROR}: expected a folder, found none as {folder}", hint=f"correct or unset {MIRROR}"
        )
    return folder


def find(entry: ZooEntry, folder: Path) -> Path:
    """Return the file of a model in a mirror folder, whatever its name.

    The file with the listed name is checked first, then the other files of the listed size in the order of their names.
    Subfolders are not searched.

    Raises:
        ModelError: No file has the listed size and SHA-256; or the folder has more than ``MAX_ENTRIES`` entries, or more
            than ``MAX_CANDIDATES`` files of this size, and the listed name is not the model's.
    """
    named = folder / entry.file
    if is_listed(named, entry):
        return named
    candidates = sorted(path for path in _files_of_size(entry, folder) if path != named)
    if len(candidates) > MAX_CANDIDATES:
        raise ModelError(
            f"{folder}: expected at most {MAX_CANDIDATES} files of {entry.size_bytes} bytes, found {len(candidates)}",
            hint=f"name the file of {entry.name} {entry.file}",
        )
    for path in candidates:
        if is_listed(path, entry):
            return path
    expected = (
        f"{entry.name}: expected a file of {entry.size_bytes} bytes with SHA-256 {entry.sha256} in {folder}"
    )
    if named.exists():
        raise ModelError(
            f"{expected}, found a different file as {entry.file}",
            hint="do not use it; delete it and copy the listed file, under any name",
        )
    others = f"{len(candidates)} of this size with another SHA-256" if candidates else "none of this size"
    raise ModelError(
        f"{expected}, found {others}",
        hint=f"put {entry.file} there, under any name, or unset {MIRROR}",
    )


def is_listed(file: Path, entry: ZooEntry) -> bool:
    """Return True if a regular file exists with the listed size and SHA-256; hash it only if the size is right.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size_bytes:
            return False
        digest = hashlib.sha256()
        left = entry.size_bytes
        with file.open("rb") as stream:
            while left and (chunk := stream.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest() == entry.sha256


def _files_of_size(entry: ZooEntry, folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for number, item in enumerate(entries):
                if number == MAX_ENTRIES:
                    raise ModelError(
                        f"{folder}: expected at most {MAX_ENTRIES} files, found more",
                        hint=f"name the file of {entry.name} {entry.file}, or put the models into a folder of their own",
                    )
                if item.is_file() and item.stat().st_size == entry.size_bytes:
                    yield folder / item.name
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror or error}") from error
