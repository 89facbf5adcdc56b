"""Derive the events for the audit log from the contents before and after a change; pure.

The events come from the contents themselves, so no change can be left out of the log.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.attempt_counter import parse_limit
from edge_sdk.gallery.format.captures_record import parse_captures
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    ATTEMPT_POLICY,
    AUDIT_ANSWERS,
    AUDIT_POLICY,
    AUDIT_SEGMENTS,
    CALLER_THRESHOLDS,
    CAPTURES,
    COMMAND_HISTORY,
    DECISION_POLICY,
    EVIDENCE,
    KEPT_GENERATION,
    KEY_NAMES,
    LOOKS,
    MODEL_FILE,
    OWN_THRESHOLDS,
    PINNED_NETWORKS,
    POLICY_EVIDENCE,
    REVOKED,
    SLOT_KEYS,
    TRANSFORM_KEY,
    Content,
    ids_of,
    templates_per_subject,
)
from edge_sdk.gallery.keys import slot_kind
from edge_sdk.gallery.looks import looks_by_subject
from edge_sdk.gallery.rules.known_time import format_time
from edge_sdk.gallery.rules.policy import parse_own_thresholds, parse_policy
from edge_sdk.gallery.store.audit_log import AuditEvent

MAX_EVENTS = 64

# Every event and its meaning in words; `gallery audit` prints the words. A new event needs a line here.
EVENTS = {
    "accepted": "accepted",
    "add-key": "key added",
    "add-look": "pictures added to the subject",
    "add-source": "command source added",
    "backup": "backup written",
    "bind-model": "gallery bound to the model's embedding space",
    "captures-off": "stored captures removed, no further ones are stored",
    "captures-on": "captures of enrolments may be stored",
    "captures-removed": "stored captures removed",
    "captures-stored": "captures of the enrolment stored, with consent",
    "change": "subject changed",
    "change-model": "templates of another model put in place",
    "clock-behind": "clock behind the gallery's time",
    "clock-jump": "clock far ahead of the gallery's time",
    "clock-reset": "sealed time set back by an administrator",
    "command": "signed command executed",
    "commit": "change without further description",
    "confirm-model": "change of the model confirmed, the generation before it removed",
    "create": "gallery created",
    "duplicate-allowed": "enrolled although it looks like another subject",
    "enrol": "subject enrolled",
    "erase": "subject erased",
    "export": "subjects exported",
    "locked-out": "refused: attempts are limited",
    "log-lost": "earlier entries were not found",
    "migrate": "gallery written in a newer format version",
    "name-key": "name or role of a key changed",
    "policy": "setting changed",
    "re-anchor": "continued from this copy by the owner",
    "reinstate": "subject reinstated",
    "rejected": "rejected",
    "remove": "subject removed",
    "remove-anchor": "anchor removed",
    "remove-key": "key removed",
    "remove-look": "look of the subject removed",
    "remove-source": "command source removed",
    "renew-transform": "transform of the templates renewed",
    "replace": "templates of the subject replaced by an import",
    "restore": "backup restored by an administrator",
    "retry": "asked for another attempt",
    "revoke": "subject revoked",
    "rotate-key": "keys replaced",
    "scores-shown": "scores of a picture shown to the owner",
    "segment": "new file of the log begun",
    "undo-model": "change of the model undone",
    "threshold-override": "a caller gave a threshold below the policy's",
    "unlike-allowed": "pictures added although they are not like the subject's own",
    "weaker-limits": "enrolled under lower limits of image quality than the default",
}

# Kinds of policy records in words, for the event `policy`.
POLICY_KINDS = {
    TRANSFORM_KEY: "transform key",
    DECISION_POLICY: "decision policy",
    ATTEMPT_POLICY: "limit on failed attempts",
    OWN_THRESHOLDS: "thresholds of single subjects",
    AUDIT_POLICY: "answers in the audit log",
    PINNED_NETWORKS: "detector and liveness networks",
    CALLER_THRESHOLDS: "callers' thresholds below the policy's",
    ANCHOR_IDENTITY: "identity of the anchor",
    EVIDENCE: "evidence of the model's card",
    CAPTURES: "stored captures",
    KEPT_GENERATION: "generation before a change of the model",
    KEY_NAMES: "names and roles of keys",
    LOOKS: "looks of subjects",
    MODEL_FILE: "digest of the model file",
    POLICY_EVIDENCE: "evidence of the decision policy",
}


# Parts of details in words, by event and name; an empty event stands for every event.
_PARTS = {
    ("clock-jump", "from"): "from {}",
    ("clock-jump", "to"): "to {}",
    ("clock-reset", "from"): "from {}",
    ("clock-reset", "to"): "to {}",
    ("migrate", "from"): "from version {}",
    ("migrate", "to"): "to version {}",
    ("re-anchor", "from"): "from generation {}",
    ("restore", "from"): "from generation {}",
    ("restore", "over"): "over generation {}",
    ("backup", "generation"): "of generation {}",
    ("change", "name-or-label"): "name or label",
    ("create", "gallery"): "gallery {}",
    ("segment", "index"): "file {}",
    ("policy", "removed"): "removed",
    ("policy", "reset"): "counter set to 0",
    ("policy", "answers"): "recorded: {}",
    ("policy", "fpir"): "FPIR {}",
    ("policy", "margin"): "margin {}",
    ("policy", "retry-band"): "retry band {}",
    ("policy", "free"): "wait after {} failed attempts",
    ("policy", "most"): "disabled after {}",
    ("policy", "wait"): "wait of {} s",
    ("change-model", "method"): "by {}",
    ("", "generation"): "generation {}",
    ("", "left-out"): "number of subjects left out {}",
    ("captures-stored", "n"): "number of captures {}",
    ("", "after"): "after entry {}",
    ("", "anchor"): "newest generation of the anchor {}",
    ("", "by"): "sent by {}",
    ("", "given"): "given {}",
    ("", "keys"): "number of new keys {}",
    ("", "kind"): "{}",
    ("", "look"): "look {}",
    ("", "n"): "number of answers {}",
    ("", "policy"): "policy {}",
    ("", "recipient"): "recipient {}",
    ("", "seconds"): "by {} s",
    ("", "sequence"): "sequence number {}",
    ("", "since"): "since {}",
    ("", "role"): "role {}",
    ("", "slot"): "slot {}",
    ("", "source"): "source {}",
    ("", "space"): "embedding space {}",
    ("", "subjects"): "number of subjects {}",
    ("", "templates"): "number of templates {}",
    ("", "type"): "{}",
    ("", "valid-from"): "valid from {}",
    ("", "valid-until"): "valid until {}",
}
# Parts with a hexadecimal id, a decimal number or no value.
_AS_THEY_ARE = (
    "answers",
    "by",
    "method",
    "fpir",
    "margin",
    "removed",
    "reset",
    "retry-band",
    "gallery",
    "given",
    "look",
    "name-or-label",
    "policy",
    "recipient",
    "role",
    "source",
    "space",
)

# Records that the log does not describe: they change in a commit that has an event of its own, or in every commit.
_NO_SETTING = (SLOT_KEYS, AUDIT_SEGMENTS, COMMAND_HISTORY, LOOKS, CAPTURES, KEPT_GENERATION)


def in_words(event: AuditEvent, looks: Mapping[str, str] = MappingProxyType({})) -> str:
    """Describe an event and its detail in words.

    Args:
        event: An event of the log.
        looks: Names of the looks that the gallery holds, by id. The log has only ids, so that no name outlives its subject.
    """
    words = EVENTS.get(event.event, event.event)
    detail = event.detail.partition(",")[0] if event.event == "segment" else event.detail
    parts = [_part_in_words(event.event, part) for part in detail.split(",")]
    parts = [
        looks.get(part.removeprefix("look "), part) if part.startswith("look ") else part for part in parts
    ]
    return f"{words}: {', '.join(parts)}" if detail else words


def _part_in_words(event: str, part: str) -> str:
    """Describe a part `name=value` of a detail; a part that is not known stays as it is."""
    name, _, value = part.partition("=")
    if (name, value) == ("anchor", "0"):
        return "the anchor had no generation yet"
    words = _PARTS.get((event, name)) or _PARTS.get(("", name))
    if words is None:
        return part
    if name in _AS_THEY_ARE:
        return words.format(value)
    if not (value.isascii() and value.isdigit()):
        return part
    number = int(value)
    if name == "kind":
        return POLICY_KINDS.get(number, part)
    if name == "type":
        return slot_kind(number)[0]
    if name in ("since", "valid-from", "valid-until") or event in ("clock-jump", "clock-reset"):
        return words.format(format_time(number) if number else "no limit")
    return words.format(number)


def changes(before: Content, after: Content) -> list[AuditEvent]:
    """Return an event for every change; more than 64 events of a kind are replaced by one event with their number.

    Args:
        before: The content on disk.
        after: The content to commit.
    """
    old_ids, new_ids = ids_of(before.subjects), ids_of(after.subjects)
    old = dict(zip(old_ids, range(len(old_ids)), strict=True))
    new = set(new_ids)
    counts = templates_per_subject(after.templates, len(after.subjects)).tolist()
    # Index of each subject in the old content; -1 for a new subject.
    old_index = np.fromiter(map(old.get, new_ids, itertools.repeat(-1)), np.int64, len(new_ids))
    added = [
        AuditEvent("enrol", new_ids[index].hex(), f"templates={counts[index]}{_by(after, index)}")
        for index in np.flatnonzero(old_index < 0).tolist()
    ]
    removed = [AuditEvent("remove", subject.hex()) for subject in old_ids if subject not in new]
    altered: list[AuditEvent] = []
    for index in _altered_subjects(before, after, old_index):
        altered += _altered(before, int(old_index[index]), after, index, new_ids[index].hex())
    return [
        *_condensed(added),
        *_condensed(removed),
        *_condensed(altered),
        *_condensed(_looks(before, after)),
        *_captures(before, after, new),
        *_policy(before, after),
        *_sources(before, after),
    ]


def _altered_subjects(before: Content, after: Content, old_index: NDArray[np.int64]) -> list[int]:
    """Find the kept subjects that changed; compares whole columns, because there may be 20,000 subjects."""
    kept = np.flatnonzero(old_index >= 0)
    was, now = before.subjects[old_index[kept]], after.subjects[kept]
    differs = np.zeros(len(kept), dtype=bool)
    for field in ("flags", "valid_from", "valid_until"):
        differs |= was[field] != now[field]
    new, old = kept.tolist(), old_index[kept].tolist()
    for texts, earlier in ((after.names, before.names), (after.labels, before.labels)):
        pairs = map(texts.__getitem__, new), map(earlier.__getitem__, old)
        differs |= np.fromiter(map(operator.ne, *pairs), bool, len(new))
    indices: list[int] = kept[differs].tolist()
    return indices


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


def _looks(before: Content, after: Content) -> list[AuditEvent]:
    """Return an event for each look that was added to a kept subject, or removed from it."""
    if before.record(LOOKS) == after.record(LOOKS):
        return []
    old, new = (
        {look for looks in looks_by_subject(content).values() for look in looks}
        for content in (before, after)
    )
    kept = set(ids_of(before.subjects)) & set(ids_of(after.subjects))
    return [
        AuditEvent(event, look.subject.hex(), f"templates={look.templates},look={look.id.hex()}")
        for event, looks in (("add-look", new - old), ("remove-look", old - new))
        for look in sorted(looks, key=lambda look: (look.subject, look.added_at_s, look.name))
        if look.subject in kept
    ]


def _policy(before: Content, after: Content) -> list[AuditEvent]:
    old = {record.kind: record.value for record in before.policy}
    new = {record.kind: record.value for record in after.policy}
    kinds = sorted(
        kind for kind in old.keys() | new.keys() if kind not in _NO_SETTING and old.get(kind) != new.get(kind)
    )
    return [AuditEvent("policy", detail=f"kind={kind}{_setting(kind, old, new)}") for kind in kinds]


def _setting(kind: int, old: dict[int, bytes], new: dict[int, bytes]) -> str:
    """Return the new value of a setting as further parts of a detail; empty if it has no short form."""
    value = new.get(kind)
    if kind == AUDIT_POLICY:
        return f",answers={'yes' if value == AUDIT_ANSWERS else 'no'}"
    if value is None:
        return ",removed"
    if kind == DECISION_POLICY:
        policy = parse_policy(value)
        return f",fpir={policy.fpir:g},margin={policy.margin:g},retry-band={policy.retry_band:g}".replace(
            "+", ""
        )
    if kind == ATTEMPT_POLICY:
        limit, _ = parse_limit(value)
        if kind in old and parse_limit(old[kind])[0] == limit:
            return ",reset"
        return f",free={limit.free},most={limit.most},wait={limit.wait_s}"
    if kind == OWN_THRESHOLDS:
        return f",subjects={len(parse_own_thresholds(value))}"
    return ""


def _captures(before: Content, after: Content, enrolled: set[bytes]) -> list[AuditEvent]:
    old, new = (
        None if value is None else parse_captures(value)
        for value in (before.record(CAPTURES), after.record(CAPTURES))
    )
    if old == new:
        return []
    events = []
    if new is None:
        events.append(AuditEvent("captures-off"))
    elif old is None or old.recipient != new.recipient:
        events.append(AuditEvent("captures-on", detail=f"recipient={new.recipient.hex()}"))
    was, now = (() if record is None else record.parts for record in (old, new))
    added, left = set(now) - set(was), {part.subject for part in set(was) - set(now)} & enrolled
    stored = [
        AuditEvent("captures-stored", part.subject.hex(), f"n={part.captures}")
        for part in now
        if part in added
    ]
    removed = [AuditEvent("captures-removed", subject.hex()) for subject in sorted(left)]
    return [*events, *_condensed(stored), *_condensed(removed)]


def _sources(before: Content, after: Content) -> list[AuditEvent]:
    old, new = before.sources, after.sources
    events = [AuditEvent("add-source", detail=f"source={key.hex()}") for key in new if key not in old]
    events += [AuditEvent("remove-source", detail=f"source={key.hex()}") for key in old if key not in new]
    events += [
        AuditEvent("command", detail=f"source={key.hex()},sequence={new[key]}")
        for key in new
        if key in old and new[key] != old[key]
    ]
    return events


def _condensed(events: list[AuditEvent]) -> list[AuditEvent]:
    if len(events) <= MAX_EVENTS:
        return events
    kinds = sorted({event.event for event in events})
    return [
        AuditEvent(kind, detail=f"subjects={sum(event.event == kind for event in events)}") for kind in kinds
    ]
