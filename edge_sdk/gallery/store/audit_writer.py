"""Append entries to the audit log, and begin a new segment when the current one is full.

An entry is on the medium before the commit it describes. Lines that do not continue the chain, for example after a
power cut, stay in the file and are skipped. Opening the log reads at most the current segment, whatever its history.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.format.content import AuditHead
from edge_sdk.gallery.store.audit_log import (
    MAX_ENTRIES,
    MAX_LINE_BYTES,
    MIN_LINE_BYTES,
    AuditEvent,
    follow,
    lines_of,
    next_line,
    parse_line,
)
from edge_sdk.gallery.store.audit_segments import (
    MAX_CLOSED,
    SEGMENT_BYTES,
    LogSeal,
    Removed,
    Segment,
    SegmentStart,
    closed_path,
    next_path,
    segment_event,
)
from edge_sdk.gallery.store.files import FileSystem, append_durably, replace_segment


@dataclass(frozen=True)
class _Position:
    """The end of the log.

    Attributes:
        start: Start of the current segment.
        front: First bytes of its file; a file that begins with other bytes is another segment.
        head: State of the chain after the last entry.
        offset: End of the bytes that were read.
    """

    start: SegmentStart
    front: bytes
    head: AuditHead
    offset: int


class AuditLog:
    """The log of one gallery; every method is called under the gallery's lock.

    Args:
        files: The file system.
        path: Path of the current segment.
        segment_bytes: Length from which on a segment is closed.
        max_closed: Number of closed segments to keep.
    """

    def __init__(
        self,
        files: FileSystem,
        path: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        max_closed: int = MAX_CLOSED,
    ) -> None:
        self._files = files
        self._path = path
        self._segment_bytes = segment_bytes
        self._max_closed = max_closed
        # Only a segment of an older version is longer than this.
        self._longest_bytes = 2 * segment_bytes
        self._position: _Position | None = None

    def append(
        self, events: Sequence[AuditEvent], seal: LogSeal, *, now_s: int, generation: int, commit: bool
    ) -> LogSeal:
        """Append entries; they are on the medium when this returns.

        Args:
            events: The events to append.
            seal: What the gallery has sealed; the log may be ahead of it.
            now_s: Time of the entries, Unix seconds.
            generation: Generation of the following commit, or the current one.
            commit: True if a commit follows.

        Returns:
            The seal of the log with the new entries.

        Raises:
            GalleryError: the log cannot be read or written, or has the highest possible number of entries.
        """
        size = self._current_size()
        position = self._catch_up(seal, size)
        self._position = None  # after an error the file is read again
        place = self._place(seal, position, size, now_s)
        first: list[AuditEvent] = []
        head = place.head if isinstance(place, _Position) else place.segment.head
        if isinstance(place, SegmentStart):
            first.append(segment_event(place))
        if position is None:
            first.append(AuditEvent("log-lost", detail=f"after={seal.head.entries}"))
        if head.entries + len(first) + len(events) > MAX_ENTRIES:
            raise GalleryError(
                f"the audit log has {head.entries} entries, no more can be numbered",
                hint="make a new gallery and enrol again",
            )
        lines = []
        # The entries `segment` and `log-lost` are not part of the commit, so they are outside the batch.
        batch = head.entries + len(first) + 1
        for event in [*first, *events]:
            in_batch = commit and head.entries + 1 >= batch
            line, head = next_line(
                head, event, now_s=now_s, generation=generation, batch=batch if in_batch else 0
            )
            lines.append(line)
        if isinstance(place, _Position):
            end = self._extend(place, b"".join(lines), head, size)
        else:
            end = self._begin(place, position, b"".join(lines), head, size)
        self._position = end
        return self._sealed(seal, end) if commit else seal

    def records_changes(self) -> bool:
        """Tell if the log has entries other than `create`, the only ones that an interrupted creation can leave.

        Raises:
            GalleryError: the log cannot be read.
        """
        others = (closed_path(self._path, 1), next_path(self._path))
        if any(map(self._exists, others)) or (self._size(self._path) or 0) > self._segment_bytes:
            return True
        entries = map(parse_line, lines_of([self._read(self._segment_bytes, 0)]))
        return any(entry is not None and entry[0].event.event != "create" for entry in entries)

    def _place(
        self, seal: LogSeal, position: _Position | None, size: int, now_s: int
    ) -> _Position | SegmentStart:
        """Return the position to continue from, or the start of a new segment if one must begin."""
        if position is None:
            return self._start_after_loss(seal, size)
        segment = position.start.segment
        if seal.closed and segment.index < seal.last.index:
            return self._start(position, seal.last, now_s)
        if position.offset < self._segment_bytes:
            return position
        head, index = position.head, segment.index + 1
        return self._start(position, Segment(index, head.entries + 1, head.chain, seal.key_of(index)), now_s)

    def _extend(self, position: _Position, data: bytes, head: AuditHead, size: int) -> _Position:
        if size and self._read(1, size - 1) != b"\n":
            data = b"\n" + data  # the last line is torn
        append_durably(self._files, self._path, data)
        front = position.front if size >= MAX_LINE_BYTES else self._front()
        return replace(position, front=front, head=head, offset=size + len(data))

    def _begin(
        self, start: SegmentStart, position: _Position | None, data: bytes, head: AuditHead, size: int
    ) -> _Position:
        """Close the current segment and begin the next one with these entries; remove segments over the limit."""
        closed = closed_path(self._path, start.segment.index - 1) if size else None
        if closed is not None and self._exists(closed):
            # A file of another log is in the way; it is kept under another name.
            with _reported(closed):
                self._files.rename(closed, closed.with_name(closed.name + ".old"))
        replace_segment(self._files, self._path, next_path(self._path), closed, data)
        oldest = start.oldest if position is None else position.start.oldest
        for index in range(oldest, start.oldest):
            # A file that cannot be removed is not part of the log any more; it does no harm.
            with contextlib.suppress(OSError):
                self._files.unlink(closed_path(self._path, index))
        return _Position(start, data[:MAX_LINE_BYTES], head, len(data))

    def _start(self, position: _Position, segment: Segment, now_s: int) -> SegmentStart:
        """Return the start of the next segment, with the rule on the number of segments applied."""
        oldest, removed = position.start.oldest, position.start.removed
        kept_from = max(oldest, segment.index - self._max_closed)
        if kept_from > oldest:
            removed = Removed(self._first_entry(kept_from, position) - 1, now_s)
        return SegmentStart(segment, kept_from, removed)

    def _first_entry(self, index: int, position: _Position) -> int:
        """Return the number of the first entry from a closed segment on; a missing segment has none."""
        current = position.start.segment
        for kept in range(index, current.index):
            parsed = parse_line(self._first_line(closed_path(self._path, kept)))
            if parsed is not None:
                return parsed[0].number
        return current.first

    def _start_after_loss(self, seal: LogSeal, size: int) -> SegmentStart:
        """Return the start of a segment that follows the sealed entries, because later ones are missing or altered."""
        index = seal.last.index if seal.closed else seal.last.index + 1
        # The file in the place of the current segment is kept under the name of the segment before.
        while self._exists(closed_path(self._path, index)) or (
            size and self._exists(closed_path(self._path, index - 1))
        ):
            index += 1
        segment = seal.last
        if index > seal.last.index:
            segment = Segment(index, seal.head.entries + 1, seal.head.chain, seal.key_of(index))
        return SegmentStart(segment, seal.segments[0].index, seal.removed)

    def _sealed(self, seal: LogSeal, position: _Position) -> LogSeal:
        """Return the seal with the segments that began since the last commit."""
        current, oldest = position.start.segment, position.start.oldest
        segments = [row for row in seal.segments if row.index >= oldest]
        for index in range(max(seal.last.index + 1, oldest), current.index):
            begun = seal.start_of(self._first_line(closed_path(self._path, index)))
            if begun is not None and begun.segment.index == index:
                segments.append(begun.segment)
        if current.index > seal.last.index:
            segments.append(current)
        secret = seal.secret_of(max(current.index, seal.last.index) + 1)
        return LogSeal(position.head, tuple(segments), secret, position.start.removed)

    def _catch_up(self, seal: LogSeal, size: int) -> _Position | None:
        """Follow the chain to the end of the current segment; None if the sealed entries are not in the log."""
        position = self._known(seal, size) or self._located(seal, size)
        if position is None or (seal.closed and position.start.segment.index < seal.last.index):
            # Nothing may follow the sealed entries of a segment whose key epoch has ended.
            return position
        if size - position.offset > self._longest_bytes:
            return self._skipped(position, size)
        head = position.head
        for line in lines_of([self._read(size - position.offset, position.offset)]):
            step = follow(line, head)
            head = head if step is None else step[1]
        return replace(position, head=head, offset=size)

    def _known(self, seal: LogSeal, size: int) -> _Position | None:
        """Return the position after the last entry of this object; None if the log was changed since."""
        position = self._position
        if position is None or position.head.entries < seal.head.entries or size < position.offset:
            return None
        return position if self._front().startswith(position.front) else None

    def _located(self, seal: LogSeal, size: int) -> _Position | None:
        """Find a place in the current segment from which the chain can be followed."""
        front = self._front()
        start = seal.start_of(front.partition(b"\n")[0])
        begun = start is not None and start.segment.first > seal.head.entries
        if start is not None and begun:
            return _Position(start, front, start.segment.head, 0)
        row = seal.segments[-2] if seal.closed else seal.last
        sealed = start or SegmentStart(row, seal.segments[0].index, seal.removed)
        if seal.head.entries == 0:
            return _Position(sealed, front, seal.head, size)
        mark = b" " + seal.head.chain.hex().encode()
        skipped = max(0, size - self._longest_bytes)
        at = self._read(size - skipped, skipped).rfind(mark)
        if at >= 0:
            return _Position(sealed, front, seal.head, skipped + at + len(mark))
        return _Position(sealed, front, seal.head, 0) if skipped else None

    def _skipped(self, position: _Position, size: int) -> _Position | None:
        """Return the end of a segment of an older version that is too long to be followed when it is opened.

        Number and code of its last entry are taken as they are; checking the log compares them with the entries.
        """
        data = self._read(2 * MAX_LINE_BYTES, size - 2 * MAX_LINE_BYTES)
        for line in reversed(list(lines_of([data]))):
            parsed = parse_line(line)
            if parsed is not None:
                entry, code = parsed
                if not 0 <= entry.number - position.head.entries <= size // MIN_LINE_BYTES:
                    return None
                return replace(position, head=AuditHead(entry.number, entry.at_s, code), offset=size)
        return None

    def _current_size(self) -> int:
        """Return the size of the current segment; finish a change of segments that a power cut interrupted."""
        size = self._size(self._path)
        if size is None and self._exists(next_path(self._path)):
            with _reported(self._path):
                self._files.rename(next_path(self._path), self._path)
                self._files.fsync_directory(self._path.parent)
            size = self._size(self._path)
        return size or 0

    def _exists(self, path: Path) -> bool:
        return self._files.mode(path) is not None

    def _size(self, path: Path) -> int | None:
        with _reported(path):
            try:
                return self._files.size(path)
            except FileNotFoundError:
                return None

    def _front(self) -> bytes:
        return read_part(self._files, self._path, MAX_LINE_BYTES)

    def _first_line(self, path: Path) -> bytes:
        return read_part(self._files, path, MAX_LINE_BYTES).partition(b"\n")[0]

    def _read(self, size: int, offset: int) -> bytes:
        return read_part(self._files, self._path, size, offset)


def read_part(files: FileSystem, path: Path, size: int, offset: int = 0) -> bytes:
    """Read a part of a log; empty if there is no file.

    Raises:
        GalleryError: the log cannot be read.
    """
    with _reported(path):
        try:
            return files.read(path, size, offset)
        except FileNotFoundError:
            return b""


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GalleryError(f"cannot read the audit log {path}: {error.strerror or error}") from error
