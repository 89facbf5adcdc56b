"""Start a new key epoch of an open gallery, and destroy the secrets of key slots that are no longer used.

A new key epoch has new slot keys, a new root secret and, after the entry for the change itself, a new key of the audit
log (`Session.commit`). The keys of exports and of the
attempt counter are derived from the root secret. So whoever knew the secrets of an earlier epoch opens no later export,
forges no attempt counter and no audit entry.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_sdk.errors import ChangeCommittedError, GalleryError, GalleryFormatError, InputError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import KEY_NAMES, SLOT_KEYS, TRANSFORM_KEY, Content, PolicyRecord
from edge_sdk.gallery.format.header import Header, Slot
from edge_sdk.gallery.format.key_names import KeyName, pack_key_names, parse_key_names
from edge_sdk.gallery.key_notes import note_gallery
from edge_sdk.gallery.keys import SLOT_TPM_NV, ErasableKey, KeyProvider, TpmKey, slot_kind
from edge_sdk.gallery.keys.provider import check_work, new_slot, slot_key_of
from edge_sdk.gallery.match.matcher import transform_key_of
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.files import read_head
from edge_sdk.gallery.store.sealed_file import slot_keys_of


def with_slot_keys(content: Content, slot_keys: Sequence[bytes]) -> Content:
    """Return the content with other slot keys."""
    return with_record(content, PolicyRecord(SLOT_KEYS, critical=True, value=b"".join(slot_keys)))


def with_record(content: Content, record: PolicyRecord) -> Content:
    """Return the content with one policy record replaced or added."""
    others = [other for other in content.policy if other.kind != record.kind]
    return replace(content, policy=tuple(sorted([*others, record], key=lambda record: record.kind)))


def key_names_of(session: Session) -> tuple[KeyName, ...]:
    """Return the name and role of each key, in the order of the slots."""
    value = session.content.record(KEY_NAMES)
    return parse_key_names(value) if value else (KeyName(),) * len(session.header.slots)


def with_key_names(content: Content, names: Sequence[KeyName]) -> Content:
    """Return the content with other names and roles of keys, one for each slot."""
    value = pack_key_names(names)
    if value:
        return with_record(content, PolicyRecord(KEY_NAMES, critical=False, value=value))
    return replace(content, policy=tuple(record for record in content.policy if record.kind != KEY_NAMES))


def with_new_root(header: Header, content: Content, random: Callable[[int], bytes]) -> Content:
    """Return the content with a new root secret, and with the transform key sealed if the old root secret gave it.

    The templates keep their transform: rotating them to a new key costs accuracy (`Keys.renew_transform` does it).
    """
    key = transform_key_of(header, content)
    if key is not None:
        content = with_record(content, PolicyRecord(TRANSFORM_KEY, critical=True, value=key))
    return replace(content, root_secret=random(sealing.KEY_BYTES))


def start_epoch(
    session: Session,
    keys: Sequence[KeyProvider],
    after: Content,
    events: Sequence[AuditEvent],
    *,
    names: Sequence[KeyName] = (),
) -> None:
    """Commit a new key epoch with a new slot for each key; if that fails, destroy the keys' new secrets.

    Args:
        session: The open gallery.
        keys: One or more keys; the first one is the key in use afterwards.
        after: The content to write.
        events: Entries for the audit log.
        names: Name and role of each key; none by default.
    """
    slots: list[Slot] = []
    with contextlib.ExitStack() as undo:
        for key in keys:
            slots.append(new_slot(key, session.environment.random, session.environment.path))
            undo.callback(destroy_if_unused, session, key, slots[-1])
        check_new_work(keys, slots)
        reseal(session, list(zip(keys, slots, strict=True)), with_key_names(after, names), events)
        undo.pop_all()
    for key in keys:
        note_gallery(session.environment.path, key, session.header.gallery_id)


def check_new_work(keys: Sequence[KeyProvider], slots: Sequence[Slot]) -> None:
    """Raise InputError if no reader would open the gallery because its slots need too much work."""
    try:
        for key in keys:
            check_work(key, slots)
    except GalleryFormatError as error:
        raise InputError(str(error), hint="choose lower costs, or use fewer passphrases") from error


def reseal(
    session: Session,
    pairs: Sequence[tuple[KeyProvider, Slot]],
    after: Content,
    events: Sequence[AuditEvent],
) -> None:
    """Commit a new key epoch with these keys and slots; the first key is the one in use afterwards."""
    header, random = session.header, session.environment.random
    content = with_new_root(header, after, random)
    header = replace(header, key_epoch=header.key_epoch + 1, slots=tuple(slot for _, slot in pairs))
    slot_keys = [slot_key_of(key, header, slot) for key, slot in pairs]
    content = replace(with_slot_keys(content, slot_keys), committed_at_s=session.now_s())
    session.commit(session.content, content, header=header, key=pairs[0][0], events=events)


def slots_in_use_first(session: Session) -> list[int]:
    """Return the slot numbers, the one in use first."""
    return sorted(range(len(session.header.slots)), key=lambda index: index != session.slot_index)


def keys_of_all_slots(session: Session, keys: Sequence[KeyProvider]) -> list[KeyProvider] | None:
    """Return a key for every slot, the one in use first; None if a slot has no key among `keys`."""
    try:
        return [key_of_slot(session, index, keys) for index in slots_in_use_first(session)]
    except GalleryError:
        return None


def key_of_slot(session: Session, index: int, keys: Sequence[KeyProvider]) -> KeyProvider:
    """Return the key in use if it opens the slot, otherwise the first of `keys` that does.

    Raises:
        GalleryError: none of them opens the slot, or a key's secret is not available.
    """
    if index == session.slot_index:
        return session.key
    unavailable: list[GalleryError] = []
    for key in keys:
        try:
            if opens(session, key, index):
                return key
        except GalleryError as error:
            # A later key may open the slot, such as one of another chip.
            unavailable.append(error)
    if unavailable:
        raise unavailable[0]
    raise GalleryError(
        f"no key given for slot {index} ({slot_kind(session.header.slots[index].type)[0]}), which is kept",
        hint="give the key of every slot that is kept (--other-key), or remove that slot as well",
    )


def opens(session: Session, key: KeyProvider, index: int | None = None) -> bool:
    """Tell if a key opens a slot, or any slot if no index is given.

    Raises:
        GalleryError: the key opens no slot, and its secret is not available for a slot of its type.
    """
    header, slot_keys = session.header, slot_keys_of(session.content)
    unavailable: list[GalleryError] = []
    for number, slot in enumerate(header.slots):
        if slot.type == key.slot_type and index in (None, number):
            try:
                slot_key = slot_key_of(key, header, slot)
            except GalleryError as error:
                unavailable.append(error)
                continue
            if hmac.compare_digest(slot_key, slot_keys[number]):
                return True
    if unavailable:
        raise unavailable[0]
    return False


def destroy_secrets(session: Session, slots: Sequence[Slot], keys: Sequence[KeyProvider]) -> bool:
    """Destroy the secrets of slots that are no longer used; return True if every secret was destroyed."""
    erasable = [key for key in (*keys, session.key) if isinstance(key, ErasableKey)]
    complete = True
    for slot in slots:
        key = next((key for key in erasable if key.slot_type == slot.type), None)
        if key is None and slot.type == SLOT_TPM_NV:
            key = TpmKey()
        if key is None:
            complete = False
        else:
            key.forget(slot.parameters)
    return complete


def destroy_after_commit(session: Session, slots: Sequence[Slot], keys: Sequence[KeyProvider]) -> None:
    """Destroy the secrets of slots that a commit has removed.

    Raises:
        ChangeCommittedError: a secret could not be destroyed.
    """
    try:
        destroy_secrets(session, slots, keys)
    except GalleryError as error:
        raise ChangeCommittedError(
            f"the change is committed; the secret of an earlier key could not be destroyed: {error}",
            hint="it still opens older copies of the file; edge-sdk gallery verify names its index, remove it with "
            "tpm2_nvundefine -C o",
        ) from error


def destroy_if_unused(session: Session, key: KeyProvider, slot: Slot) -> None:
    """Destroy a new secret after an error, unless the file on disk already needs it or cannot be read."""
    environment = session.environment
    if not isinstance(key, ErasableKey):
        return
    with contextlib.suppress(GalleryError, OSError):
        if slot.parameters not in read_head(environment.files, environment.path):
            key.forget(slot.parameters)


def unclaimed_secrets(session: Session, keys: Sequence[KeyProvider]) -> str:
    """Describe secrets in a TPM that no slot of this gallery uses; empty if there are none."""
    slots = [slot.parameters for slot in session.header.slots if slot.type == SLOT_TPM_NV]
    indices = {index for key in keys if isinstance(key, TpmKey) for index in key.unclaimed(slots)}
    if not indices:
        return ""
    names = ", ".join(f"{index:#x}" for index in sorted(indices))
    return (
        f"the TPM holds {names}, which no key of this gallery uses: another gallery uses it, or a crash left it and "
        "it still opens an older copy; if no other gallery uses it, remove it with tpm2_nvundefine -C o"
    )
