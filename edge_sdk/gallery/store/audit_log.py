"""The audit log of a gallery: changes and answers, authenticated by a chain of codes whose end the gallery seals.

The log is a text file with one line per entry, to which lines are only appended. Each line ends with HMAC-SHA-256 of
the line and the previous code, with a key that is replaced after every entry. The gallery seals the last code and the
next key (the head). So an altered, removed, added or truncated entry is detected, unless it was written with the
gallery's own keys: anyone who can open the gallery can write entries.

An entry is on the medium before the commit it describes. Lines that do not continue the chain, for example after a
power cut, stay in the file and are skipped.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import AUDIT_SEGMENTS, AuditHead, Content, PolicyRecord
from edge_sdk.gallery.format.header import Header
from edge_sdk.gallery.store.files import FileSystem, append_durably

LABEL = b"edge-sdk/gallery/audit@v1"
MAX_ENTRIES = (1 << 63) - 1
MAX_LOG_BYTES = 256 * 1024 * 1024
_NEXT = b"edge-sdk/gallery/audit/next@v1"
_TAIL_BYTES = 1024 * 1024
_LINE = re.compile(
    rb"([1-9][0-9]{0,18}) ([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19}) ([a-z-]{1,32}) (-|[0-9a-f]{32}) "
    rb"(-|[A-Za-z0-9=,.:_-]{1,256}) ([0-9a-f]{64})"
)
_SEGMENT = struct.Struct("<Q32s")
_DETAIL = re.compile(r"[A-Za-z0-9=,.:_-]{0,256}")


@dataclass(frozen=True)
class AuditEvent:
    """An event for the audit log.

    Attributes:
        event: Kind of event, such as `enrol` or `accepted`.
        subject: The subject's random id, 32 hexadecimal digits, never a name; empty if no subject is concerned.
        detail: Further data, up to 256 letters, digits and `=,.:_-`.
    """

    event: str
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """One entry of the log.

    Attributes:
        number: Counts from 1, without gaps.
        at_s: Time by the device's clock, Unix seconds.
        generation: Generation of the commit it describes; the current generation for entries without a commit.
        batch: Number of the first entry of its commit; 0 for entries without a commit.
        event: The event.
        carried_out: False if its commit did not complete (power cut) or was undone by putting an older copy back.
    """

    number: int
    at_s: int
    generation: int
    batch: int
    event: AuditEvent
    carried_out: bool = True


@dataclass(frozen=True)
class AuditReport:
    """The result of checking an audit log.

    Attributes:
        entries: The entries with a valid code, in order, up to the first broken one.
        sealed: Number of entries that the gallery has sealed.
        broken_at: Number of the first missing or altered entry; None if there is none.
        strays: Numbers of the lines that are not an entry: torn by a power cut, or written by someone else.
    """

    entries: tuple[AuditEntry, ...]
    sealed: int
    broken_at: int | None
    strays: tuple[int, ...]

    @property
    def intact(self) -> bool:
        """True if every sealed entry is present and unaltered."""
        return self.broken_at is None

    def problems(self) -> list[str]:
        """Return a line for each problem."""
        lines = []
        if self.strays:
            numbers = ", ".join(map(str, self.strays[:8])) + (" ..." if self.strays[8:] else "")
            lines.append(
                f"not an entry: line {numbers} (torn by a power cut, altered, or not of this gallery)"
            )
        if self.broken_at is not None:
            lines.append(f"broken at entry {self.broken_at} of {self.sealed}: it is missing or was altered")
        return lines

    def words(self) -> list[str]:
        """Return the lines of a summary."""
        if not self.intact:
            return self.problems()
        after = len(self.entries) - self.sealed
        entries = f"{self.sealed} sealed entr{'ies' if self.sealed != 1 else 'y'}"
        return [*self.problems(), f"intact: {entries}" + (f", {after} not sealed yet" if after > 0 else "")]


class AuditLog:
    """The log file of one gallery; every method is called under the gallery's lock.

    Args:
        files: The file system.
        path: The log's path.
    """

    def __init__(self, files: FileSystem, path: Path) -> None:
        self._files = files
        self._path = path
        self._head: AuditHead | None = None
        self._offset = 0
        self._lost = self._torn = False

    def append(
        self, events: Sequence[AuditEvent], sealed: AuditHead, *, now_s: int, generation: int, commit: bool
    ) -> AuditHead:
        """Append entries; they are on the medium when this returns.

        Args:
            events: The events to append.
            sealed: The head that the gallery has sealed; the log may be ahead of it.
            now_s: Time of the entries, Unix seconds.
            generation: Generation of the following commit, or the current one.
            commit: True if a commit follows.

        Returns:
            The new head.

        Raises:
            GalleryError: the log cannot be read or written, or has the highest possible number of entries.
        """
        head = self._catch_up(sealed)
        lost = [AuditEvent("log-lost", detail=f"after={sealed.entries}")] if self._lost else []
        if head.entries + len(lost) + len(events) > MAX_ENTRIES:
            raise GalleryError(
                f"the audit log has {head.entries} entries, no more can be numbered",
                hint="make a new gallery and enrol again",
            )
        lines = [b"\n"] if self._torn else []
        # The entry `log-lost` is not part of the commit, so it is outside the batch.
        batch = head.entries + len(lost) + 1
        for event in [*lost, *events]:
            in_batch = commit and head.entries + 1 >= batch
            line, head = _next_line(
                head, event, now_s=now_s, generation=generation, batch=batch if in_batch else 0
            )
            lines.append(line)
        data = b"".join(lines)
        self._head = None  # after an error the file is read again
        append_durably(self._files, self._path, data)
        self._head, self._offset, self._lost = head, self._offset + len(data), False
        return head

    def _catch_up(self, sealed: AuditHead) -> AuditHead:
        """Follow the chain to the end of the log, from the last known head; from the sealed head if none is usable."""
        size = self._size()
        if self._head is not None and self._head.entries == sealed.entries:
            self._head = sealed  # a new segment has another key
        if self._head is None or self._head.entries < sealed.entries or size < self._offset:
            self._head = sealed
            self._offset, self._lost = self._end_of(sealed, size)
        data = self._read(size - self._offset, self._offset)
        head = self._head
        for line in _lines(data):
            parsed = _parsed(line, head)
            if parsed is not None:
                head = parsed[1]
        self._torn = size > 0 and self._read(1, size - 1) != b"\n"
        self._head, self._offset = head, self._offset + len(data)
        return head

    def _end_of(self, sealed: AuditHead, size: int) -> tuple[int, bool]:
        """Return the offset after the last sealed entry, and True if that entry is lost."""
        if sealed.chain == bytes(32):
            return 0, False
        mark = b" " + sealed.chain.hex().encode()
        for start in sorted({max(0, size - _TAIL_BYTES), 0}, reverse=True):
            at = self._read(size - start, start).rfind(mark)
            if at >= 0:
                return start + at + len(mark), False
        return size, True

    def _size(self) -> int:
        try:
            return self._files.size(self._path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise GalleryError(
                f"cannot read the audit log {self._path}: {error.strerror or error}"
            ) from error

    def _read(self, size: int, offset: int) -> bytes:
        return read_log(self._files, self._path, size, offset)


def read_log(files: FileSystem, path: Path, size: int | None = None, offset: int = 0) -> bytes:
    """Read a log; empty if there is no file.

    Args:
        files: The file system.
        path: The log's path.
        size: Most bytes to read; None for the whole log.
        offset: First byte to read.

    Raises:
        GalleryError: the log cannot be read, or over 256 MiB would be read.
    """
    try:
        size = files.size(path) if size is None else size
        if size > MAX_LOG_BYTES:
            raise GalleryError(
                f"the audit log {path} is over {MAX_LOG_BYTES} bytes",
                hint="move it away and keep it: the gallery works without it, and gallery audit reports it as missing from then on",
            )
        return files.read(path, size, offset)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise GalleryError(f"cannot read the audit log {path}: {error.strerror or error}") from error


def first_audit_key(header: Header, content: Content) -> bytes:
    """Return the key of a gallery's first log entry, 32 bytes."""
    return sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)


