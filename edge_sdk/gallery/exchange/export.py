"""Templates on their way from one gallery to another of the same model, sealed for the recipient alone.

HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A gallery's key pair comes from its
root secret, so whoever opens the gallery can import, and nobody else. Inside are the templates as unit
embeddings, free of the sender's transform. Base mode does not say who sent it; a signed command does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, ModelMismatchError, SealError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    REVOKED,
    TEMPLATE,
    Content,
    empty_content,
    pack_content,
    parse_content,
)
from edge_sdk.gallery.format.header import ID_BYTES, MAX_FILE_BYTES, MODEL_ID_BYTES, Header, TemplateType
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.transaction import Transaction, unknown
from edge_sdk.types import Float64Array, FloatArray

MAGIC = bytes.fromhex("894647450d0a1a0a")
VERSION = 1
SUITE = 1
LABEL = b"edge-sdk/gallery/export@v1"
KEY_BYTES = 32

_HEADER = struct.Struct("<8sHHHH32s32s16s")
HEADER_BYTES = _HEADER.size
_OVERHEAD_BYTES = 32 + 16  # encapsulated key, tag


@dataclass(frozen=True, repr=False, eq=False)
class Package:
    """What an export holds, opened.

    Attributes:
        sender: 16 bytes, id of the gallery it comes from.
        content: Subjects and templates as unit embeddings in float16; no secrets, no policy.
    """

    sender: bytes
    content: Content

    @property
    def names(self) -> tuple[str, ...]:
        """Who is in it."""
        return self.content.names

    def enrol_into(self, transaction: Transaction) -> None:
        """Enrol everyone, by the same checks as anyone else.

        Raises:
            SubjectExistsError: a name is taken, or someone looks like another subject.
        """
        content = self.content
        owners = content.templates["subject"]
        unit: FloatArray = content.matrix.astype(np.float32)
        for index, (name, label) in enumerate(zip(content.names, content.labels, strict=True)):
            record = content.subjects[index]
            transaction.enrol(
                name,
                unit[owners == index],
                label=label,
                valid_from=int(record["valid_from"]) or None,
                valid_until=int(record["valid_until"]) or None,
                enrolled_by=self.sender,
            )
            if record["flags"] & REVOKED:
                transaction.revoke(name)


def recipient_of(header: Header, content: Content) -> bytes:
    """A gallery's public key, 32 bytes: what a sender needs to export to it."""
    public: bytes = _private_key(header, content).public_key().public_bytes_raw()
    return public


def export_subjects(header: Header, content: Content, names: Sequence[str], *, recipient: bytes) -> bytes:
    """Seal subjects of an open gallery for another.

    Args:
        header: The gallery's header.
        content: Its content.
        names: Whom; everybody where there is none.
        recipient: The other gallery's public key, 32 bytes.

    Raises:
        SubjectUnknownError: one of them is not enrolled.
        InputError: the recipient is no public key.
        GalleryError: over 64 MiB, or `cryptography` has no HPKE.
    """
    index = {name: place for place, name in enumerate(content.names)}
    for name in names:
        if name not in index:
            raise unknown(name)
    chosen = sorted({index[name] for name in names}) if names else list(range(len(content.names)))
    rotation = rotation_of(header, content)
    stays = np.isin(content.templates["subject"], chosen)
    rows: Float64Array = content.matrix[stays].astype(np.float64) * content.scales[stays, np.newaxis]
    unit = rows if rotation is None else rotation.invert(rows)
    owners = np.searchsorted(chosen, content.templates["subject"][stays])
    package = replace(
        _with_templates(header.dimension, unit, owners),
        committed_at_s=content.committed_at_s,
        subjects=content.subjects[chosen],
        names=tuple(content.names[place] for place in chosen),
        labels=tuple(content.labels[place] for place in chosen),
    )
    return seal_package(package, sender=header.gallery_id, model_id=header.model_id, recipient=recipient)


