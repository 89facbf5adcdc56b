"""The plaintext of a gallery: convert between bytes and `Content`. Pure.

The plaintext is counts | subjects | template table | labels | policy state | last sequence number per
command source | audit head | zeros to a multiple of 64 | template matrix, without trailing bytes. Counts and
sizes are checked against the limits and against the length before anything else is read.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryFormatError
from edge_sdk.gallery.format import captures_record, records
from edge_sdk.gallery.format.header import ID_BYTES, MAX_SUBJECTS, MAX_TEMPLATES, VERSION, TemplateType
from edge_sdk.gallery.format.key_names import check_key_names
from edge_sdk.gallery.format.looks import check_looks
from edge_sdk.gallery.format.sealing import aligned_buffer
from edge_sdk.gallery.format.text import FORBIDDEN_TEXT
from edge_sdk.types import FloatArray

MAX_NAME_BYTES = 64
MAX_POLICY_BYTES = 1024 * 1024
MAX_SOURCES = 256
ALIGNMENT_BYTES = 64

REVOKED = 1
KNOWN_FLAGS = REVOKED

CRITICAL = 1  # flag of a policy record: a reader that does not know the kind refuses the file
# Kinds of policy records.
SLOT_KEYS = 1  # key-encryption keys of the slots, 32 bytes each
TRANSFORM_KEY = 2  # transform key that replaces the one derived from the root secret, 32 bytes
DECISION_POLICY = 3  # operating points, FPIR, margin, retry band; see `policy`
ATTEMPT_POLICY = 4  # limits on failed attempts; see `attempt_counter`
OWN_THRESHOLDS = 5  # thresholds of single subjects; see `policy`
AUDIT_POLICY = 6  # empty, or AUDIT_ANSWERS if answers are audited besides changes
AUDIT_ANSWERS = b"\x01"
# Since version 2.
AUDIT_SEGMENTS = 7  # segments of the audit log; see `store.audit_segments`
ANCHOR_IDENTITY = 8  # kind and identity of the anchor; see `store.anchor`
PINNED_NETWORKS = 9  # SHA-256 of the detector's and the liveness networks' files
COMMAND_HISTORY = 10  # states and changes by which signed commands are judged; see `exchange.history`
CALLER_THRESHOLDS = 11  # CALLER_THRESHOLDS_ALLOWED if a caller may give a threshold below the policy's
CALLER_THRESHOLDS_ALLOWED = b"\x01"
EVIDENCE = 12  # digest of the evidence in the model's card (`edge_sdk.model.model_id.evidence_id`)
KEY_NAMES = 13  # names and roles of the keys; see `key_names`
CAPTURES = 14  # recipient and digests of stored captures; see `captures_record`
MODEL_FILE = 15  # SHA-256 of the model file, if the header's model id is that of the embedding space
POLICY_EVIDENCE = (
    16  # non-mated scores of the card, how its FMRs are claimed; critical if thresholds are raised by it
)
LOOKS = 17  # templates that were added to subjects after their enrolment; see `looks`
KEPT_GENERATION = 18  # the generation before a change of the model; see `captures_record`
_LAST_RESERVED_RECORD = 18

KNOWN_RECORDS = frozenset(
    {SLOT_KEYS, TRANSFORM_KEY, DECISION_POLICY, ATTEMPT_POLICY, OWN_THRESHOLDS, AUDIT_POLICY}
    | {
        AUDIT_SEGMENTS,
        ANCHOR_IDENTITY,
        PINNED_NETWORKS,
        COMMAND_HISTORY,
        CALLER_THRESHOLDS,
        EVIDENCE,
        KEY_NAMES,
        MODEL_FILE,
        POLICY_EVIDENCE,
        LOOKS,
        CAPTURES,
        KEPT_GENERATION,
    }
)
_CRITICAL_RECORDS = frozenset({ANCHOR_IDENTITY, PINNED_NETWORKS, CALLER_THRESHOLDS})
_RECORD_CHECKS = {
    AUDIT_SEGMENTS: records.check_audit_segments,
    ANCHOR_IDENTITY: records.check_anchor_identity,
    PINNED_NETWORKS: records.check_pinned_networks,
    COMMAND_HISTORY: records.check_command_history,
    CALLER_THRESHOLDS: records.check_caller_thresholds,
    EVIDENCE: records.check_digest,
    KEY_NAMES: check_key_names,
    MODEL_FILE: records.check_digest,
    POLICY_EVIDENCE: records.check_policy_evidence,
    LOOKS: check_looks,
    CAPTURES: captures_record.check_captures,
    KEPT_GENERATION: captures_record.check_kept,
}

# Added to the last sequence number of a removed source, so that its earlier commands stay refused if it is added again.
SOURCE_REMOVED = 1 << 63
MAX_SEQUENCE = SOURCE_REMOVED - 1

SUBJECT = np.dtype(
    [
        ("id", "u1", (ID_BYTES,)),
        ("enrolled_by", "u1", (ID_BYTES,)),
        ("valid_from", "<u8"),
        ("valid_until", "<u8"),
        ("enrolled_at", "<u8"),
        ("flags", "<u4"),
        ("name_bytes", "<u2"),
        ("label_bytes", "<u2"),
    ]
)
TEMPLATE = np.dtype([("subject", "<u4"), ("scale", "<f4")])
_MATRIX_DTYPES: dict[TemplateType, np.dtype[Any]] = {
    TemplateType.INT8: np.dtype("i1"),
    TemplateType.FLOAT16: np.dtype("<f2"),
}

_COUNTS = struct.Struct("<IIIIII32sQ")
_RECORD = struct.Struct("<HHI")
_SOURCE = struct.Struct("<32sQ")
_AUDIT = struct.Struct("<QQ32s32s")


@dataclass(frozen=True)
class PolicyRecord:
    """One typed record of the policy state; a record of unknown kind is kept unchanged.

    Attributes:
        kind: 1..65535, ascending within a gallery.
        critical: True if a reader that does not know the kind must refuse the gallery.
        value: Bytes of the record, hidden in the repr because some are keys.
    """

    kind: int
    critical: bool
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class AuditHead:
    """State of the audit chain after its last entry.

    Attributes:
        entries: Number of entries.
        at_s: Time of the last entry, Unix seconds.
        chain: Authentication code of the last entry, 32 bytes.
        key: Key of the next entry, 32 bytes, hidden in the repr.
    """

    entries: int = 0
    at_s: int = 0
    chain: bytes = bytes(32)
    key: bytes = field(default=bytes(32), repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Content:
    """Content of an open gallery; arrays are read-only views.

    Attributes:
        root_secret: 32 random bytes, from which transform, audit and export keys are derived.
        committed_at_s: Time of the commit that wrote the content, Unix seconds.
        subjects: Shape (S,), dtype `SUBJECT`.
        names: S unique names.
        labels: S labels, possibly empty.
        templates: Shape (M,), dtype `TEMPLATE`.
        matrix: Shape (M, D), int8 or float16.
        policy: Records in ascending order of kind.
        sequences: Pairs of source (public key, 32 bytes) and last sequence number in ascending order of source, removed
            sources included.
        audit: State of the audit chain.
    """

    root_secret: bytes
    committed_at_s: int
    subjects: NDArray[np.void]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    templates: NDArray[np.void]
    matrix: NDArray[np.int8] | NDArray[np.float16]
    policy: tuple[PolicyRecord, ...] = ()
    sequences: tuple[tuple[bytes, int], ...] = ()
    audit: AuditHead = AuditHead()

    def record(self, kind: int) -> bytes | None:
        """Return the bytes of the policy record of a kind; None if there is no such record."""
        return next((r.value for r in self.policy if r.kind == kind), None)

    @property
    def sources(self) -> dict[bytes, int]:
        """Accepted command sources and the last sequence number of each."""
        return {source: last for source, last in self.sequences if last < SOURCE_REMOVED}

    @property
    def scales(self) -> FloatArray:
        """Reciprocal lengths of the stored rows, shape (M,), float32."""
        scales: FloatArray = self.templates["scale"]
        return scales


def empty_content(root_secret: bytes, template_type: TemplateType, dimension: int) -> Content:
    """Return the content of a gallery without subjects."""
    return Content(
        root_secret=root_secret,
        committed_at_s=0,
        subjects=np.empty(0, dtype=SUBJECT),
        names=(),
        labels=(),
        templates=np.empty(0, dtype=TEMPLATE),
        matrix=np.empty((0, dimension), dtype=_MATRIX_DTYPES[template_type]),
    )


def pack_content(content: Content) -> memoryview:
    """Convert a content to bytes.

    Returns:
        The plaintext, in a buffer aligned to 64 bytes.

    Raises:
        GalleryFormatError: more subjects, templates, policy bytes or sources than the limits allow.
    """
    texts = list(itertools.chain.from_iterable(zip(content.names, content.labels, strict=True)))
    labels = "".join(texts).encode()
    lengths = list(map(len, texts))
    if len(labels) != sum(lengths):
        lengths = [len(text.encode()) for text in texts]
    subjects = content.subjects.copy()
    subjects["name_bytes"] = lengths[0::2]
    subjects["label_bytes"] = lengths[1::2]
    policy = b"".join(
        _RECORD.pack(r.kind, CRITICAL if r.critical else 0, len(r.value)) + r.value for r in content.policy
    )
    counts = len(subjects), len(content.templates), len(labels), len(policy), len(content.sequences)
    _check_counts(*counts)
    head = _COUNTS.pack(*counts, 0, content.root_secret, content.committed_at_s)
    tables = subjects.tobytes() + content.templates.tobytes()
    sequences = b"".join(_SOURCE.pack(source, last) for source, last in content.sequences)
    audit = content.audit
    end = _AUDIT.pack(audit.entries, audit.at_s, audit.chain, audit.key)
    front = b"".join([head, tables, labels, policy, sequences, end])
    front += bytes(-len(front) % ALIGNMENT_BYTES)
    plaintext = aligned_buffer(len(front) + content.matrix.nbytes)
    plaintext[: len(front)] = front
    if content.matrix.nbytes:
        matrix = np.frombuffer(plaintext, dtype=content.matrix.dtype, offset=len(front))
        matrix.reshape(content.matrix.shape)[:] = content.matrix
    return plaintext.toreadonly()


def parse_content(
    plaintext: memoryview, template_type: TemplateType, dimension: int, *, version: int = VERSION
) -> Content:
    """Parse a content; its matrix is a view of `plaintext`, not a copy.

    Args:
        plaintext: The opened body, aligned to 64 bytes, read-only.
        template_type: Template type in the header.
        dimension: Dimension in the header.
        version: Format version in the header.

    Raises:
        GalleryFormatError: counts above the limits, sections that do not fill the length exactly,
            or a field out of range.
    """
    if len(plaintext) < _COUNTS.size:
        raise GalleryFormatError(
            f"expected gallery content of {_COUNTS.size} bytes or more, found {len(plaintext)}"
        )
    subjects_n, templates_n, labels_bytes, policy_bytes, sources_n, reserved, root_secret, committed_at_s = (
        _COUNTS.unpack(plaintext[: _COUNTS.size])
    )
    if reserved:
        raise GalleryFormatError(f"expected 0 in the reserved content field, found {reserved}")
    _check_counts(subjects_n, templates_n, labels_bytes, policy_bytes, sources_n)
    ends = [_COUNTS.size]
    for size in (
        subjects_n * SUBJECT.itemsize,
        templates_n * TEMPLATE.itemsize,
        labels_bytes,
        policy_bytes,
        sources_n * _SOURCE.size,
        _AUDIT.size,
    ):
        ends.append(ends[-1] + size)
    matrix_start = ends[-1] + -ends[-1] % ALIGNMENT_BYTES
    expected = matrix_start + templates_n * dimension * template_type.item_bytes
    if len(plaintext) != expected:
        raise GalleryFormatError(
            f"expected {expected} bytes of gallery content according to its counts, found {len(plaintext)}"
        )
    if any(plaintext[ends[-1] : matrix_start]):
        raise GalleryFormatError("expected only zeros before the template matrix, found another byte")
    sections = [plaintext[start:end] for start, end in itertools.pairwise(ends)]
    subjects = np.frombuffer(sections[0], dtype=SUBJECT)
    templates = np.frombuffer(sections[1], dtype=TEMPLATE)
    _check_subjects(subjects)
    _check_templates(templates, subjects_n)
    names, labels = _parse_text(sections[2], subjects)
    matrix = np.frombuffer(plaintext[matrix_start:], dtype=_MATRIX_DTYPES[template_type])
    return Content(
        root_secret=root_secret,
        committed_at_s=committed_at_s,
        subjects=subjects,
        names=names,
        labels=labels,
        templates=templates,
        matrix=matrix.reshape(templates_n, dimension),
        policy=_parse_policy(sections[3], version),
        sequences=_parse_sequences(sections[4]),
        audit=AuditHead(*_AUDIT.unpack(sections[5])),
    )


def _check_counts(subjects: int, templates: int, labels_bytes: int, policy_bytes: int, sources: int) -> None:
    for noun, count, limit in (
        ("subjects", subjects, MAX_SUBJECTS),
        ("templates", templates, MAX_TEMPLATES),
        ("bytes of labels", labels_bytes, 2 * MAX_NAME_BYTES * subjects),
        ("bytes of policy state", policy_bytes, MAX_POLICY_BYTES),
        ("command sources", sources, MAX_SOURCES),
    ):
        if count > limit:
            raise GalleryFormatError(f"expected at most {limit} {noun} in a gallery, found {count}")


def _check_subjects(subjects: NDArray[np.void]) -> None:
    unknown = subjects["flags"] & ~np.uint32(KNOWN_FLAGS)
    if unknown.any():
        raise GalleryFormatError("a subject has an unknown flag", hint="use a newer edge-sdk")
    until = subjects["valid_until"]
    if ((until != 0) & (until < subjects["valid_from"])).any():
        raise GalleryFormatError("the validity of a subject ends before it begins")
    if len(set(ids_of(subjects))) != len(subjects):
        raise GalleryFormatError("two subjects have the same id")


def ids_of(subjects: NDArray[np.void]) -> list[bytes]:
    """Return the ids of the subjects, 16 bytes each."""
    ids: list[bytes] = np.ascontiguousarray(subjects["id"]).view(f"V{ID_BYTES}").ravel().tolist()
    return ids


def templates_per_subject(templates: NDArray[np.void], subjects: int) -> NDArray[np.intp]:
    """Count the templates of each subject.

    Args:
        templates: Shape (M,), dtype `TEMPLATE`.
        subjects: Number of subjects.

    Returns:
        Shape (subjects,), int.
    """
    # On a 32-bit machine np.bincount does not accept uint32.
    return np.bincount(templates["subject"].astype(np.intp), minlength=subjects)


def _check_templates(templates: NDArray[np.void], subjects: int) -> None:
    scales = templates["scale"]
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise GalleryFormatError("the scale of a template is not a positive number")
    owners = templates["subject"]
    if (owners >= subjects).any():
        raise GalleryFormatError("a template has the index of a subject that does not exist")
    if subjects and templates_per_subject(templates, subjects).min() == 0:
        raise GalleryFormatError("a subject has no template")


def _parse_text(data: memoryview, subjects: NDArray[np.void]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names_bytes, labels_bytes = subjects["name_bytes"], subjects["label_bytes"]
    too_long = (names_bytes > MAX_NAME_BYTES) | (labels_bytes > MAX_NAME_BYTES)
    if ((names_bytes == 0) | too_long).any():
        raise GalleryFormatError(
            f"expected names of 1..{MAX_NAME_BYTES} bytes and labels of 0..{MAX_NAME_BYTES}, found an empty name or a longer text"
        )
    lengths = np.stack([names_bytes, labels_bytes], axis=1).ravel().astype(np.int64)
    ends = np.cumsum(lengths).tolist()
    total = ends[-1] if ends else 0
    if total != len(data):
        raise GalleryFormatError(
            f"expected {total} bytes of names and labels from their lengths, found {len(data)}"
        )
    encoded = bytes(data)
    spans = itertools.pairwise([0, *ends])
    try:
        if encoded.isascii():
            # One call of decode for all texts is faster; in ASCII a character is a byte.
            decoded = encoded.decode()
            texts = [decoded[start:end] for start, end in spans]
        else:
            texts = [encoded[start:end].decode() for start, end in spans]
    except UnicodeDecodeError as error:
        raise GalleryFormatError("a name or label is not UTF-8") from error
    names, labels = tuple(texts[0::2]), tuple(texts[1::2])
    if FORBIDDEN_TEXT.search("".join(texts)):
        raise GalleryFormatError("a name or label contains a control character")
    if len(set(names)) != len(names):
        raise GalleryFormatError("two subjects have the same name")
    return names, labels


def _parse_policy(data: memoryview, version: int) -> tuple[PolicyRecord, ...]:
    parsed: list[PolicyRecord] = []
    at = 0
    while at < len(data):
        if len(data) - at < _RECORD.size:
            raise GalleryFormatError("a policy record runs past its section")
        kind, flags, length = _RECORD.unpack(data[at : at + _RECORD.size])
        at += _RECORD.size
        if length > len(data) - at:
            raise GalleryFormatError("a policy record runs past its section")
        if flags & ~CRITICAL or kind <= (parsed[-1].kind if parsed else 0):
            raise GalleryFormatError(f"policy record {kind} is out of order or has unknown flags: {flags}")
        record = PolicyRecord(kind, bool(flags & CRITICAL), bytes(data[at : at + length]))
        _check_record(record, version)
        parsed.append(record)
        at += length
    return tuple(parsed)


def _check_record(record: PolicyRecord, version: int) -> None:
    kind = record.kind
    if version == 1 and AUDIT_SEGMENTS <= kind <= _LAST_RESERVED_RECORD:
        raise GalleryFormatError(f"policy record {kind} does not exist in format version 1")
    if record.critical and kind not in KNOWN_RECORDS:
        raise GalleryFormatError(
            f"critical policy record of unknown kind {kind}", hint="use a newer edge-sdk"
        )
    if kind in _RECORD_CHECKS:
        adapts = kind == POLICY_EVIDENCE and records.parse_policy_evidence(record.value).adapts
        if record.critical != (kind in _CRITICAL_RECORDS or adapts):
            raise GalleryFormatError(f"policy record {kind} has the wrong critical flag")
        _RECORD_CHECKS[kind](record.value)


def _parse_sequences(data: memoryview) -> tuple[tuple[bytes, int], ...]:
    sequences = tuple(_SOURCE.iter_unpack(data))
    ids = [source for source, _ in sequences]
    if any(a >= b for a, b in itertools.pairwise(ids)):
        raise GalleryFormatError("command sources are not in ascending order")
    return sequences
