"""The header of a sealed gallery: convert between bytes and `Header`. Pure.

Versions 1 and 2 are read; a commit writes version 2. They differ in bytes 86 and 87: zeros in version 1, the kind of
the model id and a zero in version 2. Every field and every size is checked before memory is allocated for it. The header can be read
without a key. Trust it only after the body has been opened: the body's key is derived from the
header's digest (see `sealing`). The byte tables are in `docs/reference/gallery-format.md`.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, replace

from edge_sdk.errors import GalleryFormatError

MAGIC = bytes.fromhex("894647410d0a1a0a")
VERSION = 2
READABLE_VERSIONS = (1, 2)

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 4096
MAX_SLOTS = 8
MAX_SUBJECTS = 20_000
MAX_TEMPLATES = 100_000

ID_BYTES = 16
MODEL_ID_BYTES = 32
WRAPPED_BYTES = 24 + 32 + 32 + 16  # salt, commitment, data key, tag

_FIXED = struct.Struct("<8sHHI16sQQ32sHBBHBB")
_SLOT = struct.Struct("<HH")
FIXED_BYTES = _FIXED.size
MIN_HEADER_BYTES = FIXED_BYTES + _SLOT.size + WRAPPED_BYTES


class Suite(enum.IntEnum):
    """Authenticated cipher of the body and of wrapped keys."""

    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class ModelKind(enum.IntEnum):
    """Kind of the model id: what its digest covers."""

    FILE = 0
    SPACE = 1


class TemplateType(enum.IntEnum):
    """Number format of stored templates."""

    INT8 = 1
    FLOAT16 = 2

    @property
    def item_bytes(self) -> int:
        """Bytes per number."""
        return 1 if self is TemplateType.INT8 else 2


class Transform(enum.IntEnum):
    """Transform of embeddings before they are stored."""

    NONE = 0
    SHP3 = 1


@dataclass(frozen=True)
class Slot:
    """One key slot: the data key, sealed with a key-encryption key.

    Attributes:
        type: Kind of key, 1..65535; readers skip and keep slots of unknown kind.
        parameters: Input of the key provider besides its secret, such as a salt and costs.
        wrapped: The sealed data key, `WRAPPED_BYTES` long.
    """

    type: int
    parameters: bytes
    wrapped: bytes


@dataclass(frozen=True)
class Header:
    """The unencrypted part of a gallery file.

    Attributes:
        suite: Cipher of the body and of wrapped keys.
        gallery_id: 16 random bytes, never changed.
        generation: Number of the commit, from 1.
        key_epoch: Number of the key epoch; every slot key is derived from it.
        model_id: Digest of the model whose embeddings are stored, 32 bytes; `model_kind` says what it covers.
        dimension: Numbers per template, 1..65535.
        template_type: Number format of the templates.
        transform: Transform of the templates.
        slots: 1..8 key slots.
        model_kind: `FILE` if `model_id` is the SHA-256 of the model file, which version 1 stored; `SPACE` if it is the
            id of the embedding space (`edge_sdk.model.space`).
        version: Format version of the file that the header was read from, 1 or 2.
    """

    suite: Suite
    gallery_id: bytes
    generation: int
    key_epoch: int
    model_id: bytes
    dimension: int
    template_type: TemplateType
    transform: Transform
    slots: tuple[Slot, ...]
    model_kind: ModelKind = ModelKind.FILE
    version: int = VERSION

    def with_wrapped(self, wrapped: list[bytes]) -> Header:
        """Return the header with the wrapped data keys of its slots replaced, in order."""
        slots = tuple(replace(slot, wrapped=w) for slot, w in zip(self.slots, wrapped, strict=True))
        return replace(self, slots=slots)


def header_bytes_of(slots: tuple[Slot, ...]) -> int:
    """Return the length in bytes of a header with these slots."""
    return FIXED_BYTES + sum(_SLOT.size + len(slot.parameters) + WRAPPED_BYTES for slot in slots)


def pack_fixed(header: Header) -> bytes:
    """Return the 88 bytes before the slots.

    Raises:
        GalleryFormatError: a number does not fit its field, such as a generation of 2^64.
    """
    try:
        return _FIXED.pack(
            MAGIC,
            header.version,
            header.suite,
            header_bytes_of(header.slots),
            header.gallery_id,
            header.generation,
            header.key_epoch,
            header.model_id,
            header.dimension,
            header.template_type,
            header.transform,
            len(header.slots),
            header.model_kind,
            0,
        )
    except struct.error as error:
        raise GalleryFormatError(f"a header field does not fit: {error}") from error


def pack_header(header: Header) -> bytes:
    """Convert a header to bytes.

    Raises:
        GalleryFormatError: `parse_header` would refuse the header.
    """
    parts = [pack_fixed(header)]
    for slot in header.slots:
        parts += [
            _SLOT.pack(slot.type, len(slot.parameters) + len(slot.wrapped)),
            slot.parameters,
            slot.wrapped,
        ]
    packed = b"".join(parts)
    if parse_header(packed) != header:
        raise GalleryFormatError("a header field has the wrong length or range")
    return packed


def parse_header(data: bytes | memoryview) -> Header:
    """Parse the header at the start of `data`.

    Args:
        data: A whole file, or at least its header.

    Raises:
        GalleryFormatError: the data are not a gallery of a known version, are truncated, or have a field out of range.
    """
    head = memoryview(data)
    if len(head) < 8 or bytes(head[:8]) != MAGIC:
        raise GalleryFormatError(
            f"not a gallery: expected {MAGIC.hex()} at the start, found {bytes(head[:8]).hex()!r}"
        )
    if len(head) < FIXED_BYTES:
        raise GalleryFormatError(
            f"truncated gallery: expected a header of {FIXED_BYTES} bytes or more, found {len(head)}"
        )
    _, version, suite, header_len, gallery_id, generation, epoch, *rest = _FIXED.unpack(head[:FIXED_BYTES])
    model_id, dimension, dtype, transform, slots, model_kind, reserved = rest
    if version not in READABLE_VERSIONS:
        raise GalleryFormatError(
            f"expected gallery format version {' or '.join(map(str, READABLE_VERSIONS))}, found {version}",
            hint="use a newer edge-sdk",
        )
    if not MIN_HEADER_BYTES <= header_len <= MAX_HEADER_BYTES:
        raise GalleryFormatError(
            f"expected a header length in {MIN_HEADER_BYTES}..{MAX_HEADER_BYTES}, found {header_len}"
        )
    if header_len > len(head):
        raise GalleryFormatError(
            f"truncated gallery: expected a header of {header_len} bytes, found a file of {len(head)}"
        )
    for name, value, known in (
        ("suite", suite, Suite),
        ("dtype", dtype, TemplateType),
        ("transform", transform, Transform),
        ("kind of model id", model_kind, ModelKind),
    ):
        if value not in set(known):
            raise GalleryFormatError(f"unknown {name} {value}", hint="use a newer edge-sdk")
    if generation == 0:
        raise GalleryFormatError("expected a generation of 1 or more, found 0")
    if dimension == 0:
        raise GalleryFormatError("expected a dimension of 1 or more, found 0")
    if not 1 <= slots <= MAX_SLOTS:
        raise GalleryFormatError(f"expected 1..{MAX_SLOTS} key slots, found {slots}")
    if reserved != 0 or (version == 1 and model_kind != ModelKind.FILE):
        raise GalleryFormatError(
            f"expected zeros in the reserved header bytes, found {model_kind} and {reserved}"
        )
    return Header(
        suite=Suite(suite),
        gallery_id=gallery_id,
        generation=generation,
        key_epoch=epoch,
        model_id=model_id,
        dimension=dimension,
        template_type=TemplateType(dtype),
        transform=Transform(transform),
        slots=_parse_slots(head[FIXED_BYTES:header_len], slots),
        model_kind=ModelKind(model_kind),
        version=version,
    )


def _parse_slots(data: memoryview, count: int) -> tuple[Slot, ...]:
    slots = []
    at = 0
    for index in range(count):
        if len(data) - at < _SLOT.size:
            raise GalleryFormatError(f"key slot {index} extends beyond the header")
        slot_type, length = _SLOT.unpack(data[at : at + _SLOT.size])
        at += _SLOT.size
        if slot_type == 0 or length < WRAPPED_BYTES or length > len(data) - at:
            raise GalleryFormatError(f"key slot {index} of type {slot_type} with {length} bytes is malformed")
        parameters_end = at + length - WRAPPED_BYTES
        slots.append(
            Slot(slot_type, bytes(data[at:parameters_end]), bytes(data[parameters_end : at + length]))
        )
        at += length
    if at != len(data):
        raise GalleryFormatError(f"{len(data) - at} unknown bytes after the last key slot")
    return tuple(slots)
