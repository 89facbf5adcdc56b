"""The audit log beside a gallery: what was changed and decided, in a chain of codes that the gallery seals.

One line per entry, only ever appended. Each line ends with HMAC-SHA-256 of itself and the code before, under a
key that is replaced with every entry; the gallery's sealed head holds the last code and the next key. So an
altered, removed or invented entry shows, and so does a log that was cut: who cannot open the gallery cannot make
an entry. Who can open it can: the chain is evidence against the disk, not against the gallery's own keys.

An entry is on the medium before the commit that it tells of. Lines that are no next entry (torn by a power cut)
are left where they are and passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.content import AuditHead
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
_DETAIL = re.compile(r"[A-Za-z0-9=,.:_-]{0,256}")


@dataclass(frozen=True)
class AuditEvent:
    """Something worth remembering.

    Attributes:
        event: Such as `enrol` or `accepted`.
        subject: 32 hexadecimal digits, the subject's random id; empty where there is none. Never a name.
        detail: Up to 256 letters, digits and `=,.:_-`.
    """

    event: str
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """One entry of the log.

    Attributes:
        number: From 1, without gaps.
        at_s: Unix seconds, by the device's clock.
        generation: Of the commit it tells of; the current one for what changes nothing.
        batch: Number of the first entry of its commit; 0 for what changes nothing.
        event: What happened.
        carried_out: False where its commit never came to be (power cut), or was undone by putting an older copy back.
    """

    number: int
    at_s: int
    generation: int
    batch: int
    event: AuditEvent
    carried_out: bool = True


@dataclass(frozen=True)
class AuditReport:
    """What a log is worth.

    Attributes:
        entries: Every entry whose code is right, in order, up to the first broken one.
        sealed: How many entries the gallery's sealed head counts.
        broken_at: Number of the first entry that is missing or altered; None where all is well.
        strays: Numbers of the lines that are no entry: torn by a power cut, or written by someone else.
    """

    entries: tuple[AuditEntry, ...]
    sealed: int
    broken_at: int | None
    strays: tuple[int, ...]

    @property
    def intact(self) -> bool:
        """Whether every entry up to the sealed head is there and unaltered."""
        return self.broken_at is None

    def problems(self) -> list[str]:
        """What is wrong with it, one line each."""
        said = []
        if self.strays:
            lines = ", ".join(str(line) for line in self.strays[:8]) + (" ..." if self.strays[8:] else "")
            said.append(f"no entry: line {lines} (torn by a power cut, altered, or not of this gallery)")
        if self.broken_at is not None:
            said.append(f"broken at entry {self.broken_at} of {self.sealed}: it is missing or was altered")
        return said

    def words(self) -> list[str]:
        """What a person has to know of it, one line each."""
        if not self.intact:
            return self.problems()
        after = len(self.entries) - self.sealed
        entries = f"{self.sealed} sealed entr{'ies' if self.sealed != 1 else 'y'}"
        return [*self.problems(), f"intact: {entries}" + (f", {after} since" if after > 0 else "")]


class AuditLog:
    """The log file of one gallery; every method is called under the gallery's lock.

    Args:
        files: Where it lies.
        path: Its path.
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
        """Write entries after all that is there; they are on the medium when this returns.

        Args:
            events: What to write.
            sealed: The chain as the gallery has it sealed; the log may be ahead of it.
            now_s: Unix seconds.
            generation: Of the commit that follows, or the current one.
            commit: Whether a commit follows.

        Returns:
            The chain's new head.

        Raises:
            GalleryError: the log cannot be read or written, or holds as many entries as can be numbered.
        """
        head = self._catch_up(sealed)
        lost = [AuditEvent("log-lost", detail=f"after={sealed.entries}")] if self._lost else []
        if head.entries + len(lost) + len(events) > MAX_ENTRIES:
            raise GalleryError(
                f"the audit log has {head.entries} entries, more than can be continued",
                hint="make a new gallery, and enrol again",
            )
        lines = [b"\n"] if self._torn else []
        # An entry of a lost log stands outside the batch, or it would look like a part of the commit.
        batch = head.entries + len(lost) + 1
        for event in [*lost, *events]:
            mine = commit and head.entries + 1 >= batch
            line, head = _next_line(
                head, event, now_s=now_s, generation=generation, batch=batch if mine else 0
            )
            lines.append(line)
        data = b"".join(lines)
        self._head = None  # after an error, look again at what is there
        append_durably(self._files, self._path, data)
        self._head, self._offset, self._lost = head, self._offset + len(data), False
        return head

    def _catch_up(self, sealed: AuditHead) -> AuditHead:
        """Follow the chain to the end of the log, from what is known or from the sealed head."""
        size = self._size()
        if self._head is None or self._head.entries < sealed.entries or size < self._offset:
            self._head = sealed
            self._offset, self._lost = self._end_of(sealed, size)
        data = self._read(size - self._offset, self._offset)
        head = self._head
        for line in _lines(data):
            found = _parsed(line, head)
            if found is not None:
                head = found[1]
        self._torn = size > 0 and self._read(1, size - 1) != b"\n"
        self._head, self._offset = head, self._offset + len(data)
        return head

    def _end_of(self, sealed: AuditHead, size: int) -> tuple[int, bool]:
        """Offset behind the sealed head's entry, and whether that entry is lost."""
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
    """A log's bytes; none where there is no log.

    Args:
        files: Where it lies.
        path: Its path.
        size: At most so many bytes; None for all there are.
        offset: From here on.

    Raises:
        GalleryError: it cannot be read, or that would be over 256 MiB.
    """
    try:
        wanted = files.size(path) if size is None else size
        if wanted > MAX_LOG_BYTES:
            raise GalleryError(
                f"the audit log {path} is over {MAX_LOG_BYTES} bytes",
                hint="move it away and keep it: the gallery goes on without it, and gallery audit says from then on that it is missing",
            )
        return files.read(path, wanted, offset)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise GalleryError(f"cannot read the audit log {path}: {error.strerror or error}") from error


