"""Check the audit log against what the gallery has sealed, segment by segment, in bounded memory."""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from edge_sdk.errors import GalleryChangedError
from edge_sdk.gallery.format.content import AuditHead
from edge_sdk.gallery.rules.known_time import format_time
from edge_sdk.gallery.store.audit_log import MAX_ENTRIES, MAX_LINE_BYTES, AuditEntry, follow, lines_of
from edge_sdk.gallery.store.audit_segments import (
    MAX_CLOSED,
    LogSeal,
    Removed,
    Segment,
    SegmentStart,
    closed_path,
    next_path,
)
from edge_sdk.gallery.store.audit_writer import read_part
from edge_sdk.gallery.store.files import FileSystem

_BLOCK_BYTES = 64 * 1024
_MAX_STRAYS = 1000
_NAMED_STRAYS = 8


class Stray(NamedTuple):
    """A line of the log that is not an entry.

    Attributes:
        segment: Index of the segment.
        line: Number of the line in its file, from 1.
    """

    segment: int
    line: int


@dataclass(frozen=True)
class SegmentReport:
    """One file of the log.

    Attributes:
        index: Number of the segment, from 1.
        path: Path of the file.
        size_bytes: Length of the file.
        first: Number of its first entry; 0 if it has none.
        last: Number of its last entry; 0 if it has none.
        state: `intact`, `incomplete` (entries are missing or altered), `missing`, `unreadable` (it does not begin
            with an entry of this gallery), or `extra` (a closed segment newer than the current one).
    """

    index: int
    path: str
    size_bytes: int
    first: int
    last: int
    state: str


@dataclass(frozen=True)
class _File:
    """One file of the log as it was when the check began.

    Attributes:
        log: Path of the current segment.
        index: Number of the segment.
        current: True if it was the current segment, which may have been closed since.
        size: Number of bytes to read; None if there was no file.
        front: First bytes.
        start: Its start; None if the file does not begin with an entry of this gallery.
    """

    log: Path
    index: int
    current: bool
    size: int | None
    front: bytes
    start: SegmentStart | None
    path: Path

    def blocks(self, files: FileSystem) -> Iterator[bytes]:
        """Yield the bytes, also if the current segment was closed since the check began."""
        for path in (self.path, closed_path(self.log, self.index)):
            if read_part(files, path, len(self.front)) == self.front:
                break
        else:
            raise changed_error(self.log)
        size = self.size or 0
        for offset in range(0, size, _BLOCK_BYTES):
            yield read_part(files, path, min(_BLOCK_BYTES, size - offset), offset)


class AuditEntries(Sequence[AuditEntry]):
    """The entries of a log with a valid code, in order; each iteration reads them from the files again."""

    def __init__(
        self, files: FileSystem, parts: Sequence[tuple[_File, AuditHead, int]], length: int, carried: bytes
    ):
        self._files = files
        self._parts = parts
        self._length = length
        self._carried = carried

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[AuditEntry]:
        commit, number = (0, 0), -1
        for file, head, last in self._parts:
            for _, entry, _ in _followed(self._files, file, head, last):
                if entry is None:
                    continue
                if entry.batch and commit != (entry.generation, entry.batch):
                    commit, number = (entry.generation, entry.batch), number + 1
                yield replace(entry, carried_out=not entry.batch or bool(self._carried[number]))

    @overload
    def __getitem__(self, index: int) -> AuditEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AuditEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> AuditEntry | tuple[AuditEntry, ...]:
        return tuple(self)[index]


