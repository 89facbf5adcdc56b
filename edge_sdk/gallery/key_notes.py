"""Bind a gallery's path to its id: by an id that the caller gives, or by a note in the key file.

Two galleries of one key file could otherwise be exchanged for one another by anybody who can write their folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from pathlib import Path

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.header import ID_BYTES, parse_header
from edge_sdk.gallery.keys.provider import KeyProvider, NotingKey
from edge_sdk.gallery.store.files import PosixFileSystem, read_head
from edge_sdk.gallery.store.sealed_file import unlock
from edge_sdk.notices import GalleryWarning

_MAX_NEIGHBOURS = 256


def parse_gallery_id(gallery_id: bytes | str) -> bytes:
    """Return a gallery id as bytes.

    Args:
        gallery_id: 16 bytes, or 32 hexadecimal digits.

    Raises:
        InputError: the id is neither.
    """
    with contextlib.suppress(ValueError, TypeError):
        value = bytes.fromhex(gallery_id) if isinstance(gallery_id, str) else bytes(gallery_id)
        if len(value) == ID_BYTES:
            return value
    raise InputError(
        f"expected a gallery id of {2 * ID_BYTES} hexadecimal digits, found {gallery_id!r}",
        hint="edge-sdk gallery status prints it",
    )


def check_gallery_id(path: Path, key: KeyProvider, found_id: bytes, expected_id: bytes | None) -> None:
    """Refuse another gallery than the expected one.

    Args:
        path: Path of the gallery.
        key: The key that opens it.
        found_id: Id of the gallery at the path.
        expected_id: Id that the caller expects; None for the one that the key notes for this path, if any.

    Raises:
        GalleryError: the gallery has another id.
    """
    if expected_id is not None:
        if expected_id != found_id:
            raise GalleryError(
                f"expected gallery {expected_id.hex()}, found gallery {found_id.hex()} at {path}",
                hint="another gallery was put in its place: put the right one back",
            )
    elif isinstance(key, NotingKey):
        noted_id = key.galleries().get(os.path.realpath(path), found_id)
        if noted_id != found_id:
            raise GalleryError(
                f"expected gallery {noted_id.hex()}, which the key file notes for {path}, found gallery {found_id.hex()}",
                hint="another gallery was put in its place: put the right one back; if you moved it there yourself, "
                f"give --gallery-id {found_id.hex()} (gallery_id= in a program)",
            )


def note_gallery(path: Path, key: KeyProvider, gallery_id: bytes) -> None:
    """Note a gallery in its key file; warn if the file is the key of another gallery that still exists.

    A key file that cannot be written, for example on a read-only medium, stays without the note.
    """
    if not isinstance(key, NotingKey):
        return
    place = os.path.realpath(path)
    noted = key.galleries()
    existing = {other for other, other_id in noted.items() if _id_at(Path(other)) == other_id}
    others = sorted((existing | _opened_neighbours(Path(place), key)) - {place})
    if others:
        warnings.warn(
            f"this key file is also the key of {', '.join(others)}: whoever has it opens both galleries; use one key file"
            " per gallery",
            GalleryWarning,
            stacklevel=4,
        )
    if noted.get(place) != gallery_id:
        key.note_gallery(place, gallery_id)


def _opened_neighbours(path: Path, key: KeyProvider) -> set[str]:
    """Return the galleries in a folder that the key opens; an earlier version did not note them."""
    opened = set()
    with contextlib.suppress(OSError):
        for other in itertools.islice(path.parent.iterdir(), _MAX_NEIGHBOURS):
            with contextlib.suppress(GalleryError):
                unlock(parse_header(read_head(PosixFileSystem(), other)), key)
                opened.add(str(other))
    return opened


def _id_at(path: Path) -> bytes | None:
    with contextlib.suppress(GalleryError):
        return parse_header(read_head(PosixFileSystem(), path)).gallery_id
    return None
