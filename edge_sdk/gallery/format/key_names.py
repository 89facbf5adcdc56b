"""Names and roles of the keys of a gallery, one entry for each key slot; they neither strengthen nor weaken a key. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from edge_sdk.errors import GalleryFormatError
from edge_sdk.gallery.format.text import parse_text

MAX_KEY_NAME_BYTES = 64
_MAX_ENTRIES = 8


class KeyRole(enum.Enum):
    """The purpose of a key, as an administrator stated it."""

    NONE = "none"  # not stated
    OWNER = "owner"  # opens the gallery for administration
    DEVICE = "device"  # opens it on the device, without a person
    RECOVERY = "recovery"  # is kept elsewhere, for the case that the others are lost


_ROLES = (KeyRole.NONE, KeyRole.OWNER, KeyRole.DEVICE, KeyRole.RECOVERY)


@dataclass(frozen=True)
class KeyName:
    """Name and role of a key.

    Attributes:
        name: 0..64 bytes of UTF-8 without control characters; empty if the key has no name.
        role: Role of the key.
    """

    name: str = ""
    role: KeyRole = KeyRole.NONE


def pack_key_names(names: Sequence[KeyName]) -> bytes:
    """Convert names to bytes, in the order of the slots; no bytes if no key has a name or a role."""
    if all(name == KeyName() for name in names):
        return b""
    texts = [(_ROLES.index(name.role), name.name.encode()) for name in names]
    return b"".join(bytes([role, len(text)]) + text for role, text in texts)


def parse_key_names(value: bytes) -> tuple[KeyName, ...]:
    """Parse names and roles of keys.

    Raises:
        GalleryFormatError: not 1 to 8 whole entries, an unknown role, a name that is too long, not UTF-8 or with control
            characters, or two keys with the same name.
    """
    names: list[KeyName] = []
    at = 0
    while at < len(value):
        if len(value) - at < 2 or len(value) - at - 2 < value[at + 1]:
            raise GalleryFormatError("the name of a key runs past its record")
        role, length = value[at], value[at + 1]
        if role >= len(_ROLES) or length > MAX_KEY_NAME_BYTES:
            raise GalleryFormatError(
                f"expected a role of 0..{len(_ROLES) - 1} and a name of at most {MAX_KEY_NAME_BYTES} bytes, found {role}"
                f" and {length}"
            )
        names.append(KeyName(parse_text(value[at + 2 : at + 2 + length], "the name of a key"), _ROLES[role]))
        at += 2 + length
    if not 1 <= len(names) <= _MAX_ENTRIES:
        raise GalleryFormatError(f"expected names of 1..{_MAX_ENTRIES} keys, found {len(names)}")
    texts = [name.name for name in names if name.name]
    if len(set(texts)) != len(texts):
        raise GalleryFormatError("two keys have the same name")
    return tuple(names)


def check_key_names(value: bytes) -> None:
    """Check names and roles of keys; see `parse_key_names`."""
    parse_key_names(value)
