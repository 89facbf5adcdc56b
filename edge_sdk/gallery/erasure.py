"""Erase subjects, make older copies of the gallery unreadable if the keys allow it, and issue a receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_sdk.errors import GalleryError, SubjectUnknownError
from edge_sdk.gallery.format.content import KEPT_GENERATION, Content
from edge_sdk.gallery.key_epoch import (
    destroy_secrets,
    key_names_of,
    keys_of_all_slots,
    slots_in_use_first,
    start_epoch,
    unclaimed_secrets,
)
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.results import ErasureReceipt
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_events import changes

_NOT_PROVABLE = "logically erased, not provably: old blocks of the medium may survive, and "
_BACKUPS = "; backups made before still hold the templates: delete them"
_KEY_MISSING = _NOT_PROVABLE + "a key that was not given still opens an old copy" + _BACKUPS
_SECRET_KEPT = _NOT_PROVABLE + "the key that opened them still exists"
_CONFIRMED = "; the change of the model that waited is confirmed, because the state before it held the erased templates"
_PROVABLE = "the secrets that opened every older copy, backups included, are destroyed in the TPM"


def erase(
    session: Session,
    subjects: Sequence[str],
    keys: Sequence[KeyProvider],
    amend: Callable[[Content], Content] = lambda content: content,
) -> ErasureReceipt:
    """Remove subjects in one commit; if the key of every slot is given, the commit starts a new key epoch.

    Args:
        session: The open gallery.
        subjects: Names of the subjects, one or more.
        keys: Keys of the slots other than the one in use.
        amend: Makes a further change in the same commit.

    Raises:
        SubjectUnknownError: a subject is not enrolled; no subject is erased.
        GalleryError: the commit failed.
    """
    before, slots = session.content, session.header.slots
    transaction = session.transaction()
    for subject in subjects:
        try:
            transaction.remove(subject)
        except SubjectUnknownError as error:
            if before.record(KEPT_GENERATION) is not None:
                error.hint = (
                    "if a change of the model left the subject out, edge-sdk gallery migrate --confirm removes its"
                    " templates, which the state before the change still holds"
                )
            raise
    after = amend(transaction.apply())
    events = [
        replace(event, event="erase") if event.event == "remove" else event
        for event in changes(before, after)
    ]
    providers = keys_of_all_slots(session, keys)
    provable, statement = False, _KEY_MISSING
    if providers is None:
        session.commit(before, after, events=events)
    else:
        names = key_names_of(session)
        kept = [names[index] for index in slots_in_use_first(session)]
        start_epoch(session, providers, after, events, names=kept)
        try:
            provable = destroy_secrets(session, slots, providers)
            statement = _PROVABLE if provable else _SECRET_KEPT + _BACKUPS
            unclaimed = unclaimed_secrets(session, providers)
            if provable and unclaimed:
                provable, statement = False, f"{_NOT_PROVABLE}{unclaimed}{_BACKUPS}"
        except GalleryError as error:
            # The subjects are erased already, so a receipt is returned despite the error.
            statement = f"{_SECRET_KEPT}: {error}{_BACKUPS}"
    return ErasureReceipt(
        subjects=tuple(e.subject for e in events if e.event == "erase" and e.subject),
        count=len(before.subjects) - len(after.subjects),
        generation=session.header.generation,
        key_epoch=session.header.key_epoch,
        erased_at_s=session.content.committed_at_s,
        provable=provable,
        statement=statement if before.record(KEPT_GENERATION) is None else statement + _CONFIRMED,
    )
