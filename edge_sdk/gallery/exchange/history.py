"""Recent states of a gallery and recent changes of its subjects, by which signed commands are judged; pure.

A command names the state of the gallery for which it was signed. It is refused if its subject was changed since then by
anybody but its own source, so a withheld command cannot undo a later change. A gallery without command sources keeps no
history. Byte table: `docs/reference/gallery-format.md`, record 10.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.content import COMMAND_HISTORY, REVOKED, Content, PolicyRecord, ids_of
from edge_sdk.gallery.format.records import (
    MAX_CHANGES,
    MAX_STATES,
    STATE_BYTES,
    HistoryRecord,
    SubjectChange,
    pack_history,
    parse_history,
)

LOCAL = bytes(32)  # the source of a change that no command made
_LABEL = b"edge-sdk/gallery/state@v1"
_STATE = re.compile(rf"([1-9][0-9]{{0,18}})-([0-9a-f]{{{2 * STATE_BYTES}}})")


@dataclass(frozen=True)
class State:
    """One generation of one gallery, as `gallery status` prints it.

    Attributes:
        generation: Number of the generation, from 1.
        digest: 16 bytes that nobody can know before the generation exists.
    """

    generation: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.generation}-{self.digest.hex()}"

    @classmethod
    def of(cls, generation: int, head: bytes) -> State:
        """Return the state of a generation from the bytes of its header, which contain new random salts."""
        return cls(generation, hashlib.sha256(_LABEL + head).digest()[:STATE_BYTES])

    @classmethod
    def parse(cls, text: str) -> State:
        """Parse a state as `gallery status` prints it.

        Raises:
            InputError: the text is not a state.
        """
        match = _STATE.fullmatch(text)
        if match is None or int(match[1]) >= 1 << 63:
            raise InputError(
                f"expected a state such as 12-{'ab' * STATE_BYTES}, found {text[:80]!r}",
                hint="edge-sdk gallery status prints it on the gallery's device",
            )
        return cls(int(match[1]), bytes.fromhex(match[2]))


def history_of(content: Content, generation: int) -> HistoryRecord:
    """Return the history in a gallery's content.

    Args:
        content: The content.
        generation: Its generation; without a record, commands for this generation alone are accepted.
    """
    record = content.record(COMMAND_HISTORY)
    return HistoryRecord(generation) if record is None else parse_history(record)


def is_known(state: State, current: State, content: Content) -> bool:
    """Tell if a state is the current one of this gallery, or one of those in its history."""
    if state.generation == current.generation:
        return state == current
    history = history_of(content, current.generation)
    index = state.generation - history.first
    return 0 <= index < len(history.states) and history.states[index] == state.digest


def changes_since(content: Content, state: State, source: bytes) -> Iterator[SubjectChange]:
    """Yield the changes of subjects after a known state that were not made by commands of a source."""
    for change in history_of(content, state.generation).changes:
        if change.generation > state.generation and change.source != source:
            yield change


def with_history(before: Content, after: Content, current: State, generation: int) -> Content:
    """Return the content to commit with its history.

    The history starts again, so that no earlier command is executed, if a source was added, if the commit does not follow
    the current generation (re-anchor), if its time is earlier (reset of the clock), or if `after` has no history although
    there are sources.

    Args:
        before: The content that is replaced.
        after: The content to commit.
        current: The state of the generation that is replaced.
        generation: The generation to commit.
    """
    others = tuple(record for record in after.policy if record.kind != COMMAND_HISTORY)
    if not after.sources:
        return after if len(others) == len(after.policy) else replace(after, policy=others)
    consecutive = generation == current.generation + 1 and after.committed_at_s >= before.committed_at_s
    if consecutive and after.sources.keys() - before.sources.keys():
        # The owner read the state for the new source just before adding it.
        history = HistoryRecord(current.generation)
    elif consecutive and after.record(COMMAND_HISTORY) is not None:
        history = history_of(before, current.generation)
    else:
        history = HistoryRecord(generation)
    if history.first <= current.generation:
        history = _extended(history, current, tuple(_changes(before, after, generation)))
    record = PolicyRecord(COMMAND_HISTORY, critical=False, value=pack_history(history))
    return replace(after, policy=tuple(sorted([*others, record], key=lambda record: record.kind)))


def _extended(history: HistoryRecord, current: State, changes: tuple[SubjectChange, ...]) -> HistoryRecord:
    """Add a state and the changes that followed it; drop the oldest ones beyond the limits."""
    states, all_changes = (*history.states, current.digest), (*history.changes, *changes)
    first = max(history.first, history.first + len(states) - MAX_STATES)
    if len(all_changes) > MAX_CHANGES:
        # Commands for states before a forgotten change cannot be judged any more.
        first = max(first, all_changes[-MAX_CHANGES - 1].generation)
    return HistoryRecord(
        first,
        states[first - history.first :],
        tuple(change for change in all_changes if change.generation > first),
    )


def _changes(before: Content, after: Content, generation: int) -> Iterator[SubjectChange]:
    """Yield a change for every subject that was added, removed, revoked, reinstated, or got another validity."""
    source = next((key for key, last in after.sources.items() if last > before.sources.get(key, last)), LOCAL)
    old = dict(zip(ids_of(before.subjects), range(len(before.subjects)), strict=True))
    new = dict(zip(ids_of(after.subjects), range(len(after.subjects)), strict=True))
    for subject in old.keys() - new.keys():
        yield SubjectChange(subject, source, generation, restricts=True)
    for subject, index in new.items():
        if subject not in old:
            yield SubjectChange(subject, source, generation, restricts=False)
            continue
        was, now = before.subjects[old[subject]], after.subjects[index]
        validity = any(was[field] != now[field] for field in ("valid_from", "valid_until"))
        if validity or was["flags"] != now["flags"]:
            reinstated = not validity and not now["flags"] & REVOKED
            yield SubjectChange(subject, source, generation, restricts=not reinstated)