def seal_package(content: Content, *, sender: bytes, model_id: bytes, recipient: bytes) -> bytes:
    """Seal subjects with templates in float16 for a gallery; errors as `export_subjects`."""
    if len(recipient) != KEY_BYTES or len(sender) != ID_BYTES or len(model_id) != MODEL_ID_BYTES:
        raise InputError(
            f"the recipient has {len(recipient)} bytes, expected the {KEY_BYTES} of a gallery's public key",
            hint="edge-sdk gallery status of the other gallery prints it as recipient",
        )
    text = pack_content(content)
    size_bytes = HEADER_BYTES + _OVERHEAD_BYTES + len(text)
    if size_bytes > MAX_FILE_BYTES:
        raise GalleryError(
            f"the export would be {size_bytes} bytes, at most {MAX_FILE_BYTES} are allowed",
            hint="export fewer subjects at once",
        )
    dimension = content.matrix.shape[1]
    head = _HEADER.pack(MAGIC, VERSION, SUITE, dimension, 0, model_id, recipient, sender)
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    suite = _suite()
    try:
        sealed: bytes = suite.encrypt(
            bytes(text), X25519PublicKey.from_public_bytes(recipient), info=LABEL + head
        )
    except ValueError as error:
        raise InputError("the recipient is no public key of a gallery") from error
    return head + sealed


def open_package(data: bytes, header: Header, content: Content) -> Package:
    """Open an export with the recipient's own key.

    Args:
        data: The export.
        header: The recipient's header.
        content: Its content.

    Raises:
        GalleryFormatError: not an export, or malformed.
        ModelMismatchError: made for another model.
        SealError: for another gallery, or altered.
    """
    if len(data) > MAX_FILE_BYTES:
        raise GalleryFormatError(f"an export has at most {MAX_FILE_BYTES} bytes")
    if len(data) < HEADER_BYTES + _OVERHEAD_BYTES or data[: len(MAGIC)] != MAGIC:
        raise GalleryFormatError("not an export of a gallery")
    head = data[:HEADER_BYTES]
    _, version, suite, dimension, reserved, model_id, recipient, sender = _HEADER.unpack(head)
    if (version, suite, reserved) != (VERSION, SUITE, 0):
        raise GalleryFormatError(
            f"expected an export of version {VERSION}, found {version}", hint="use a newer edge-sdk"
        )
    if model_id != header.model_id or dimension != header.dimension:
        raise ModelMismatchError(
            f"the export holds templates of model {model_id.hex()[:8]}, the gallery those of {header.model_id.hex()[:8]}",
            hint="templates of one model mean nothing to another; enrol from images",
        )
    private = _private_key(header, content)
    if recipient != private.public_key().public_bytes_raw():
        raise SealError(
            "the export is sealed for another gallery", hint="export it again to this one's recipient"
        )
    from cryptography.exceptions import InvalidTag

    try:
        text = _suite().decrypt(data[HEADER_BYTES:], private, info=LABEL + head)
    except (InvalidTag, ValueError) as error:
        raise SealError("the export was altered", hint="ask for it again") from error
    plain = sealing.aligned_buffer(len(text))
    plain[:] = text
    found = parse_content(plain.toreadonly(), TemplateType.FLOAT16, dimension)
    if not np.isfinite(found.matrix).all() or not (found.matrix != 0).any(axis=1).all():
        raise GalleryFormatError("a template of the export is no direction")
    return Package(sender, found)


def _with_templates(dimension: int, unit: Float64Array, owners: Any) -> Content:
    content = empty_content(bytes(KEY_BYTES), TemplateType.FLOAT16, dimension)
    if not len(unit):
        return content
    matrix, scales = quantize(unit, TemplateType.FLOAT16)
    templates = np.zeros(len(unit), dtype=TEMPLATE)
    templates["subject"], templates["scale"] = owners, scales
    return replace(content, matrix=matrix, templates=templates)


def _private_key(header: Header, content: Content) -> Any:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    secret = sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)
    return X25519PrivateKey.from_private_bytes(secret)


def _suite() -> Any:
    try:
        from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
    except ImportError as error:
        raise GalleryError(
            "this version of cryptography has no HPKE", hint="pip install 'cryptography>=47'"
        ) from error
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
