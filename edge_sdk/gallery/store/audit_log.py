"""Entries of the audit log of a gallery: their bytes, and the chain of codes that authenticates them; pure.

The log is text with one line per entry. Each line ends with HMAC-SHA-256 of the line and the previous code, with a key
that is replaced after every entry. The gallery seals the last code and the next key (the head). So an altered, removed,
added or truncated entry is detected, unless it was written with the gallery's own keys: anyone who can open the gallery
can write entries.

`audit_segments` describes the files of the log, `audit_writer` appends to them, and `audit_report` checks them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.content import AuditHead

MAX_ENTRIES = (1 << 63) - 1
MIN_LINE_BYTES = 80
MAX_LINE_BYTES = 512
_NEXT = b"edge-sdk/gallery/audit/next@v1"
_LINE = re.compile(
    rb"([1-9][0-9]{0,18}) ([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19}) ([a-z-]{1,32}) (-|[0-9a-f]{32}) "
    rb"(-|[A-Za-z0-9=,.:_-]{1,256}) ([0-9a-f]{64})"
)
_DETAIL = re.compile(r"[A-Za-z0-9=,.:_-]{0,256}")


@dataclass(frozen=True)
class AuditEvent:
    """An event for the audit log.

    Attributes:
        event: Kind of event, a key of `audit_events.EVENTS`.
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


def next_line(
    head: AuditHead, event: AuditEvent, *, now_s: int, generation: int, batch: int
) -> tuple[bytes, AuditHead]:
    """Return the line of the next entry, and the head after it.

    Raises:
        InputError: the event's detail has other characters than the format allows.
    """
    if not _DETAIL.fullmatch(event.detail):
        raise InputError(f"{event.detail!r} is not a valid detail for the audit log")
    number = head.entries + 1
    text = f"{number} {now_s} {generation} {batch} {event.event} {event.subject or '-'} {event.detail or '-'}"
    code = _code(head, text.encode())
    return f"{text} {code.hex()}\n".encode(), AuditHead(number, now_s, code, _next_key(head.key))


def parse_line(line: bytes) -> tuple[AuditEntry, bytes] | None:
    """Parse a line into its entry and its code without checking the code; None if it is not an entry."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    number, at_s, generation, batch = (int(match[group]) for group in range(1, 5))
    subject, detail = ("" if match[group] == b"-" else match[group].decode() for group in (6, 7))
    entry = AuditEntry(number, at_s, generation, batch, AuditEvent(match[5].decode(), subject, detail))
    return entry, bytes.fromhex(match[8].decode())


def follow(line: bytes, head: AuditHead) -> tuple[AuditEntry, AuditHead] | None:
    """Return a line's entry and the head after it; None if the line does not continue the chain."""
    parsed = parse_line(line)
    if parsed is None or parsed[0].number != head.entries + 1:
        return None
    entry, stored = parsed
    code = _code(head, line.rpartition(b" ")[0])
    if not hmac.compare_digest(code, stored):
        return None
    return entry, AuditHead(entry.number, entry.at_s, code, _next_key(head.key))


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Split a log into lines, without the zeros that a file system may leave at the end after a power cut.

    A line that is too long for an entry is shortened, so the memory in use is bounded.
    """
    rest = b""
    for block in blocks:
        *complete, last = (rest + block).split(b"\n")
        yield from (line.rstrip(b"\0") for line in complete)
        rest = _clipped(last)
    yield rest.rstrip(b"\0")


def _clipped(line: bytes) -> bytes:
    if len(line) <= 2 * MAX_LINE_BYTES:
        return line
    return line.rstrip(b"\0")[: MAX_LINE_BYTES + 1] + b"\0"


def _code(head: AuditHead, text: bytes) -> bytes:
    return hmac.digest(head.key, head.chain + text, "sha256")


def _next_key(key: bytes) -> bytes:
    return hmac.digest(key, _NEXT, "sha256")
