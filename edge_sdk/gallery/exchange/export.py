"""Exports: subjects with their templates, sealed for one other gallery of the same model.

HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A gallery's key pair is derived from
its root secret, so only those who can open the gallery can open exports for it. A new key epoch has a new key pair: exports
that were made before it and not yet imported must be made again. An export contains the templates as
unit embeddings without the sender's transform. Base mode does not authenticate the sender; a signed command does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, ModelMismatchError, SealError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    LOOKS,
    REVOKED,
    TEMPLATE,
    Content,
    PolicyRecord,
    empty_content,
    ids_of,
    pack_content,
    parse_content,
)
from edge_sdk.gallery.format.header import (
    ID_BYTES,
    MAX_FILE_BYTES,
    MODEL_ID_BYTES,
    Header,
    ModelKind,
    TemplateType,
)
from edge_sdk.gallery.format.hpke import hpke_suite
from edge_sdk.gallery.format.looks import Look, pack_looks
from edge_sdk.gallery.format.model_binding import is_comparable
from edge_sdk.gallery.looks import looks_by_subject, rows_of_look
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.subjects import EnrolOptions, unknown_subject
from edge_sdk.gallery.transaction import Transaction
from edge_sdk.model.model_id import ModelId
from edge_sdk.types import Float64Array, FloatArray

MAGIC = bytes.fromhex("894647450d0a1a0a")
VERSION = 1
SUITE = 1
LABEL = b"edge-sdk/gallery/export@v1"
KEY_BYTES = 32
_KIND_HINT = "one of the two galleries is bound to a model file: use edge-sdk gallery bind-model"

_HEADER = struct.Struct("<8sHHHBB32s32s16s")
HEADER_BYTES = _HEADER.size
_OVERHEAD_BYTES = 32 + 16  # encapsulated key, tag


@dataclass(frozen=True, repr=False, eq=False)
class ExportedLook:
    """A look in an export: its name, and its templates as unit embeddings of shape (n, D), float32."""

    name: str
    rows: FloatArray


@dataclass(frozen=True, repr=False, eq=False)
class ExportedTemplates:
    """The templates of one subject in an export, as unit embeddings.

    Attributes:
        enrolled: Those of the enrolment, shape (n, D), float32.
        looks: Those that were added later.
    """

    enrolled: FloatArray
    looks: tuple[ExportedLook, ...]


@dataclass(frozen=True, repr=False, eq=False)
class Package:
    """The content of an opened export.

    Attributes:
        sender: Id of the exporting gallery, 16 bytes.
        content: Subjects, templates as unit embeddings in float16, and looks; without secrets and policies.
    """

    sender: bytes
    content: Content

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the subjects."""
        return self.content.names

    @cached_property
    def _looks(self) -> dict[bytes, list[Look]]:
        return looks_by_subject(self.content)

    def templates(self, index: int) -> ExportedTemplates:
        """Return the templates of a subject, those of the enrolment and those of each look.

        Args:
            index: Index of the subject in the content.
        """
        content = self.content
        unit: FloatArray = content.matrix[content.templates["subject"] == index].astype(np.float32)
        looks = self._looks.get(content.subjects["id"][index].tobytes(), [])
        enrolled = len(unit) - sum(look.templates for look in looks)
        return ExportedTemplates(
            unit[:enrolled],
            tuple(
                ExportedLook(look.name, unit[rows_of_look(looks, place)]) for place, look in enumerate(looks)
            ),
        )

    def enrol_into(self, transaction: Transaction) -> None:
        """Enrol all subjects with their ids, with the same checks as any enrolment.

        Raises:
            SubjectExistsError: a name or id is taken, or a subject looks like an enrolled one.
        """
        content = self.content
        for index, (name, label) in enumerate(zip(content.names, content.labels, strict=True)):
            record, templates = content.subjects[index], self.templates(index)
            transaction.enrol_as(
                record["id"].tobytes(),
                name,
                templates.enrolled,
                EnrolOptions(label=label, enrolled_by=self.sender),
            )
            for look in templates.looks:
                transaction.enrol(name, look.rows, EnrolOptions(add=True, look=look.name))
            transaction.restore_validity(name, int(record["valid_from"]), int(record["valid_until"]))
            if record["flags"] & REVOKED:
                transaction.revoke(name)


