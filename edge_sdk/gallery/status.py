"""How strong and how full a gallery is, in values and in words; pure."""

from __future__ import annotations

import math

from edge_sdk.gallery.attempts import AttemptPolicy
from edge_sdk.gallery.creation import SUITES, TEMPLATE_TYPES, TRANSFORMS, name_of
from edge_sdk.gallery.exchange.export import recipient_of
from edge_sdk.gallery.format.content import (
    AUDIT_ANSWERS,
    AUDIT_POLICY,
    OWN_THRESHOLDS,
    REVOKED,
    Content,
    ids_of,
    templates_per_subject,
)
from edge_sdk.gallery.keys import slot_kind
from edge_sdk.gallery.results import AttemptStatus, GalleryStatus, Reason, Subject
from edge_sdk.gallery.rules.policy import DecisionPolicy, parse_own_thresholds
from edge_sdk.gallery.store.anchor import NoAnchor, TpmCounter
from edge_sdk.gallery.store.vault import Vault

_KEY_GAPS = (
    "who has the disk has the key as well: only a stray copy of the gallery file is protected",
    "who has the disk has the host key as well: only a stray copy of the gallery file is protected",
    "a passphrase can be guessed from a copy of the file, and it must be typed at every start",
    "who runs as root on this board, or steals board and card together, has the key",
    "who runs as root on this device has the key while it runs",
)


def status_of(vault: Vault, policy: DecisionPolicy | None, attempts: AttemptStatus | None) -> GalleryStatus:
    """Everything `Gallery.status` says."""
    header, content = vault.header, vault.content
    return GalleryStatus(
        path=str(vault.places.path),
        gallery_id=header.gallery_id.hex(),
        model_id=header.model_id.hex(),
        key_level=vault.key.level,
        key_name=vault.key.name,
        key_slots=len(header.slots),
        key_epoch=header.key_epoch,
        anchor=vault.places.anchor.kind,
        generation=header.generation,
        suite=name_of(SUITES, header.suite),
        transform=name_of(TRANSFORMS, header.transform),
        dtype=name_of(TEMPLATE_TYPES, header.template_type),
        dimension=header.dimension,
        subjects=len(content.subjects),
        templates=len(content.templates),
        audit=_audit(vault),
        recipient=recipient_of(header, content).hex(),
        decides=_decides(policy, len(content.templates)),
        tries=_tries(attempts),
        pad=_with_pad(attempts),
        failures=None if attempts is None else attempts.failures,
        locked_out=_locked_out(attempts),
        not_protected=gaps(vault, attempts),
    )


def subjects_of(content: Content) -> tuple[Subject, ...]:
    """Everyone enrolled, in order of enrolment."""
    counts = templates_per_subject(content.templates, len(content.subjects)).tolist()
    thresholds = parse_own_thresholds(content.record(OWN_THRESHOLDS) or b"")
    return tuple(
        Subject(
            name=name,
            label=label,
            templates=count,
            valid_from_s=int(row["valid_from"]),
            valid_until_s=int(row["valid_until"]),
            enrolled_at_s=int(row["enrolled_at"]),
            revoked=bool(row["flags"] & REVOKED),
            id=subject.hex(),
            threshold=thresholds.get(subject),
        )
        for name, label, count, row, subject in zip(
            content.names,
            content.labels,
            counts,
            content.subjects,
            ids_of(content.subjects),
            strict=True,
        )
    )


def gaps(vault: Vault, attempts: AttemptStatus | None) -> tuple[str, ...]:
    """What the gallery as it is kept here does not protect from, in words."""
    found = [_KEY_GAPS[vault.key.level]]
    others = len(vault.header.slots) - 1
    if others:
        found.append(f"{others} more key{'s open' if others > 1 else ' opens'} it: the weakest one counts")
    levels = {slot_kind(slot.type)[1] for slot in vault.header.slots}
    found += [
        _KEY_GAPS[level]
        for level in sorted(level for level in levels if level is not None)
        if level < vault.key.level
    ]
    anchor = vault.places.anchor
    if isinstance(anchor, NoAnchor):
        found.append("an old copy put back is not noticed: someone revoked may be let in again")
    elif not isinstance(anchor, TpmCounter):
        found.append("who puts back an old gallery and its old anchor file together goes unnoticed")
    if attempts is None:
        found.append("tries are not limited: someone may try faces all night")
    if not vault.content.audit.entries:
        found.append("no audit log is kept")
    found.append(
        "a photo or a screen held up is not noticed by the gallery: that takes presentation attack detection"
    )
    return tuple(found)


def _audit(vault: Vault) -> str:
    entries = vault.content.audit.entries
    if not entries:
        return "off"
    answers = vault.content.record(AUDIT_POLICY) == AUDIT_ANSWERS
    return f"{'changes and answers' if answers else 'changes'}, sealed up to entry {entries}"


def _decides(policy: DecisionPolicy | None, templates: int) -> str:
    if policy is None:
        return "by a threshold that each caller brings: no policy is stored"
    reach = policy.most_references()
    said = f"FPIR {policy.fpir:g}, margin {policy.margin:g}, retry band {policy.retry_band:g}; "
    if max(1, templates) > reach:
        return said + f"the evidence reaches to {reach}: nobody is let in"
    return said + f"threshold {policy.limit(templates):.4f}, the evidence reaches to {reach}"


def _locked_out(attempts: AttemptStatus | None) -> str | None:
    if attempts is None or attempts.refusal is None:
        return None
    if attempts.refusal is Reason.WAIT:
        return f"wait: the next try in {math.ceil(attempts.next_try_s)} s"
    return f"{attempts.refusal.value}: edge-sdk gallery reset-attempts ends it"


def _tries(attempts: AttemptStatus | None) -> str:
    if attempts is None:
        return "not limited"
    return f"{attempts.free} failures, then {attempts.wait_s} s each, {attempts.most} at most"


def _with_pad(attempts: AttemptStatus | None) -> bool:
    pad = AttemptPolicy.with_pad()
    return attempts is not None and (attempts.free, attempts.most) == (pad.free, pad.most)
