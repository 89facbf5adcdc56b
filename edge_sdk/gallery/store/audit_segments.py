"""Segments of the audit log: their files, their keys, and the record in which the gallery seals them; pure.

`<gallery>.audit` is the current segment. When it is full it gets a name of its own, `<gallery>.audit.000001`, and a new
segment begins with an entry `segment`. Entries are numbered and chained across segments. The first key of a segment
comes from a random secret in the gallery, which is replaced when a new key epoch begins.

At most `MAX_CLOSED` closed segments are kept. The entry `segment` states which entries were removed by this rule.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format import records, sealing
from edge_sdk.gallery.format.content import AUDIT_SEGMENTS, AuditHead, Content, PolicyRecord
from edge_sdk.gallery.format.header import Header
from edge_sdk.gallery.store.audit_log import AuditEvent, follow, parse_line

LABEL = b"edge-sdk/gallery/audit@v1"
SEGMENT_BYTES = 512 * 1024
MAX_CLOSED = 128
SEGMENT_EVENT = "segment"
_FIRST_KEY = b"edge-sdk/gallery/audit/first@v2"
_NEXT_SEGMENT = b"edge-sdk/gallery/audit/segment@v2"
_MAX_STEPS = 100_000  # segments since the last commit: 50 GiB of log
_DETAIL = re.compile(
    r"index=([1-9][0-9]{0,14}),oldest=([1-9][0-9]{0,14}),removed=([0-9]{1,19}),removed-at=([0-9]{1,19}),before=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Segment:
    """The start of a segment.

    Attributes:
        index: Number of the segment, from 1.
        first: Number of its first entry.
        before: Code of the entry before, 32 bytes; zeros for entry 1.
        key: Key of its first entry, 32 bytes.
    """

    index: int
    first: int
    before: bytes
    key: bytes = field(repr=False)

    @property
    def head(self) -> AuditHead:
        """The state of the chain before the first entry."""
        return AuditHead(self.first - 1, 0, self.before, self.key)


@dataclass(frozen=True)
class Removed:
    """The entries that were removed by the rule on the number of segments.

    Attributes:
        entries: Entries 1 to this number were removed; 0 if none were.
        at_s: Time of the last removal, Unix seconds.
    """

    entries: int = 0
    at_s: int = 0


@dataclass(frozen=True)
class SegmentStart:
    """Contents of the first entry of a segment.

    Attributes:
        segment: The start of the segment.
        oldest: Index of the oldest segment that is kept.
        removed: The entries that were removed.
    """

    segment: Segment
    oldest: int
    removed: Removed


@dataclass(frozen=True)
class LogSeal:
    """The part of the audit log's state that the gallery seals.

    Attributes:
        head: State of the chain after the last sealed entry.
        segments: The kept segments that the last commit knew, in ascending order; the last of them has the sealed head
            in it, or begins with the entry after the head.
        secret: Secret of the segment after the last one, 32 bytes.
        removed: The entries that were removed.
    """

    head: AuditHead
    segments: tuple[Segment, ...]
    secret: bytes = field(repr=False)
    removed: Removed = Removed()

    @classmethod
    def first(cls, random: Callable[[int], bytes]) -> LogSeal:
        """Return the seal of a log without entries."""
        secret = random(sealing.KEY_BYTES)
        segment = Segment(1, 1, bytes(32), _first_key(secret))
        return cls(segment.head, (segment,), _next_secret(secret))

    @classmethod
    def of(cls, header: Header, content: Content) -> LogSeal:
        """Read the seal from a gallery; a gallery of format version 1 has one segment, with a key from its root secret.

        Raises:
            GalleryFormatError: the record is malformed.
        """
        record = content.record(AUDIT_SEGMENTS)
        if record is not None:
            return _parsed(record, content.audit)
        key = sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)
        return cls(content.audit, (Segment(1, 1, bytes(32), key),), _next_secret(content.audit.key))

    @property
    def last(self) -> Segment:
        """The segment in use at the last commit."""
        return self.segments[-1]

    @property
    def closed(self) -> bool:
        """True if the next entry begins a new segment, because a new key epoch began."""
        return len(self.segments) > 1 and self.last.first == self.head.entries + 1

    def row(self, index: int) -> Segment | None:
        """Return a sealed segment; None if the last commit did not know it."""
        return next((segment for segment in self.segments if segment.index == index), None)

    def secret_of(self, index: int) -> bytes:
        """Return the secret of a segment after the last sealed one.

        Raises:
            GalleryError: the segment is over 100,000 segments after the last sealed one.
        """
        steps = index - self.last.index - 1
        if steps > _MAX_STEPS:
            raise GalleryError(f"the audit log has {steps} segments since the last change of the gallery")
        secret = self.secret
        for _ in range(steps):
            secret = _next_secret(secret)
        return secret

    def key_of(self, index: int) -> bytes:
        """Return the key of the first entry of a segment after the last sealed one."""
        return _first_key(self.secret_of(index))

    def renewed(self, random: Callable[[int], bytes]) -> LogSeal:
        """Close the segment in use and begin the next one with a new random secret.

        Whoever knew the earlier keys cannot write an entry from then on, and cannot alter the entries before without
        changing the sealed code.
        """
        secret = random(sealing.KEY_BYTES)
        start = Segment(self.last.index + 1, self.head.entries + 1, self.head.chain, _first_key(secret))
        return replace(
            self,
            head=replace(self.head, key=start.key),
            segments=(*self.segments, start),
            secret=_next_secret(secret),
        )

    def stored_in(self, content: Content) -> Content:
        """Return the content with this seal."""
        value = records.SEGMENTS.pack(self.secret, self.removed.entries, self.removed.at_s) + b"".join(
            records.SEGMENT.pack(segment.index, segment.first, segment.before, segment.key)
            for segment in self.segments
        )
        kept = [record for record in content.policy if record.kind != AUDIT_SEGMENTS]
        kept.append(PolicyRecord(AUDIT_SEGMENTS, critical=False, value=value))
        policy = tuple(sorted(kept, key=lambda record: record.kind))
        return replace(content, audit=self.head, policy=policy)

    def start_of(self, line: bytes) -> SegmentStart | None:
        """Read the first line of a segment; None if it is not an entry `segment` with a valid code."""
        parsed = parse_line(line)
        if parsed is None or parsed[0].event.event != SEGMENT_EVENT:
            return None
        entry = parsed[0]
        match = _DETAIL.fullmatch(entry.event.detail)
        if match is None:
            return None
        index, oldest, removed, removed_at_s = (int(match[group]) for group in range(1, 5))
        before, row = bytes.fromhex(match[5]), self.row(index)
        if row is None and not self.last.index < index <= self.last.index + _MAX_STEPS:
            return None
        key = self.key_of(index) if row is None else row.key
        segment = Segment(index, entry.number, before, key)
        if follow(line, segment.head) is None or row not in (None, segment):
            return None
        return SegmentStart(segment, oldest, Removed(removed, removed_at_s))


def segment_event(start: SegmentStart) -> AuditEvent:
    """Return the first event of a segment."""
    segment, removed = start.segment, start.removed
    return AuditEvent(
        SEGMENT_EVENT,
        detail=f"index={segment.index},oldest={start.oldest},removed={removed.entries},"
        f"removed-at={removed.at_s},before={segment.before.hex()}",
    )


def closed_path(log: Path, index: int) -> Path:
    """Return the path of a closed segment."""
    return log.with_name(f"{log.name}.{index:06d}")


def next_path(log: Path) -> Path:
    """Return the path at which a new segment is written before it becomes the current one."""
    return log.with_name(log.name + ".next")


def _parsed(value: bytes, head: AuditHead) -> LogSeal:
    secret, entries, at_s = records.SEGMENTS.unpack_from(value)
    segments = tuple(Segment(*row) for row in records.SEGMENT.iter_unpack(value[records.SEGMENTS.size :]))
    indices = [segment.index for segment in segments]
    # Numbers of first entries can go back: after a loss the log continues from the last sealed entry.
    if indices != sorted(set(indices)) or min(indices) < 1 or min(s.first for s in segments) < 1:
        raise GalleryFormatError("the segments of the audit log are not in ascending order")
    if segments[-1].first > head.entries + 1:
        raise GalleryFormatError("a segment of the audit log begins after its last sealed entry")
    return LogSeal(head, segments, secret, Removed(entries, at_s))


def _first_key(secret: bytes) -> bytes:
    return hmac.digest(secret, _FIRST_KEY, "sha256")


def _next_secret(secret: bytes) -> bytes:
    return hmac.digest(secret, _NEXT_SEGMENT, "sha256")