def recipient_of(header: Header, content: Content) -> bytes:
    """Return the public key for which other galleries seal exports to this gallery, 32 bytes."""
    public: bytes = _private_key(header, content).public_key().public_bytes_raw()
    return public


def export_subjects(header: Header, content: Content, names: Sequence[str], *, recipient: bytes) -> bytes:
    """Seal subjects of an open gallery for another gallery.

    Args:
        header: The gallery's header.
        content: The gallery's content.
        names: Subjects to export; all if empty.
        recipient: Public key of the other gallery, 32 bytes.

    Returns:
        The bytes of the export file.

    Raises:
        SubjectUnknownError: a name is not enrolled.
        InputError: the recipient is not a public key.
        GalleryError: the export is larger than 64 MiB, or `cryptography` lacks HPKE.
    """
    indices = {name: index for index, name in enumerate(content.names)}
    for name in names:
        if name not in indices:
            raise unknown_subject(name)
    subjects = sorted({indices[name] for name in names}) if names else list(range(len(content.names)))
    rotation = rotation_of(header, content)
    exported = np.isin(content.templates["subject"], subjects)
    rows: Float64Array = content.matrix[exported].astype(np.float64) * content.scales[exported, np.newaxis]
    unit = rows if rotation is None else rotation.invert(rows)
    owners = np.searchsorted(subjects, content.templates["subject"][exported])
    package = replace(
        _with_templates(header.dimension, unit, owners),
        committed_at_s=content.committed_at_s,
        subjects=content.subjects[subjects],
        names=tuple(content.names[index] for index in subjects),
        labels=tuple(content.labels[index] for index in subjects),
        policy=_looks_of(content, frozenset(ids_of(content.subjects[subjects]))),
    )
    return seal_package(
        package,
        sender=header.gallery_id,
        model_kind=header.model_kind,
        model_id=header.model_id,
        recipient=recipient,
    )


def _looks_of(content: Content, subjects: frozenset[bytes]) -> tuple[PolicyRecord, ...]:
    """Return the looks of subjects as a record, which a reader that does not know it ignores."""
    looks = [
        look for subject, own in looks_by_subject(content).items() if subject in subjects for look in own
    ]
    return (PolicyRecord(LOOKS, critical=False, value=pack_looks(looks)),) if looks else ()


def seal_package(
    content: Content, *, sender: bytes, model_kind: ModelKind, model_id: bytes, recipient: bytes
) -> bytes:
    """Seal subjects for a gallery.

    Args:
        content: Subjects, and templates as unit embeddings in float16.
        sender: Id of the exporting gallery, 16 bytes.
        model_kind: Kind of the model id.
        model_id: The exporting gallery's model id, 32 bytes.
        recipient: Public key of the other gallery, 32 bytes.

    Returns:
        The bytes of the export file.

    Raises:
        InputError: an argument has the wrong length, or the recipient is not a public key.
        GalleryError: the export is larger than 64 MiB, or `cryptography` lacks HPKE.
    """
    if len(recipient) != KEY_BYTES or len(sender) != ID_BYTES or len(model_id) != MODEL_ID_BYTES:
        raise InputError(
            f"expected a recipient of {KEY_BYTES} bytes, a sender of {ID_BYTES} and a model id of {MODEL_ID_BYTES},"
            f" found {len(recipient)}, {len(sender)} and {len(model_id)}",
            hint="edge-sdk gallery status of the other gallery prints its recipient",
        )
    plaintext = pack_content(content)
    size_bytes = HEADER_BYTES + _OVERHEAD_BYTES + len(plaintext)
    if size_bytes > MAX_FILE_BYTES:
        raise GalleryError(
            f"expected an export of at most {MAX_FILE_BYTES} bytes, found {size_bytes}",
            hint="export fewer subjects at once",
        )
    dimension = content.matrix.shape[1]
    head = _HEADER.pack(MAGIC, VERSION, SUITE, dimension, model_kind, 0, model_id, recipient, sender)
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    suite = hpke_suite()
    try:
        sealed: bytes = suite.encrypt(
            bytes(plaintext), X25519PublicKey.from_public_bytes(recipient), info=LABEL + head
        )
    except ValueError as error:
        raise InputError(
            "expected an X25519 public key as recipient, found 32 bytes that are not a valid key"
        ) from error
    return head + sealed


