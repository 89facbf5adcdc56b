"""Compare a backup with the gallery that it would replace. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_sdk.gallery.backup.receipts import Difference
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    CAPTURES,
    LOOKS,
    MAX_SEQUENCE,
    REVOKED,
    SOURCE_REMOVED,
    TRANSFORM_KEY,
    Content,
    ids_of,
)
from edge_sdk.gallery.format.header import Header
from edge_sdk.gallery.format.looks import parse_looks
from edge_sdk.gallery.store.audit_events import changes, in_words
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.sealed_file import Generation

# Events for the subjects that `Difference` names.
_SUBJECT_EVENTS = ("enrol", "remove", "revoke", "reinstate")
_NO_SETTING = (ANCHOR_IDENTITY, CAPTURES, TRANSFORM_KEY)


@dataclass(frozen=True)
class Present:
    """The gallery that is at the place of a restore.

    Attributes:
        header: Its header; None if the file is no gallery.
        generation: The opened gallery; None if it cannot be opened with the key.
    """

    header: Header | None
    generation: Generation | None


def difference_to(backup: Generation, present: Present | None, seen: int) -> Difference:
    """Compare a backup with the present gallery and the generation that the anchor has seen."""
    header = None if present is None else present.header
    newest = max(seen, 0 if header is None else header.generation)
    generations = max(0, newest - backup.header.generation)
    if present is None:
        return Difference(generations, known=generations == 0)
    if present.generation is None or header is None:
        return Difference(generations, known=False)
    old, new = backup.content, present.generation.content
    names = dict(zip(ids_of(old.subjects), old.names, strict=True))
    now = dict(zip(ids_of(new.subjects), new.names, strict=True))
    reinstated = set(_accepted(old)) - set(_accepted(new))
    return Difference(
        generations=generations,
        key_epochs=max(0, header.key_epoch - backup.header.key_epoch),
        returning=tuple(name for subject, name in names.items() if subject not in now),
        reinstated=tuple(name for subject, name in names.items() if subject in now and subject in reinstated),
        missing=tuple(name for subject, name in now.items() if subject not in names),
        settings=_settings_in_words(old, new, {**now, **names}),
        other_model=header.model_kind is backup.header.model_kind
        and header.model_id != backup.header.model_id,
    )


def _settings_in_words(backup: Content, present: Content, names: dict[bytes, str]) -> tuple[str, ...]:
    """Describe how the settings change from the present gallery to that of the backup."""
    lines = []
    looks = {
        look.id.hex(): f"look {look.name}"
        for content in (backup, present)
        for look in parse_looks(content.record(LOOKS) or b"")
    }
    for event in changes_to(present, backup):
        if event.event not in _SUBJECT_EVENTS:
            name = names.get(bytes.fromhex(event.subject))
            words = in_words(event, looks)
            lines.append(f"{name}: {words}" if name else words)
    return tuple(lines)


def changes_to(present: Content, backup: Content) -> list[AuditEvent]:
    """Return the changes that a restore makes, without those of the anchor, the transform and stored captures."""
    present, backup = (
        replace(content, policy=tuple(r for r in content.policy if r.kind not in _NO_SETTING))
        for content in (present, with_sequences(backup, present))
    )
    return changes(present, backup)


def with_sequences(content: Content, newer: Content) -> Content:
    """Return the content with the higher sequence number of each command source, so that no command is executed twice."""
    last = {source: sequence & MAX_SEQUENCE for source, sequence in newer.sequences}
    return replace(
        content,
        sequences=tuple(
            (source, (sequence & SOURCE_REMOVED) | max(sequence & MAX_SEQUENCE, last.get(source, 0)))
            for source, sequence in content.sequences
        ),
    )


def _accepted(content: Content) -> Iterator[bytes]:
    """Yield the ids of the subjects that are not revoked."""
    for subject, flags in zip(ids_of(content.subjects), content.subjects["flags"].tolist(), strict=True):
        if not flags & REVOKED:
            yield subject
