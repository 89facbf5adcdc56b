"""Values of the policy records of stored captures (14) and of a kept earlier generation (18). Pure."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field, replace

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format.header import ID_BYTES, MAX_SUBJECTS
from edge_sdk.gallery.format.looks import LOOK_ID_BYTES

MAX_PARTS = 10_000
MAX_PARTS_OF_SUBJECT = 16
MAX_CAPTURES = 32
_MAX_TIME_S = 253_402_300_799  # end of the year 9999
_CAPTURES = struct.Struct("<32sII")
_PART = struct.Struct(f"<{ID_BYTES}s{LOOK_ID_BYTES}s32sQI")
#: Look id of a part that belongs to the enrolment itself.
NO_LOOK = bytes(LOOK_ID_BYTES)
_KEPT = struct.Struct("<Q32s32sBBHI")


@dataclass(frozen=True)
class StoredPart:
    """One part of a subject's captures file: the captures of one enrolment.

    Attributes:
        subject: Random id of the subject, 16 bytes.
        look: Id of the look that was added with these captures, 8 bytes; zeros for the enrolment itself.
        digest: SHA-256 of the part's bytes.
        stored_at_s: Time of the enrolment, Unix seconds.
        captures: Number of captures, 1..32.
    """

    subject: bytes
    look: bytes
    digest: bytes
    stored_at_s: int
    captures: int


@dataclass(frozen=True)
class CapturesRecord:
    """The key for which captures are sealed, and the parts that belong to the gallery.

    Attributes:
        recipient: X25519 public key, 32 bytes.
        parts: At most 10,000, in ascending order of subject id; of one subject in the order of its file.
    """

    recipient: bytes
    parts: tuple[StoredPart, ...] = ()

    def of(self, subject: bytes) -> tuple[StoredPart, ...]:
        """Return the parts of one subject, in the order of its file."""
        return tuple(part for part in self.parts if part.subject == subject)

    def adding(self, part: StoredPart) -> CapturesRecord:
        """Return the record with one more part.

        Raises:
            GalleryError: the gallery or the subject has as many parts as it can have.
        """
        if len(self.parts) == MAX_PARTS or len(self.of(part.subject)) == MAX_PARTS_OF_SUBJECT:
            raise GalleryError(
                f"a gallery stores captures of at most {MAX_PARTS} enrolments, and {MAX_PARTS_OF_SUBJECT} per subject",
                hint="enrol without storing captures, or remove stored ones: edge-sdk gallery captures --remove NAME",
            )
        return replace(self, parts=tuple(sorted([*self.parts, part], key=lambda p: p.subject)))

    def keeping(self, subjects: frozenset[bytes]) -> CapturesRecord:
        """Return the record with the parts of these subjects only."""
        return replace(self, parts=tuple(part for part in self.parts if part.subject in subjects))


def pack_captures(record: CapturesRecord) -> bytes:
    """Convert the record of stored captures to bytes."""
    head = _CAPTURES.pack(record.recipient, len(record.parts), 0)
    return head + b"".join(
        _PART.pack(p.subject, p.look, p.digest, p.stored_at_s, p.captures) for p in record.parts
    )


def parse_captures(value: bytes) -> CapturesRecord:
    """Parse the record of stored captures.

    Raises:
        GalleryFormatError: the length does not fit the counts, a count is out of range, or parts are not in order.
    """
    if len(value) < _CAPTURES.size:
        raise GalleryFormatError(f"expected {_CAPTURES.size} bytes or more on captures, found {len(value)}")
    recipient, count, reserved = _CAPTURES.unpack(value[: _CAPTURES.size])
    if reserved or count > MAX_PARTS or len(value) != _CAPTURES.size + count * _PART.size:
        raise GalleryFormatError(
            f"expected {_CAPTURES.size} + {_PART.size} * n bytes on captures, n <= {MAX_PARTS}, and reserved field 0,"
            f" found {len(value)} bytes, n = {count} and reserved field {reserved}"
        )
    parts = tuple(StoredPart(*fields) for fields in _PART.iter_unpack(value[_CAPTURES.size :]))
    if any(a.subject > b.subject for a, b in itertools.pairwise(parts)):
        raise GalleryFormatError("stored captures are not in ascending order of subject id")
    if any(
        len(list(group)) > MAX_PARTS_OF_SUBJECT for _, group in itertools.groupby(parts, lambda p: p.subject)
    ):
        raise GalleryFormatError(f"a subject has captures of more than {MAX_PARTS_OF_SUBJECT} enrolments")
    if not all(1 <= p.captures <= MAX_CAPTURES and p.stored_at_s <= _MAX_TIME_S for p in parts):
        raise GalleryFormatError("the number of captures of an enrolment, or its time, is out of range")
    return CapturesRecord(recipient, parts)


def check_captures(value: bytes) -> None:
    """Check the record of stored captures; see `parse_captures`."""
    parse_captures(value)


@dataclass(frozen=True)
class KeptRecord:
    """The generation before a change of the model, kept in a file beside the gallery until the change is confirmed.

    Attributes:
        generation: Number of the kept generation.
        digest: SHA-256 of its file.
        model_id: Its model id.
        model_kind: Kind of its model id, 0 or 1.
        method: How the templates of the new model were made: 1 from captures, 2 by a map.
        left_out: Ids of the subjects that the change left out, 16 bytes each.
    """

    generation: int
    digest: bytes
    model_id: bytes
    model_kind: int
    method: int
    left_out: tuple[bytes, ...] = field(default=())


def pack_kept(record: KeptRecord) -> bytes:
    """Convert the record of a kept generation to bytes."""
    head = _KEPT.pack(
        record.generation,
        record.digest,
        record.model_id,
        record.model_kind,
        record.method,
        0,
        len(record.left_out),
    )
    return head + b"".join(record.left_out)


def parse_kept(value: bytes) -> KeptRecord:
    """Parse the record of a kept generation.

    Raises:
        GalleryFormatError: the length does not fit the count, or a field is out of range.
    """
    if len(value) < _KEPT.size:
        raise GalleryFormatError(
            f"expected {_KEPT.size} bytes or more on a kept generation, found {len(value)}"
        )
    generation, digest, model_id, kind, method, reserved, count = _KEPT.unpack(value[: _KEPT.size])
    fits = count <= MAX_SUBJECTS and len(value) == _KEPT.size + count * ID_BYTES
    if not fits or reserved or kind > 1 or method not in (1, 2) or not 0 < generation < 1 << 63:
        raise GalleryFormatError("the record of a kept generation is malformed")
    ids = value[_KEPT.size :]
    left_out = tuple(ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES))
    return KeptRecord(generation, digest, model_id, kind, method, left_out)


def check_kept(value: bytes) -> None:
    """Check the record of a kept generation; see `parse_kept`."""
    parse_kept(value)
