"""Checks of the values of policy records that format version 2 adds, one function per kind. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge_sdk.errors import GalleryFormatError, ModelCardError
from edge_sdk.gallery.format.header import MODEL_ID_BYTES
from edge_sdk.model.non_mated_scores import NonMatedScores

MAX_ANCHOR_BYTES = 4096
MAX_NETWORKS_BYTES = 4096
MAX_STATES = 512
MAX_CHANGES = 512
STATE_BYTES = 16
_HISTORY = struct.Struct("<QII")
_CHANGE = struct.Struct("<16s32sQ")
_RESTRICTS = 1 << 63  # added to the generation of a change that restricts its subject
MAX_HISTORY_BYTES = _HISTORY.size + MAX_STATES * STATE_BYTES + MAX_CHANGES * _CHANGE.size
# Secret of the next segment, number of removed entries, time of the last removal.
SEGMENTS = struct.Struct("<32sQQ")
# Index, number of the first entry, code of the entry before, key of the first entry.
SEGMENT = struct.Struct("<QQ32s32s")
# Threshold for captures; mean, sd, threshold and FMR of the card's scores, comparisons, subjects; flags.
_POLICY_EVIDENCE = struct.Struct("<dddddQII")
_ADAPTS, _UPPER_LIMITS, _HAS_CAPTURES, _HAS_SCORES = 1, 2, 4, 8


def check_audit_segments(value: bytes) -> None:
    """Check the segments of the audit log.

    Raises:
        GalleryFormatError: the record does not have the length of 1 to 1,024 segments.
    """
    _check_size("audit segments", value, SEGMENTS.size + SEGMENT.size, SEGMENTS.size + 1024 * SEGMENT.size)
    if (len(value) - SEGMENTS.size) % SEGMENT.size:
        raise GalleryFormatError(f"expected whole audit segments, found {len(value)} bytes")


def check_anchor_identity(value: bytes) -> None:
    """Check the kind and identity of the anchor.

    Raises:
        GalleryFormatError: the record is empty or over 4096 bytes.
    """
    _check_size("anchor identity", value, 1, MAX_ANCHOR_BYTES)


def check_pinned_networks(value: bytes) -> None:
    """Check the digests of the detector's and the liveness networks' files.

    Raises:
        GalleryFormatError: the record is empty or over 4096 bytes.
    """
    _check_size("pinned networks", value, 1, MAX_NETWORKS_BYTES)


@dataclass(frozen=True)
class SubjectChange:
    """A change of one subject.

    Attributes:
        subject: Random id of the subject, 16 bytes.
        source: Public key of the source whose command made the change, 32 bytes; zeros for a local change.
        generation: Generation that made it.
        restricts: True if the subject may have been accepted before and is not accepted afterwards.
    """

    subject: bytes
    source: bytes
    generation: int
    restricts: bool


@dataclass(frozen=True)
class HistoryRecord:
    """The states for which commands are accepted, and the changes of subjects since the first of them.

    Attributes:
        first: Generation of the first state.
        states: Digests of the states of consecutive generations from `first`, 16 bytes each.
        changes: Changes in ascending order of generation.
    """

    first: int
    states: tuple[bytes, ...] = ()
    changes: tuple[SubjectChange, ...] = ()


def pack_history(history: HistoryRecord) -> bytes:
    """Convert a command history to bytes."""
    head = _HISTORY.pack(history.first, len(history.states), len(history.changes))
    changes = (
        _CHANGE.pack(c.subject, c.source, c.generation | (_RESTRICTS if c.restricts else 0))
        for c in history.changes
    )
    return b"".join([head, *history.states, *changes])


def parse_history(value: bytes) -> HistoryRecord:
    """Parse a command history.

    Raises:
        GalleryFormatError: the length does not fit the counts, a count is above 512, or a generation is out of range.
    """
    _check_size("command history", value, _HISTORY.size, MAX_HISTORY_BYTES)
    first, states_n, changes_n = _HISTORY.unpack(value[: _HISTORY.size])
    changes_at = _HISTORY.size + states_n * STATE_BYTES
    if states_n > MAX_STATES or changes_n > MAX_CHANGES:
        raise GalleryFormatError(
            f"expected at most {MAX_STATES} states and {MAX_CHANGES} changes, found {states_n} and {changes_n}"
        )
    if len(value) != changes_at + changes_n * _CHANGE.size or not 0 < first < _RESTRICTS:
        raise GalleryFormatError(
            "the command history does not have the length of its counts, or no first state"
        )
    states = tuple(value[at : at + STATE_BYTES] for at in range(_HISTORY.size, changes_at, STATE_BYTES))
    changes = tuple(
        SubjectChange(subject, source, number & ~_RESTRICTS, bool(number & _RESTRICTS))
        for subject, source, number in _CHANGE.iter_unpack(value[changes_at:])
    )
    numbers = [first, *(change.generation for change in changes)]
    if numbers != sorted(numbers):
        raise GalleryFormatError("the changes in the command history are not in order")
    return HistoryRecord(first, states, changes)


def check_command_history(value: bytes) -> None:
    """Check the command history; see `parse_history`."""
    parse_history(value)


def check_caller_thresholds(value: bytes) -> None:
    """Check the permission for thresholds below the policy's.

    Raises:
        GalleryFormatError: the record is not the byte 01.
    """
    if value != b"\x01":
        raise GalleryFormatError("expected the byte 01 in the record on callers' thresholds")


def check_digest(value: bytes) -> None:
    """Check the digest of the model file, or of the evidence in its card.

    Raises:
        GalleryFormatError: the record does not have 32 bytes.
    """
    _check_size("digest", value, MODEL_ID_BYTES, MODEL_ID_BYTES)


@dataclass(frozen=True)
class PolicyEvidence:
    """Evidence of the model card that a decision policy uses besides its operating points.

    Attributes:
        captures_threshold: Threshold for comparing the captures of one enrolment, a cosine; None if the card has none.
        scores: Non-mated scores of the card; None if they were not measured.
        adapts: True if thresholds are raised according to the scores of the gallery's own subjects.
        upper_limits: True if every operating point is claimed by the upper confidence limit of its FMR.
    """

    captures_threshold: float | None = None
    scores: NonMatedScores | None = None
    adapts: bool = False
    upper_limits: bool = False


def pack_policy_evidence(evidence: PolicyEvidence) -> bytes:
    """Convert the evidence of a policy to bytes."""
    captures, scores = evidence.captures_threshold, evidence.scores
    flags = _ADAPTS * evidence.adapts | _UPPER_LIMITS * evidence.upper_limits
    flags |= _HAS_CAPTURES * (captures is not None) | _HAS_SCORES * (scores is not None)
    numbers = (0.0, 0.0, 0.0, 0.0, 0, 0)
    if scores is not None:
        numbers = scores.mean, scores.sd, scores.threshold, scores.fmr, scores.comparisons, scores.subjects
    return _POLICY_EVIDENCE.pack(captures or 0.0, *numbers, flags)


def parse_policy_evidence(value: bytes) -> PolicyEvidence:
    """Parse the evidence of a policy.

    Raises:
        GalleryFormatError: the record does not have 56 bytes, a flag is unknown, a value is out of range, or thresholds are
            raised without the scores of the card.
    """
    _check_size("evidence of the policy", value, _POLICY_EVIDENCE.size, _POLICY_EVIDENCE.size)
    captures, mean, sd, threshold, fmr, comparisons, subjects, flags = _POLICY_EVIDENCE.unpack(value)
    if flags & ~(_ADAPTS | _UPPER_LIMITS | _HAS_CAPTURES | _HAS_SCORES):
        raise GalleryFormatError(f"the evidence of the policy has unknown flags: {flags}")
    if flags & _ADAPTS and not flags & _HAS_SCORES:
        raise GalleryFormatError("expected the card's scores in a policy that raises thresholds, found none")
    if not -1 <= captures <= 1 or (not flags & _HAS_CAPTURES and captures != 0):
        raise GalleryFormatError("the threshold for captures is not a cosine in -1..1")
    scores = None
    if flags & _HAS_SCORES:
        try:
            scores = NonMatedScores(mean, sd, threshold, fmr, comparisons, subjects)
        except ModelCardError as error:
            raise GalleryFormatError(f"the evidence of the policy is malformed: {error}") from error
    elif any((mean, sd, threshold, fmr, comparisons, subjects)):
        raise GalleryFormatError("expected zeros in place of the card's scores, found other values")
    return PolicyEvidence(
        captures if flags & _HAS_CAPTURES else None,
        scores,
        bool(flags & _ADAPTS),
        bool(flags & _UPPER_LIMITS),
    )


def check_policy_evidence(value: bytes) -> None:
    """Check the evidence of a policy; see `parse_policy_evidence`."""
    parse_policy_evidence(value)


def _check_size(what: str, value: bytes, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise GalleryFormatError(f"expected {least}..{most} bytes of {what}, found {len(value)}")