@dataclass(frozen=True)
class AuditReport:
    """The result of checking an audit log.

    Attributes:
        entries: The entries with a valid code, in order.
        sealed: Number of the last entry that the gallery has sealed.
        last: Number of the last entry with a valid code; 0 if there is none.
        broken_at: Number of the first missing or altered entry; None if there is none.
        strays: Lines that are not an entry: torn by a power cut, or written by someone else; at most 1,000 of them.
        stray_lines: Number of such lines.
        segments: The files of the log, oldest first.
        removed: The entries that were removed by the rule on the number of segments.
    """

    entries: AuditEntries = field(repr=False)
    sealed: int
    last: int
    broken_at: int | None
    strays: tuple[Stray, ...]
    stray_lines: int
    segments: tuple[SegmentReport, ...]
    removed: Removed

    @property
    def intact(self) -> bool:
        """True if every sealed entry is present and unaltered, or was removed by the rule."""
        return self.broken_at is None

    def problems(self) -> list[str]:
        """Return a line for each problem."""
        lines = []
        for segment in sorted({stray.segment for stray in self.strays}):
            numbers = [stray.line for stray in self.strays if stray.segment == segment]
            listed = ", ".join(map(str, numbers[:_NAMED_STRAYS])) + (
                " ..." if numbers[_NAMED_STRAYS:] else ""
            )
            place = f" of segment {segment}" if len(self.segments) > 1 else ""
            lines.append(
                f"not an entry: line {listed}{place} (torn by a power cut, altered, or not of this gallery)"
            )
        if self.broken_at is not None:
            lines.append(f"broken at entry {self.broken_at} of {self.sealed}: it is missing or was altered")
        lines += [
            f"segment {part.index} of the log ({part.path}) is {part.state}"
            for part in self.segments
            if part.state != "intact" and len(self.segments) > 1
        ]
        return lines

    def words(self) -> list[str]:
        """Return the lines of a summary."""
        lines = self.problems()
        if self.removed.entries:
            at = format_time(self.removed.at_s)
            lines.append(
                f"entries 1 to {self.removed.entries} were removed by the limit on the size of the log, last at {at}"
            )
        if not self.intact:
            return lines
        after = self.last - self.sealed
        entries = f"{self.sealed} sealed entr{'ies' if self.sealed != 1 else 'y'}"
        files = f" in {len(self.segments)} files" if len(self.segments) > 1 else ""
        return [*lines, f"intact: {entries}{files}" + (f", {after} not sealed yet" if after > 0 else "")]


@dataclass(frozen=True)
class LogSnapshot:
    """The files of a log at one moment, and what the gallery had sealed.

    Attributes:
        seal: What the gallery had sealed.
        files: The files in order, oldest first.
        extra: Paths of closed segments newer than the current one, which are not part of the log.
        removed: The entries that were removed.
    """

    seal: LogSeal
    files: tuple[_File, ...]
    extra: tuple[tuple[int, Path], ...]
    removed: Removed


def take_snapshot(files: FileSystem, log: Path, seal: LogSeal) -> LogSnapshot:
    """Find the files of a log; called under the gallery's lock, so that no entry is appended meanwhile.

    Raises:
        GalleryError: the log cannot be read.
    """
    path = log
    if files.mode(log) is None and files.mode(next_path(log)) is not None:
        path = next_path(log)  # a power cut interrupted a change of segments
    front = read_part(files, path, MAX_LINE_BYTES)
    begun = seal.start_of(front.partition(b"\n")[0])
    oldest, removed = seal.segments[0].index, seal.removed
    if begun is not None:
        current = begun.segment.index
        oldest, removed = (
            max(oldest, begun.oldest),
            max(removed, begun.removed, key=lambda part: part.entries),
        )
    else:
        current = seal.segments[-2].index if seal.closed else seal.last.index
        while front == b"" and files.mode(closed_path(log, current)) is not None:
            current += 1
    parts = []
    for index in range(oldest, current + 1):
        place = path if index == current else closed_path(log, index)
        size = None
        if files.mode(place) is not None:
            read_part(files, place, 0)
            size = files.size(place)
        first = read_part(files, place, MAX_LINE_BYTES)
        start = seal.start_of(first.partition(b"\n")[0])
        row = seal.row(index)
        if start is None and row is not None:
            start = SegmentStart(row, oldest, removed)
        if start is not None and start.segment.index != index:
            start = None
        parts.append(_File(log, index, index == current, size, first, start, place))
    newer = ((index, closed_path(log, index)) for index in range(current, current + MAX_CLOSED))
    extra = tuple(itertools.takewhile(lambda item: files.mode(item[1]) is not None, newer))
    return LogSnapshot(seal, tuple(parts), extra, removed)


def check_log(files: FileSystem, snapshot: LogSnapshot, *, generation: int) -> AuditReport:
    """Check a whole log from its oldest entry.

    Args:
        files: The file system.
        snapshot: The files, from `take_snapshot`.
        generation: Current generation of the gallery.

    Raises:
        GalleryError: the log cannot be read, or was changed meanwhile.
    """
    check = _Check(snapshot)
    for number, file in enumerate(snapshot.files):
        check.read(files, file, _start_after(snapshot, number))
    broken_at = check.broken_at
    sealed = snapshot.seal.head.entries
    if not check.head_seen:
        broken_at = min(broken_at or sealed, check.head.entries + 1, sealed)
    return AuditReport(
        entries=AuditEntries(files, check.parts, check.length, check.carried_out(generation)),
        sealed=sealed,
        last=check.head.entries,
        broken_at=broken_at,
        strays=tuple(check.strays),
        stray_lines=check.stray_lines,
        segments=(
            *check.segments,
            *(SegmentReport(i, str(path), 0, 0, 0, "extra") for i, path in snapshot.extra),
        ),
        removed=snapshot.removed,
    )