def check_export(data: bytes) -> None:
    """Check size and first bytes of an export, without a key.

    Raises:
        GalleryFormatError: the data are not an export, or are larger than 64 MiB.
    """
    if len(data) > MAX_FILE_BYTES:
        raise GalleryFormatError(f"expected an export of at most {MAX_FILE_BYTES} bytes, found {len(data)}")
    if len(data) < HEADER_BYTES + _OVERHEAD_BYTES or data[: len(MAGIC)] != MAGIC:
        raise GalleryFormatError(
            f"expected an export of a gallery, which begins with {MAGIC.hex()} and has at least"
            f" {HEADER_BYTES + _OVERHEAD_BYTES} bytes, found {len(data)} bytes that begin with {data[:8].hex()!r}",
            hint="edge-sdk gallery export writes an export",
        )


def open_package(data: bytes, header: Header, content: Content, *, model: ModelId | None = None) -> Package:
    """Open an export with the recipient's own key.

    Args:
        data: The bytes of the export file.
        header: The recipient's header.
        content: The recipient's content.
        model: The model that the recipient was opened with; None if it is not known.

    Raises:
        GalleryFormatError: the data are not an export, or are malformed.
        ModelMismatchError: the templates are of another model.
        SealError: the export is sealed for another gallery, or was altered.
    """
    check_export(data)
    head = data[:HEADER_BYTES]
    _, version, suite, dimension, kind, reserved, model_id, recipient, sender = _HEADER.unpack(head)
    if (version, suite, reserved) != (VERSION, SUITE, 0) or kind not in set(ModelKind):
        raise GalleryFormatError(
            f"expected an export of version {VERSION}, suite {SUITE}, a known kind of model id and reserved field 0,"
            f" found {version}, {suite}, {kind} and {reserved}",
            hint="use a newer edge-sdk",
        )
    comparable = is_comparable(header, content, model, ModelKind(kind), model_id)
    if not comparable or dimension != header.dimension:
        raise ModelMismatchError(
            f"the export holds templates of model {model_id.hex()[:8]} with {dimension} numbers, the gallery holds"
            f" templates of model {header.model_id.hex()[:8]} with {header.dimension}",
            hint="templates of different models cannot be compared; enrol from images"
            if kind == header.model_kind
            else f"{_KIND_HINT} on both devices, and export again if needed; if the models differ, enrol from images",
        )
    private = _private_key(header, content)
    if recipient != private.public_key().public_bytes_raw():
        earlier = (
            f", or for this gallery before key epoch {header.key_epoch} began, which changed the recipient"
            if header.key_epoch > 1
            else ""
        )
        raise SealError(
            f"the export is sealed for another gallery{earlier}",
            hint="export again with --to set to the recipient that gallery status prints for this gallery",
        )
    from cryptography.exceptions import InvalidTag

    try:
        plaintext = hpke_suite().decrypt(data[HEADER_BYTES:], private, info=LABEL + head)
    except (InvalidTag, ValueError) as error:
        raise SealError("the export was altered", hint="request a new export") from error
    aligned = sealing.aligned_buffer(len(plaintext))
    aligned[:] = plaintext
    exported = parse_content(aligned.toreadonly(), TemplateType.FLOAT16, dimension)
    if not np.isfinite(exported.matrix).all() or not (exported.matrix != 0).any(axis=1).all():
        raise GalleryFormatError(
            "expected finite templates other than zero in the export, found one that is zero or not finite"
        )
    return Package(sender, exported)


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
