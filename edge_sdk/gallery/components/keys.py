"""`gallery.keys`: the keys that open a gallery, its transform key and its anchor."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    COMMAND_HISTORY,
    TEMPLATE,
    TRANSFORM_KEY,
    Content,
    PolicyRecord,
)
from edge_sdk.gallery.format.header import MAX_SLOTS
from edge_sdk.gallery.format.key_names import KeyName, KeyRole
from edge_sdk.gallery.key_epoch import (
    check_new_work,
    destroy_after_commit,
    destroy_if_unused,
    key_names_of,
    key_of_slot,
    opens,
    reseal,
    slots_in_use_first,
    start_epoch,
    with_key_names,
    with_record,
    with_slot_keys,
)
from edge_sdk.gallery.key_notes import note_gallery
from edge_sdk.gallery.keys import SLOT_IN_MEMORY, SLOT_KEY_FILE, KeyProvider, slot_kind
from edge_sdk.gallery.keys.provider import new_slot, slot_key_of, strength_of_key
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.match.transform import Shp3
from edge_sdk.gallery.results import AddedKey, KeySlot
from edge_sdk.gallery.rules.names import checked_text
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.anchor import NoAnchor
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.sealed_file import slot_keys_of
from edge_sdk.types import Float64Array

# Kinds of key that have one secret for all slots, so a rotation to the same key would change nothing.
_ONE_SECRET = (SLOT_KEY_FILE, SLOT_IN_MEMORY)


class Keys:
    """Manages the keys of an open gallery. Each change is a separate commit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def slots(self) -> tuple[KeySlot, ...]:
        """Return the key slots, each a way to open the gallery."""
        in_use, key = self._session.slot_index, self._session.key
        level = strength_of_key(key, self._session.environment.path).level
        names = key_names_of(self._session)
        slots = (
            KeySlot(index, slot.type, key.name, level, in_use=True, levels=(level,))
            if index == in_use
            else _slot_not_in_use(index, slot.type)
            for index, slot in enumerate(self._session.header.slots)
        )
        return tuple(
            replace(slot, given_name=name.name, role=name.role)
            for slot, name in zip(slots, names, strict=True)
        )

    def add(self, key: KeyProvider, *, name: str = "", role: KeyRole | str = KeyRole.NONE) -> AddedKey:
        """Add a key that opens the gallery. The earlier keys still open it.

        Args:
            key: The key.
            name: Name of the key, 0..64 bytes of UTF-8 without control characters, unique in the gallery.
            role: Purpose of the key, `owner`, `device` or `recovery`; it neither strengthens nor weakens the key.

        Returns:
            The new slot, and the slots of lower level. While there are any, a stronger key protects nothing.

        Raises:
            InputError: the key is a passphrase that is easy to guess, all passphrase slots together would need too much
                Argon2id work, or the name or role is malformed or the name taken.
            GalleryError: the gallery has 8 keys already, or the key's secret is not available.
        """
        given = KeyName(checked_text(name, "the name of a key", min_bytes=0), _role(role))
        return self._session.retry(lambda: self._add(key, given))

    def rename(self, slot: int, *, name: str | None = None, role: KeyRole | str | None = None) -> KeySlot:
        """Give a key another name or role.

        Args:
            slot: Number of the slot.
            name: New name, see `add`; an empty text removes it, None keeps it.
            role: New role, see `add`; `none` removes it, None keeps it.

        Returns:
            The slot with its new name and role.

        Raises:
            InputError: no such slot, the name or role is malformed, the name is taken, or neither is given.
        """
        if name is None and role is None:
            raise InputError("expected a name or a role of the key, found neither")
        text = None if name is None else checked_text(name, "the name of a key", min_bytes=0)
        checked_role = None if role is None else _role(role)
        return self._session.retry(lambda: self._rename(slot, text, checked_role))

    def remove(self, slot: int, *, keep: Sequence[KeyProvider] = ()) -> None:
        """Remove a key. Neither the key nor any slot key that its holder may have read opens a later generation.

        Every other slot gets a new slot key, which needs the secret of its key. A holder of the removed key who can
        write the gallery's folder can still put a gallery of the old key epoch in place; `rotate` to new secrets prevents that.

        Args:
            slot: Number of the slot to remove; not the one in use.
            keep: A key for each other slot except the one in use.

        Raises:
            InputError: no such slot, the slot in use, or a slot whose key also opens another slot.
            GalleryError: no key is given for a slot that is kept.
        """
        self._session.retry(lambda: self._remove(slot, keep))

    def rotate(self, *keys: KeyProvider) -> None:
        """Replace all keys of the gallery; keys that can make a new secret do so. The new keys have no names and roles.

        Args:
            keys: 1 to 8 keys; the first one is the key in use afterwards.

        Raises:
            InputError: no key, too many keys, or a key whose secret opens the gallery now and would still open it.
            GalleryError: a key's secret is not available.
        """
        if not 1 <= len(keys) <= MAX_SLOTS:
            raise InputError(f"expected 1 to {MAX_SLOTS} keys, found {len(keys)}")
        for key in keys:
            if key.slot_type in _ONE_SECRET and opens(self._session, key):
                raise InputError(
                    f"expected new keys, found a {key.name} that opens the gallery now", hint="give a new key"
                )
        self._session.retry(lambda: self._rotate(keys))

    def renew_transform(self) -> None:
        """Give the templates a new transform key, so that they cannot be linked to templates in older copies.

        The templates are rotated back, rotated with the new key and quantized again. Use it after a leak, not regularly:
        int8 templates lose some accuracy each time. The worst of 50 templates of 512 numbers had a distance (1 - cosine)
        of 4.5e-5 from its embedding at first, 7.2e-5 after one renewal and 2.3e-4 after five.

        Raises:
            GalleryError: the gallery has no transform.
        """
        self._session.retry(self._renew_transform)

    @property
    def missing_anchor(self) -> str:
        """Kind of the anchor that the gallery has if it was opened without one; otherwise empty."""
        return self._session.missing_anchor

    def reanchor(self) -> None:
        """Continue with this copy of the gallery although its anchor has seen a newer one, or was lost.

        The gallery is committed as newer than every generation the anchor has seen, so all other copies are refused.
        Changes made after this copy (enrolments, revocations) are lost, so only the owner should decide this. If the
        anchor is another one than before, also of another kind, the gallery seals its identity.

        Raises:
            InputError: the gallery was opened without an anchor.
        """
        session = self._session
        anchor, header, content = session.environment.anchor, session.header, session.content
        if isinstance(anchor, NoAnchor):
            raise InputError("expected an anchor, found none")
        seen = anchor.prepare(header.gallery_id)
        event = AuditEvent("re-anchor", detail=f"from={header.generation},anchor={seen}")
        after = self._content_of_a_new_branch()
        header = replace(header, generation=seen + 1)
        session.commit(content, after, header=header, events=[event], reanchors=True)

    def remove_anchor(self) -> None:
        """Continue without an anchor: from now on the gallery does not notice an old copy that is put back.

        Raises:
            InputError: the gallery has no anchor.
        """
        session = self._session
        content = session.content
        if content.record(ANCHOR_IDENTITY) is None:
            raise InputError("expected a gallery with an anchor to remove, found one without")
        session.environment = replace(session.environment, anchor=NoAnchor())
        after = self._content_of_a_new_branch()
        session.commit(content, after, events=[AuditEvent("remove-anchor")], reanchors=True)

    def _content_of_a_new_branch(self) -> Content:
        """Return the content without command history: no command that was signed for another state is executed."""
        content = self._session.content
        policy = tuple(record for record in content.policy if record.kind != COMMAND_HISTORY)
        return replace(content, committed_at_s=self._session.now_s(), policy=policy)

    def _rename(self, slot: int, name: str | None, role: KeyRole | None) -> KeySlot:
        session, names = self._session, list(key_names_of(self._session))
        if not 0 <= slot < len(names):
            raise InputError(f"expected a slot in 0..{len(names) - 1}, found {slot}")
        others = [other.name for index, other in enumerate(names) if index != slot]
        kept = names[slot]
        names[slot] = KeyName(kept.name if name is None else name, kept.role if role is None else role)
        if names[slot] != kept:
            _require_free(names[slot].name, others)
            detail = f"slot={slot},type={session.header.slots[slot].type},role={names[slot].role.value}"
            after = replace(with_key_names(session.content, names), committed_at_s=session.now_s())
            session.commit(session.content, after, events=[AuditEvent("name-key", detail=detail)])
        return self.slots()[slot]

    def _add(self, key: KeyProvider, given: KeyName) -> AddedKey:
        header, before = self._session.header, self._session.content
        if len(header.slots) == MAX_SLOTS:
            raise GalleryError(
                f"the gallery has {MAX_SLOTS} keys already, the most it can have", hint="remove a key first"
            )
        names = key_names_of(self._session)
        _require_free(given.name, [other.name for other in names])
        environment = self._session.environment
        slot = new_slot(key, environment.random, environment.path)
        header = replace(header, slots=(*header.slots, slot))
        with contextlib.ExitStack() as undo:
            undo.callback(destroy_if_unused, self._session, key, slot)
            check_new_work([key], header.slots)
            slot_key = slot_key_of(key, header, slot)
            self._session.commit(
                before,
                with_key_names(with_slot_keys(before, [*slot_keys_of(before), slot_key]), [*names, given]),
                header=header,
                events=[AuditEvent("add-key", detail=f"type={key.slot_type}")],
            )
            undo.pop_all()
        note_gallery(environment.path, key, header.gallery_id)
        strength = strength_of_key(key, environment.path)
        *earlier, added = self.slots()
        return AddedKey(
            replace(added, level=strength.level, levels=(strength.level,)),
            strength.weakness,
            tuple(other for other in earlier if other.levels and other.levels[-1] < strength.level),
        )

    def _remove(self, slot: int, keep: Sequence[KeyProvider]) -> None:
        session, slots = self._session, self._session.header.slots
        if not 0 <= slot < len(slots):
            raise InputError(f"expected a slot in 0..{len(slots) - 1}, found {slot}")
        if slot == session.slot_index:
            raise InputError(
                f"slot {slot} is the one that opened the gallery", hint="open it with another key first"
            )
        # The slot in use comes first, because the commit is read back through slot 0.
        kept = [index for index in slots_in_use_first(session) if index != slot]
        slot_keys = slot_keys_of(session.content)
        same_key = [index for index in kept if hmac.compare_digest(slot_keys[index], slot_keys[slot])]
        if same_key:
            raise InputError(
                f"slot {slot} has the same key as slot {same_key[0]}, which would still open the gallery",
                hint="replace all keys with edge-sdk gallery rotate-key",
            )
        pairs = [(key_of_slot(session, index, keep), slots[index]) for index in kept]
        event = AuditEvent("remove-key", detail=f"slot={slot},type={slots[slot].type}")
        names = key_names_of(session)
        reseal(session, pairs, with_key_names(session.content, [names[index] for index in kept]), [event])
        destroy_after_commit(session, [slots[slot]], keep)

    def _rotate(self, keys: Sequence[KeyProvider]) -> None:
        old = self._session.header.slots
        events = [AuditEvent("rotate-key", detail=f"keys={len(keys)}")]
        start_epoch(self._session, keys, self._session.content, events)
        destroy_after_commit(self._session, old, keys)

    def _renew_transform(self) -> None:
        session = self._session
        before, header = session.content, session.header
        rotation = rotation_of(header, before)
        if rotation is None:
            raise GalleryError(
                "the gallery was created without a transform", hint="make a new gallery and enrol again"
            )
        key = session.environment.random(sealing.KEY_BYTES)
        unit: Float64Array = before.matrix.astype(np.float64) * before.scales[:, np.newaxis]
        rows = Shp3.from_key(key, header.dimension).apply(rotation.invert(unit))
        matrix, templates = before.matrix, before.templates
        if len(rows):
            matrix, scales = quantize(rows, header.template_type)
            templates = templates.astype(TEMPLATE)
            templates["scale"] = scales
        after = replace(
            with_record(before, PolicyRecord(TRANSFORM_KEY, critical=True, value=key)),
            matrix=matrix,
            templates=templates,
            committed_at_s=session.now_s(),
        )
        session.commit(before, after, events=[AuditEvent("renew-transform")])


def _role(role: KeyRole | str) -> KeyRole:
    try:
        return KeyRole(role)
    except ValueError as error:
        roles = ", ".join(known.value for known in KeyRole)
        raise InputError(f"expected the role of a key, one of {roles}, found {role!r}") from error


def _require_free(name: str, others: Sequence[str]) -> None:
    if name and name in others:
        raise InputError(f"expected a name that no other key has, found {name!r}", hint="choose another name")


def _slot_not_in_use(index: int, slot_type: int) -> KeySlot:
    name, levels = slot_kind(slot_type)
    return KeySlot(
        index, slot_type, name, levels[0] if len(levels) == 1 else None, in_use=False, levels=levels
    )