def tells_of_changes(data: bytes) -> bool:
    """Whether a log has entries of more than creations; those, whole or torn, are all that a creation cut off leaves."""
    entries = (match for line in _lines(data) if (match := _LINE.fullmatch(line)))
    return any(match[5] != b"create" for match in entries)


def check_log(data: bytes, sealed: AuditHead, first_key: bytes, *, generation: int) -> AuditReport:
    """Follow a whole log from its first entry; pure.

    Args:
        data: The log.
        sealed: The chain as the gallery has it sealed.
        first_key: Key of the first entry, 32 bytes.
        generation: Of the gallery.
    """
    head = AuditHead(key=first_key)
    entries: list[AuditEntry] = []
    strays: list[int] = []
    passed = sealed.entries == 0
    for number, line in enumerate(_lines(data), start=1):
        found = _parsed(line, head)
        if found is None:
            strays += [number] if line else []
            continue
        entry, head = found
        entries.append(entry)
        passed = passed or (head.entries, head.chain) == (sealed.entries, sealed.chain)
    broken_at = None if passed else min(head.entries + 1, sealed.entries)
    return AuditReport(tuple(_judged(entries, generation)), sealed.entries, broken_at, tuple(strays))


def _judged(entries: list[AuditEntry], generation: int) -> Iterator[AuditEntry]:
    """Which commits came to be: the last one of each generation, up to the gallery's own."""
    last = {entry.generation: entry.batch for entry in entries if entry.batch}
    for entry in entries:
        done = not entry.batch or (last[entry.generation] == entry.batch and entry.generation <= generation)
        yield replace(entry, carried_out=done)


def _next_line(
    head: AuditHead, event: AuditEvent, *, now_s: int, generation: int, batch: int
) -> tuple[bytes, AuditHead]:
    if not _DETAIL.fullmatch(event.detail):
        raise InputError(f"{event.detail!r} cannot be a detail of the audit log")
    number = head.entries + 1
    text = f"{number} {now_s} {generation} {batch} {event.event} {event.subject or '-'} {event.detail or '-'}"
    code = _code(head, text.encode())
    return f"{text} {code.hex()}\n".encode(), AuditHead(number, now_s, code, _next_key(head.key))


def _lines(data: bytes) -> list[bytes]:
    """A log's lines without the zeros that a file system may leave after a power cut where bytes were to be."""
    return [line.rstrip(b"\0") for line in data.split(b"\n")]


def _parsed(line: bytes, head: AuditHead) -> tuple[AuditEntry, AuditHead] | None:
    """The entry of a line, and the head behind it, where it is the next one of the chain."""
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
