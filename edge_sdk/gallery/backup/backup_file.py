"""The bytes of a backup: a gallery file, and its companion files sealed with a key from the gallery's root secret. Pure.

    magic[8] | version u16 | 0[6] | length of the gallery file u64 | gallery file | sealed companion files

The gallery file is sealed already. The companion files are bound to every byte before them, so a backup is opened as a
whole or refused, and only a key of the gallery opens it.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, parse_header
from edge_sdk.gallery.format.sealing import Randomness
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.store.sealed_file import Generation, authenticate, unlock

MAGIC = bytes.fromhex("894647420d0a1a0a")
VERSION = 1
MAX_BACKUP_BYTES = 256 * 1024 * 1024
MAX_FILES = 256
LABEL = b"edge-sdk/gallery/backup@v1"
ATTEMPTS, AUDIT = "attempts", "audit"
_HEADER = struct.Struct("<8sHHIQ")
_COUNTS = struct.Struct("<QQI")
_FILE = struct.Struct("<BQ")
# Rest of the name of a gallery's own files (docs/reference/gallery-format.md).
_OWN_FILE = re.compile(r"(\.(attempts|audit|before|captures|lock|tmp)(\..*)?)?")
_NAME = re.compile(rf"{ATTEMPTS}|{AUDIT}(\.next|\.[0-9]{{6,15}})?")


@dataclass(frozen=True, repr=False)
class Backup:
    """The content of a backup.

    Attributes:
        gallery: The gallery file.
        created_at_s: Time of the backup, Unix seconds.
        anchor_generation: Generation in the gallery's anchor; 0 without an anchor.
        files: Companion files by the last part of their name: `attempts`, `audit`, `audit.next`, `audit.000001` and so on.
    """

    gallery: bytes
    created_at_s: int
    anchor_generation: int
    files: Mapping[str, bytes] = field(default_factory=dict)


def check_path(backup: Path, gallery: Path) -> None:
    """Refuse a path that belongs to the gallery: its file, or a file beside it that the gallery writes and removes.

    Args:
        backup: Path of the backup.
        gallery: Path of the gallery.

    Raises:
        GalleryError: the path belongs to the gallery.
    """
    own, other = gallery.absolute(), backup.absolute()
    if other.parent == own.parent and _OWN_FILE.fullmatch(other.name.removeprefix(own.name)):
        raise GalleryError(
            f"{backup} is the name of a file that belongs to the gallery {gallery}",
            hint="give the backup another name, such as one that ends in .backup",
        )


def seal_backup(backup: Backup, generation: Generation, *, random: Randomness) -> bytes:
    """Return the bytes of a backup file.

    Args:
        backup: The content.
        generation: The opened gallery file of the backup.
        random: Returns n random bytes.

    Raises:
        GalleryError: the file would be over 256 MiB.
    """
    parts = [_COUNTS.pack(backup.created_at_s, backup.anchor_generation, len(backup.files))]
    for name, data in backup.files.items():
        parts += [_FILE.pack(len(name), len(data)), name.encode(), data]
    text = b"".join(parts)
    head = _HEADER.pack(MAGIC, VERSION, 0, 0, len(backup.gallery)) + backup.gallery
    size_bytes = len(head) + sealing.sealed_body_bytes(len(text))
    if size_bytes > MAX_BACKUP_BYTES:
        raise GalleryError(
            f"the backup would be {size_bytes} bytes, at most {MAX_BACKUP_BYTES} are allowed",
            hint="copy the closed files of the audit log elsewhere, and remove them here",
        )
    header, key = generation.header, _key(generation)
    return head + sealing.seal_companions(header.suite, key, _digest(head), text, random=random)


def open_backup(data: bytes, key: KeyProvider) -> tuple[Backup, Generation]:
    """Open a backup file completely.

    Args:
        data: The bytes of the file.
        key: A key of the gallery.

    Returns:
        The content, and the opened gallery file in it.

    Raises:
        GalleryFormatError: the bytes are not a backup, cut short, or malformed.
        SealError: the key is wrong, or a byte was altered.
        GalleryError: the key's secret is not available.
    """
    gallery = _gallery_of(data)
    header = parse_header(gallery)
    slot, data_key = unlock(header, key)
    generation = authenticate(gallery, header, data_key, slot)
    head_bytes = _HEADER.size + len(gallery)
    sealed = memoryview(data)[head_bytes:]
    text = sealing.open_companions(header.suite, _key(generation), _digest(data[:head_bytes]), sealed)
    return _parsed(gallery, bytes(text)), generation


def _gallery_of(data: bytes) -> bytes:
    """Return the sealed gallery file in a backup, without opening anything.

    Raises:
        GalleryFormatError: the bytes are not a backup, or are cut short.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise GalleryFormatError(
            "expected a backup of a gallery, found another file", hint="give a file that gallery backup wrote"
        )
    if len(data) > MAX_BACKUP_BYTES:
        raise GalleryFormatError(f"expected a backup of at most {MAX_BACKUP_BYTES} bytes, found more")
    _, version, reserved, reserved_too, length = _HEADER.unpack_from(data)
    if (version, reserved, reserved_too) != (VERSION, 0, 0):
        raise GalleryFormatError(
            f"expected a backup of version {VERSION}, found version {version}", hint="use a newer edge-sdk"
        )
    if length > min(MAX_FILE_BYTES, len(data) - _HEADER.size):
        raise GalleryFormatError("the backup is cut short", hint="copy the file again")
    return data[_HEADER.size : _HEADER.size + length]


def _parsed(gallery: bytes, text: bytes) -> Backup:
    if len(text) < _COUNTS.size:
        raise GalleryFormatError("the companion files of the backup are cut short")
    created_at_s, anchor_generation, count = _COUNTS.unpack_from(text)
    if count > MAX_FILES:
        raise GalleryFormatError(f"expected at most {MAX_FILES} files in a backup, found {count}")
    files: dict[str, bytes] = {}
    at = _COUNTS.size
    for _ in range(count):
        if len(text) - at < _FILE.size:
            raise GalleryFormatError("a file in the backup is cut short")
        name_bytes, size = _FILE.unpack_from(text, at)
        at += _FILE.size
        if size > len(text) - at - name_bytes:
            raise GalleryFormatError("a file in the backup is cut short")
        name = text[at : at + name_bytes].decode("ascii", "replace")
        if not _NAME.fullmatch(name) or name in files:
            raise GalleryFormatError(
                f"expected an audit log or an attempt counter in the backup, found {name!a}"
            )
        files[name] = text[at + name_bytes : at + name_bytes + size]
        at += name_bytes + size
    if at != len(text):
        raise GalleryFormatError("the backup has bytes after its last file")
    return Backup(gallery, created_at_s, anchor_generation, files)


def _key(generation: Generation) -> bytes:
    return sealing.hkdf(generation.content.root_secret, salt=generation.header.gallery_id, info=LABEL)


def _digest(head: bytes) -> bytes:
    return hashlib.sha512(head).digest()