def changed_error(log: Path) -> GalleryChangedError:
    """Return the error for a log whose files were changed while they were read."""
    return GalleryChangedError(f"the audit log {log} was changed while it was read", hint="read it again")


class _Check:
    """The state of a check that goes through the files in order."""

    def __init__(self, snapshot: LogSnapshot) -> None:
        self._seal = snapshot.seal
        self.head = AuditHead(snapshot.removed.entries)
        self.head_seen = snapshot.seal.head.entries <= snapshot.removed.entries
        self.broken_at: int | None = None
        self.strays: list[Stray] = []
        self.stray_lines = self.length = 0
        self.segments: list[SegmentReport] = []
        self.parts: list[tuple[_File, AuditHead, int]] = []
        self._generations = array.array("q")
        self._batch = (0, 0)

    def read(self, files: FileSystem, file: _File, following: Segment | None) -> None:
        """Check one file.

        Args:
            files: The file system.
            file: The file.
            following: The start of the next segment, which states the end of this one; None if it is not known.
        """
        path, size = str(file.path), file.size or 0
        if file.start is None:
            self._break_at(self.head.entries + 1)
            state = "missing" if file.size is None else "unreadable"
            self.segments.append(SegmentReport(file.index, path, size, 0, 0, state))
            return
        start = file.start.segment
        if start.first != self.head.entries + 1:
            self._break_at(min(self.head.entries + 1, start.first))
        last = MAX_ENTRIES if following is None else following.first - 1
        self.head = start.head
        self._compare_with_sealed()
        self.parts.append((file, self.head, last))
        for line, entry, head in _followed(files, file, self.head, last):
            if entry is None:
                self.stray_lines += 1
                if len(self.strays) < _MAX_STRAYS:
                    self.strays.append(Stray(file.index, line))
                continue
            self.head = head
            self._compare_with_sealed()
            self._count(entry)
        complete = following is None or (self.head.entries, self.head.chain) == (last, following.before)
        if not complete:
            self._break_at(min(self.head.entries + 1, last))
        state = "missing" if file.size is None else "intact" if complete else "incomplete"
        entries = self.head.entries - start.first + 1
        first, end = (start.first, self.head.entries) if entries else (0, 0)
        self.segments.append(SegmentReport(file.index, path, size, first, end, state))

    def carried_out(self, generation: int) -> bytes:
        """Return 1 for each commit that completed: the last of its generation, and no newer than the gallery."""
        generations = np.frombuffer(self._generations, dtype=np.int64)[::-1]
        _, last = np.unique(generations, return_index=True)
        done = np.zeros(len(generations), dtype=np.uint8)
        done[last] = generations[last] <= generation
        return done[::-1].tobytes()

    def _count(self, entry: AuditEntry) -> None:
        self.length += 1
        commit = (entry.generation, entry.batch)
        if entry.batch and commit != self._batch:
            self._batch = commit
            self._generations.append(entry.generation)

    def _compare_with_sealed(self) -> None:
        sealed = self._seal.head
        self.head_seen |= (self.head.entries, self.head.chain) == (sealed.entries, sealed.chain)

    def _break_at(self, entry: int) -> None:
        self.broken_at = entry if self.broken_at is None else min(self.broken_at, entry)


def _start_after(snapshot: LogSnapshot, number: int) -> Segment | None:
    """Return the start of the segment that follows a file; None if it is not known."""
    seal, index = snapshot.seal, snapshot.files[number].index
    if number + 1 < len(snapshot.files):
        start = snapshot.files[number + 1].start
        return None if start is None else start.segment
    return seal.last if seal.last.index > index else None


def _followed(
    files: FileSystem, file: _File, head: AuditHead, last: int
) -> Iterator[tuple[int, AuditEntry | None, AuditHead]]:
    """Yield number, entry and following head of each line that is an entry up to the last; None for other lines."""
    for number, line in enumerate(lines_of(file.blocks(files)), start=1):
        step = follow(line, head) if head.entries < last else None
        if step is not None:
            entry, head = step
            yield number, entry, head
        elif line:
            yield number, None, head
