"""What changed between two contents of a gallery, as events for the audit log; pure.

Read from the contents themselves, so that no caller can forget to say it.
"""

from __future__ import annotations

import numpy as np

from edge_sdk.gallery.audit import AuditEvent
from edge_sdk.gallery.content import REVOKED, SLOT_KEYS, Content, templates_per_subject
from edge_sdk.gallery.format import ID_BYTES

MAX_EVENTS = 64


def changes(before: Content, after: Content) -> list[AuditEvent]:
    """Every change as an event; over 64 of a kind become one that counts them.

    Args:
        before: The content on the disk.
        after: The content to be committed.
    """
    old, new = _subjects(before), _subjects(after)
    counts = templates_per_subject(after.templates, len(after.subjects)).tolist()
    added = [
        AuditEvent("enrol", subject, f"templates={counts[index]}{_by(after, index)}")
        for subject, index in new.items()
        if subject not in old
    ]
    removed = [AuditEvent("remove", subject) for subject in old if subject not in new]
    altered: list[AuditEvent] = []
    if before.subjects is not after.subjects:
        stayed = [subject for subject in new if subject in old]
        was, now = [old[subject] for subject in stayed], [new[subject] for subject in stayed]
        for place in _differing(before, was, after, now):
            altered += _altered(before, was[place], after, now[place], stayed[place])
    return [*_few(added), *_few(removed), *_few(altered), *_policy(before, after), *_sources(before, after)]


def _subjects(content: Content) -> dict[str, int]:
    ids = content.subjects["id"].tobytes().hex()
    size = 2 * ID_BYTES
    return {ids[at : at + size]: at // size for at in range(0, len(ids), size)}


def _differing(before: Content, old: list[int], after: Content, new: list[int]) -> list[int]:
    """Which of the pairs of subjects are not alike in all that is told; most are, and there may be 20,000."""
    was, now = before.subjects[old], after.subjects[new]
    unlike = np.zeros(len(old), dtype=bool)
    for field in ("flags", "valid_from", "valid_until"):
        unlike |= was[field] != now[field]
    for texts, others in ((before.names, after.names), (before.labels, after.labels)):
        unlike |= np.array([texts[a] != others[b] for a, b in zip(old, new, strict=True)], dtype=bool)
    found: list[int] = np.flatnonzero(unlike).tolist()
    return found


def _by(content: Content, index: int) -> str:
    enrolled_by = content.subjects["enrolled_by"][index]
    return f",by={enrolled_by.tobytes().hex()}" if enrolled_by.any() else ""


def _altered(before: Content, old: int, after: Content, new: int, subject: str) -> list[AuditEvent]:
    events = []
    was, now = before.subjects[old], after.subjects[new]
    revoked = bool(now["flags"] & REVOKED)
    if bool(was["flags"] & REVOKED) != revoked:
        events.append(AuditEvent("revoke" if revoked else "reinstate", subject))
    fields = [field for field in ("valid_from", "valid_until") if was[field] != now[field]]
    if fields:
        words = ",".join(f"{field}={int(now[field])}" for field in fields)
        events.append(AuditEvent("change", subject, words.replace("_", "-")))
    if (before.names[old], before.labels[old]) != (after.names[new], after.labels[new]):
        events.append(AuditEvent("change", subject, "name-or-label"))
    return events


def _policy(before: Content, after: Content) -> list[AuditEvent]:
    old = {record.kind: record.value for record in before.policy}
    new = {record.kind: record.value for record in after.policy}
    kinds = sorted(
        kind for kind in old.keys() | new.keys() if kind != SLOT_KEYS and old.get(kind) != new.get(kind)
    )
    return [AuditEvent("policy", detail=f"kind={kind}") for kind in kinds]


def _sources(before: Content, after: Content) -> list[AuditEvent]:
    old, new = dict(before.sequences), dict(after.sequences)
    events = [AuditEvent("add-source", detail=f"source={key.hex()}") for key in new if key not in old]
    events += [AuditEvent("remove-source", detail=f"source={key.hex()}") for key in old if key not in new]
    events += [
        AuditEvent("command", detail=f"source={key.hex()},sequence={new[key]}")
        for key in new
        if key in old and new[key] != old[key]
    ]
    return events


def _few(events: list[AuditEvent]) -> list[AuditEvent]:
    if len(events) <= MAX_EVENTS:
        return events
    kinds = sorted({event.event for event in events})
    return [
        AuditEvent(kind, detail=f"subjects={sum(event.event == kind for event in events)}") for kind in kinds
    ]
