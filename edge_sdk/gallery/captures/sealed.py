"""Parts of a captures file: crops of one enrolment, sealed for a public key whose private key is kept elsewhere. Pure.

HPKE base mode does not authenticate the sender. A part is authentic because the sealed gallery holds its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence

from edge_sdk.errors import GalleryFormatError, InputError, SealError
from edge_sdk.gallery.captures.crops import MAX_CONSENT_BYTES, MAX_PIXEL_BYTES, Crops, pack_crops, parse_crops
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.gallery.format.captures_record import MAX_PARTS_OF_SUBJECT, StoredPart
from edge_sdk.gallery.format.hpke import ENCAPSULATED_BYTES, TAG_BYTES, hpke_suite

MAGIC = bytes.fromhex("894647430d0a1a0a")
VERSION = 1
SUITE = 1
LABEL = b"edge-sdk/gallery/captures@v1"
# Magic, version, suite, bytes of the part, gallery id, subject id, recipient.
_HEADER = struct.Struct("<8sHHI16s16s32s")
MAX_PART_BYTES = MAX_PIXEL_BYTES + MAX_CONSENT_BYTES + 1024
MAX_CAPTURES_FILE_BYTES = MAX_PARTS_OF_SUBJECT * MAX_PART_BYTES
_LEAST_BYTES = _HEADER.size + ENCAPSULATED_BYTES + TAG_BYTES


def seal_part(crops: Crops, *, gallery: bytes, subject: bytes, recipient: bytes) -> bytes:
    """Seal the crops of one enrolment.

    Args:
        crops: The crops.
        gallery: Id of the gallery, 16 bytes.
        subject: Id of the subject, 16 bytes.
        recipient: X25519 public key, 32 bytes.

    Raises:
        InputError: the recipient is not a public key.
        GalleryError: `cryptography` lacks HPKE.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    plaintext = pack_crops(crops)
    head = _HEADER.pack(MAGIC, VERSION, SUITE, _LEAST_BYTES + len(plaintext), gallery, subject, recipient)
    try:
        sealed: bytes = hpke_suite().encrypt(
            plaintext, X25519PublicKey.from_public_bytes(recipient), info=LABEL + head
        )
    except ValueError as error:
        raise InputError("expected an X25519 public key for captures, found another value") from error
    return head + sealed


def split_parts(data: bytes) -> list[bytes]:
    """Divide a captures file into its parts, without a key.

    Raises:
        GalleryFormatError: the data are not whole parts, or there are more than a subject can have.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        head = data[at : at + _HEADER.size]
        if len(head) < _HEADER.size or head[: len(MAGIC)] != MAGIC:
            raise GalleryFormatError("expected captures, found other bytes or an incomplete part")
        _, version, suite, length, *_ = _HEADER.unpack(head)
        if (version, suite) != (VERSION, SUITE):
            raise GalleryFormatError(
                f"expected captures of version {VERSION} and suite {SUITE}, found {version} and {suite}",
                hint="use a newer edge-sdk",
            )
        if not _LEAST_BYTES <= length <= MAX_PART_BYTES or length > len(data) - at:
            raise GalleryFormatError(
                f"a part of captures states a length of {length} bytes, which is out of range or more than the file has"
            )
        parts.append(data[at : at + length])
        at += length
        if len(parts) > MAX_PARTS_OF_SUBJECT:
            raise GalleryFormatError(
                f"expected captures of at most {MAX_PARTS_OF_SUBJECT} enrolments, found more"
            )
    return parts


def digest_of(part: bytes) -> bytes:
    """Return the SHA-256 of a part."""
    return hashlib.sha256(part).digest()


def authentic_parts(data: bytes, stored: Sequence[StoredPart]) -> list[bytes] | None:
    """Return the parts of a file that the gallery stores, in order; None if a part is missing or was altered."""
    try:
        parts = {digest_of(part): part for part in split_parts(data)}
    except GalleryFormatError:
        return None
    authentic = [parts[entry.digest] for entry in stored if entry.digest in parts]
    return authentic if len(authentic) == len(stored) else None


def open_part(part: bytes, key: CapturesKey, *, gallery: bytes, subject: bytes) -> Crops:
    """Open one part.

    Args:
        part: Bytes of the part.
        key: The private key.
        gallery: Id of the gallery, 16 bytes.
        subject: Id of the subject, 16 bytes.

    Raises:
        GalleryFormatError: the bytes are not one part, or the content is malformed.
        SealError: the part is of another gallery or subject, is sealed for another key, or was altered.
    """
    from cryptography.exceptions import InvalidTag

    if split_parts(part) != [part]:
        raise GalleryFormatError("expected one part of captures, found several")
    head = part[: _HEADER.size]
    *_, of_gallery, of_subject, recipient = _HEADER.unpack(head)
    if (of_gallery, of_subject) != (gallery, subject):
        raise SealError("the captures belong to another gallery or another subject")
    if not hmac.compare_digest(recipient, key.public):
        raise SealError(
            f"the captures are sealed for the key {recipient.hex()[:8]}, the given key is {key.public.hex()[:8]}",
            hint="give the private key that edge-sdk gallery captures-key made for this gallery",
        )
    try:
        plaintext = hpke_suite().decrypt(part[_HEADER.size :], key.private(), info=LABEL + head)
    except (InvalidTag, ValueError) as error:
        raise SealError("the captures were altered") from error
    return parse_crops(plaintext)