def begin_segment(content: Content, first_key: bytes, random: Callable[[int], bytes]) -> Content:
    """Return the content with a new random key for the next entry, sealed for `check_log`.

    Args:
        content: The content, with the head after the last entry of the segment before.
        first_key: Key of the first entry of the log, 32 bytes.
        random: Returns n random bytes.
    """
    segments = content.record(AUDIT_SEGMENTS) or _SEGMENT.pack(1, first_key)
    key = random(sealing.KEY_BYTES)
    segments += _SEGMENT.pack(content.audit.entries + 1, key)
    records = [record for record in content.policy if record.kind != AUDIT_SEGMENTS]
    records.append(PolicyRecord(AUDIT_SEGMENTS, critical=False, value=segments))
    policy = tuple(sorted(records, key=lambda record: record.kind))
    return replace(content, policy=policy, audit=replace(content.audit, key=key))


def first_keys_of(header: Header, content: Content) -> dict[int, bytes]:
    """Return the key of the first entry of each segment, by the entry's number."""
    segments = content.record(AUDIT_SEGMENTS)
    if segments is None:
        return {1: first_audit_key(header, content)}
    return dict(_SEGMENT.iter_unpack(segments))


def records_changes(data: bytes) -> bool:
    """Tell if a log has entries other than `create`, the only ones that an interrupted creation can leave."""
    entries = (match for line in _lines(data) if (match := _LINE.fullmatch(line)))
    return any(match[5] != b"create" for match in entries)


