"""Between a gallery's content and its file: read and judge, unlock and open, seal and commit."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import GalleryError, GalleryFormatError, SealError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import SLOT_KEYS, Content, pack_content, parse_content
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, Header, pack_header, parse_header
from edge_sdk.gallery.keys import KeyProvider, slot_kind
from edge_sdk.gallery.store.anchor import Anchor, NoAnchor, must_advance
from edge_sdk.gallery.store.files import FileSystem, locked, read_gallery, read_head, write_atomically

_LAST_MOMENT_S = 253_402_300_799  # of the year 9999


def believable(clock: Callable[[], float]) -> Callable[[], float]:
    """A clock of Unix seconds whose time can be sealed; what a commit seals of a wild one could not be taken back.

    Returns:
        The same clock; it raises GalleryError where it says no time from 1970 to the year 9999.
    """

    def now_s() -> float:
        said_s = clock()
        if not 0 <= said_s <= _LAST_MOMENT_S:
            raise GalleryError(
                f"the device's clock says {said_s} s, expected Unix seconds from 1970 to the year 9999",
                hint="set the clock; the gallery is as it was",
            )
        return said_s

    return now_s


@dataclass(frozen=True, repr=False)
class Places:
    """What a gallery touches outside itself; every one is a seam."""

    path: Path
    files: FileSystem
    anchor: Anchor
    random: Callable[[int], bytes]
    clock: Callable[[], float]  # by `believable`


def read(places: Places) -> tuple[bytes, int | None]:
    """File and anchor as of one moment; without an anchor no lock is needed, since a rename is atomic."""
    if isinstance(places.anchor, NoAnchor):
        return read_gallery(places.files, places.path), None
    # Or a mistyped path would leave a lock file there.
    read_head(places.files, places.path)
    with locked(places.files, places.path):
        file = read_gallery(places.files, places.path)
        return file, places.anchor.read(parse_header(file).gallery_id)


def judge(places: Places, header: Header, anchored: int | None) -> None:
    """Compare an authenticated header with what the anchor said, and bring the anchor up to it.

    Raises:
        RollbackError: as `anchor.must_advance`.
    """
    if must_advance(header.generation, anchored):
        with locked(places.files, places.path):
            places.anchor.advance(header.gallery_id, header.generation)


def unlock(header: Header, key: KeyProvider) -> tuple[int, bytes, bytes]:
    """Index, slot key and data key of the first slot that the key opens.

    Raises:
        SealError: it opens none; where the file says that keys of other kinds open it, the hint says which.
        GalleryError: the key cannot be had.
    """
    for index, slot in enumerate(header.slots):
        if slot.type == key.slot_type:
            slot_key = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
            with contextlib.suppress(SealError):
                return index, slot_key, sealing.unwrap(header, slot, slot_key)
    error = sealing.seal_error()
    if all(slot.type != key.slot_type for slot in header.slots):
        kinds = ", ".join(dict.fromkeys(slot_kind(slot.type)[0] for slot in header.slots))
        error.hint = f"the file says that it is opened by: {kinds} (was it rotated?); found a {key.name}"
    raise error


def open_content(file: bytes, header: Header, data_key: bytes, slot_index: int, slot_key: bytes) -> Content:
    """Open a whole file with its data key and check that it keeps the slot key which led there.

    Raises:
        SealError: altered.
        GalleryFormatError: content malformed.
    """
    content = parse_content(sealing.open_body(file, data_key), header.template_type, header.dimension)
    keys = slot_keys_of(content)
    if len(keys) != len(header.slots) or not hmac.compare_digest(keys[slot_index], slot_key):
        raise GalleryFormatError("the gallery's slot keys do not belong to its slots")
    return content


def slot_keys_of(content: Content) -> list[bytes]:
    """The slots' key-encryption keys, in order."""
    keys = content.record(SLOT_KEYS) or b""
    size = sealing.KEY_BYTES
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def commit(
    places: Places, header: Header, content: Content, slot_index: int, slot_key: bytes
) -> tuple[bytes, Content]:
    """Seal and commit, then advance the anchor; the caller holds the lock.

    Returns:
        The header's bytes, and the content as read back.
    """
    plaintext = pack_content(content)
    size_bytes = len(pack_header(header)) + sealing.sealed_body_bytes(len(plaintext))
    if size_bytes > MAX_FILE_BYTES:
        raise GalleryError(f"the gallery would be {size_bytes} bytes, at most {MAX_FILE_BYTES} are allowed")
    sealed = sealing.seal(header, slot_keys_of(content), plaintext, random=places.random)
    stored: list[Content] = []

    def check(data: bytes) -> None:
        found = parse_header(data)
        data_key = sealing.unwrap(found, found.slots[slot_index], slot_key)
        stored.append(open_content(data, found, data_key, slot_index, slot_key))

    write_atomically(places.files, places.path, sealed, check=check)
    places.anchor.advance(header.gallery_id, header.generation)
    return pack_header(parse_header(sealed)), stored[0]


def check_absent(places: Places) -> None:
    """Raise GalleryError where there is a file already."""
    try:
        places.files.read(places.path, 0)
    except FileNotFoundError:
        return
    except OSError as error:
        raise GalleryError(f"cannot create {places.path}: {error.strerror or error}") from error
    raise GalleryError(f"{places.path} exists already", hint="open it, or choose another path")
