"""Looks: templates that were added to a subject after its enrolment, such as with glasses. Pure.

The record has one entry for each look, in ascending order of subject, then in order of addition. The last templates of
a subject, in the order of the template table, belong to its looks in the order of the record.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from edge_sdk.errors import GalleryFormatError
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.format.text import parse_text

MAX_LOOK_NAME_BYTES = 64
MAX_LOOKS = 16
LOOK_ID_BYTES = 8
_LOOK = struct.Struct(f"<{ID_BYTES}s{LOOK_ID_BYTES}sQIB")


@dataclass(frozen=True)
class Look:
    """Templates that were added to a subject together.

    Attributes:
        subject: Id of the subject, 16 bytes.
        id: Random id, 8 bytes.
        added_at_s: Time of the addition, Unix seconds.
        templates: Number of templates, 1 or more.
        name: Name, unique for the subject, 1..64 bytes of UTF-8 without control characters.
    """

    subject: bytes
    id: bytes
    added_at_s: int
    templates: int
    name: str


def pack_looks(looks: Iterable[Look]) -> bytes:
    """Convert looks to bytes; looks of one subject keep their order."""
    ordered = sorted(looks, key=lambda look: look.subject)
    texts = [(look, look.name.encode()) for look in ordered]
    return b"".join(
        _LOOK.pack(look.subject, look.id, look.added_at_s, look.templates, len(text)) + text
        for look, text in texts
    )


def parse_looks(value: bytes) -> tuple[Look, ...]:
    """Parse looks.

    Raises:
        GalleryFormatError: entries that are not whole or not in order, more than 16 of one subject, a look without
            templates, a name of another length than 1..64 bytes, not UTF-8 or with control characters, or two looks of one
            subject with the same name.
    """
    looks: list[Look] = []
    at = 0
    while at < len(value):
        if len(value) - at < _LOOK.size:
            raise GalleryFormatError("a look runs past its record")
        subject, identity, added_at_s, templates, length = _LOOK.unpack_from(value, at)
        at += _LOOK.size
        if not 1 <= length <= min(MAX_LOOK_NAME_BYTES, len(value) - at) or not templates:
            raise GalleryFormatError("a look has no template, no name, or a name of a wrong length")
        name = parse_text(value[at : at + length], "the name of a look")
        looks.append(Look(subject, identity, added_at_s, templates, name))
        at += length
    if any(a.subject > b.subject for a, b in itertools.pairwise(looks)):
        raise GalleryFormatError("looks are not in ascending order of subject")
    for _, of_subject in itertools.groupby(looks, key=lambda look: look.subject):
        names = [look.name for look in of_subject]
        if len(names) > MAX_LOOKS or len(set(names)) != len(names):
            raise GalleryFormatError(
                f"expected at most {MAX_LOOKS} looks of one subject with different names, found {len(names)}"
            )
    return tuple(looks)


def check_looks(value: bytes) -> None:
    """Check looks; see `parse_looks`."""
    parse_looks(value)