def check_log(
    data: bytes, sealed: AuditHead, first_keys: Mapping[int, bytes], *, generation: int
) -> AuditReport:
    """Check a whole log from its first entry; pure.

    Args:
        data: The log.
        sealed: The head that the gallery has sealed.
        first_keys: Key of the first entry of each segment, from `first_keys_of`.
        generation: Current generation of the gallery.
    """
    head = AuditHead()
    entries: list[AuditEntry] = []
    strays: list[int] = []
    head_seen = sealed.entries == 0
    for number, line in enumerate(_lines(data), start=1):
        head = replace(head, key=first_keys.get(head.entries + 1, head.key))
        parsed = _parsed(line, head)
        if parsed is None:
            strays += [number] if line else []
            continue
        entry, head = parsed
        entries.append(entry)
        head_seen = head_seen or (head.entries, head.chain) == (sealed.entries, sealed.chain)
    broken_at = None if head_seen else min(head.entries + 1, sealed.entries)
    return AuditReport(tuple(_judged(entries, generation)), sealed.entries, broken_at, tuple(strays))


def _judged(entries: list[AuditEntry], generation: int) -> Iterator[AuditEntry]:
    """Set `carried_out`: a commit completed if it is the last one of its generation, and no newer than the gallery."""
    last = {entry.generation: entry.batch for entry in entries if entry.batch}
    for entry in entries:
        completed = last.get(entry.generation) == entry.batch and entry.generation <= generation
        yield replace(entry, carried_out=completed or not entry.batch)


def _next_line(
    head: AuditHead, event: AuditEvent, *, now_s: int, generation: int, batch: int
) -> tuple[bytes, AuditHead]:
    if not _DETAIL.fullmatch(event.detail):
        raise InputError(f"{event.detail!r} is not a valid detail for the audit log")
    number = head.entries + 1
    text = f"{number} {now_s} {generation} {batch} {event.event} {event.subject or '-'} {event.detail or '-'}"
    code = _code(head, text.encode())
    return f"{text} {code.hex()}\n".encode(), AuditHead(number, now_s, code, _next_key(head.key))


def _lines(data: bytes) -> list[bytes]:
    """Split a log into lines, without the zeros that a file system may leave at the end after a power cut."""
    return [line.rstrip(b"\0") for line in data.split(b"\n")]


def _parsed(line: bytes, head: AuditHead) -> tuple[AuditEntry, AuditHead] | None:
    """Parse a line into its entry and the head after it; None if it does not continue the chain."""
    match = _LINE.fullmatch(line)
    if match is None or int(match[1]) != head.entries + 1:
        return None
    code = _code(head, line[: match.start(8) - 1])
    if not hmac.compare_digest(code.hex().encode(), match[8]):
        return None
    number, at_s, generation, batch = (int(match[group]) for group in range(1, 5))
    subject, detail = ("" if match[group] == b"-" else match[group].decode() for group in (6, 7))
    entry = AuditEntry(number, at_s, generation, batch, AuditEvent(match[5].decode(), subject, detail))
    return entry, AuditHead(number, at_s, code, _next_key(head.key))


def _code(head: AuditHead, text: bytes) -> bytes:
    return hmac.new(head.key, head.chain + text, hashlib.sha256).digest()


def _next_key(key: bytes) -> bytes:
    return hmac.new(key, _NEXT, hashlib.sha256).digest()
