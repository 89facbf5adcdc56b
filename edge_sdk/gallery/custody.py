"""What the gallery's owner does with it besides enrolling: its keys, its transform, erasure, the audit log.

A part of `Gallery`; no probe is compared here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.counter import counter_path
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import SLOT_KEYS, TEMPLATE, TRANSFORM_KEY, Content, PolicyRecord
from edge_sdk.gallery.format.header import MAX_SLOTS, WRAPPED_BYTES, Slot
from edge_sdk.gallery.keys import (
    SLOT_IN_MEMORY,
    SLOT_KEY_FILE,
    SLOT_TPM_NV,
    ErasableKey,
    KeyProvider,
    TpmKey,
    slot_kind,
)
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.match.transform import Shp3
from edge_sdk.gallery.opened import Opened
from edge_sdk.gallery.results import ErasureReceipt, KeySlot
from edge_sdk.gallery.store.anchor import NoAnchor
from edge_sdk.gallery.store.audit_events import changes
from edge_sdk.gallery.store.audit_log import AuditEvent, AuditReport
from edge_sdk.gallery.store.files import audit_path, lock_path, read_head, tmp_path
from edge_sdk.gallery.store.sealed_file import slot_keys_of
from edge_sdk.types import Float64Array

# Kinds of key whose secret is one and the same for every slot, and that can be made anew.
_RENEWABLE = (SLOT_KEY_FILE, SLOT_IN_MEMORY)
_LENGTH_TOLERANCE = 1e-5
_NOT_PROVABLE = "logically erased, not provably: old blocks of the medium may survive, and "
_ABSENT = _NOT_PROVABLE + "a key that was not at hand still opens an old copy"
_SAME_SECRET = _NOT_PROVABLE + "the key that opened them exists still"
_PROVABLE = "the secrets that opened every older copy are destroyed in the TPM"


class Custody(Opened):
    """An open gallery, as its owner looks after it."""

    def key_slots(self) -> tuple[KeySlot, ...]:
        """The ways to open the gallery."""
        here, key = self._vault.slot_index, self._vault.key
        return tuple(
            KeySlot(index, slot.type, key.name, key.level, in_use=True)
            if index == here
            else KeySlot(index, slot.type, *slot_kind(slot.type), in_use=False)
            for index, slot in enumerate(self._vault.header.slots)
        )

    def add_key(self, key: KeyProvider) -> None:
        """Let one more key open the gallery.

        Raises:
            GalleryError: 8 keys open it already, or the key cannot be had.
        """

        def added() -> None:
            header, before = self._vault.header, self._vault.content
            if len(header.slots) == MAX_SLOTS:
                raise GalleryError(
                    f"{MAX_SLOTS} keys open the gallery already, more do not fit", hint="remove one first"
                )
            slot = _new_slot(key, self._vault.places.random)
            try:
                slot_key = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
                self._commit(
                    before,
                    _with_slot_keys(before, [*slot_keys_of(before), slot_key]),
                    header=replace(header, slots=(*header.slots, slot)),
                    events=[AuditEvent("add-key", detail=f"type={key.slot_type}")],
                )
            except GalleryError:
                self._forget_unused(key, [slot])
                raise

        self._repeated(added)

    def remove_key(self, slot: int, *, keep: Sequence[KeyProvider] = ()) -> None:
        """Take one key away: it opens no later generation, nor does anything its holder could have seen inside.

        Every other slot gets a new slot key, which needs its secret. Who has seen the gallery open and can write its
        folder can still write one of the old epoch: `rotate_key` to new secrets shuts them out.

        Args:
            slot: Index of the slot to take away; not the one in use.
            keep: A key for each other slot besides the one in use.

        Raises:
            InputError: no such slot, the one in use, or one whose key has another slot.
            GalleryError: no key at hand for a slot that stays.
        """

        def removed() -> None:
            header = self._vault.header
            if not 0 <= slot < len(header.slots):
                raise InputError(f"expected a slot in 0..{len(header.slots) - 1}, found {slot}")
            if slot == self._vault.slot_index:
                raise InputError(
                    f"slot {slot} is the one that opened the gallery", hint="open it with another key first"
                )
            # The slot in use first: through it the commit is read back.
            order = sorted(range(len(header.slots)), key=lambda index: index != self._vault.slot_index)
            stays = [index for index in order if index != slot]
            slot_keys = slot_keys_of(self._vault.content)
            twins = [index for index in stays if hmac.compare_digest(slot_keys[index], slot_keys[slot])]
            if twins:
                raise InputError(
                    f"slot {slot} has the same key as slot {twins[0]}, and would go on opening the gallery",
                    hint="edge-sdk gallery rotate-key, to the keys that are to open it",
                )
            pairs = [(self._key_for(index, keep), header.slots[index]) for index in stays]
            gone = header.slots[slot]
            self._reseal(pairs, [AuditEvent("remove-key", detail=f"slot={slot},type={gone.type}")])
            self._forget([gone], keep)

        self._repeated(removed)

    def rotate_key(self, *keys: KeyProvider) -> None:
        """From now on these keys open the gallery, no other; every one that can makes a new secret.

        Args:
            keys: 1 to 8; the first one stays in use.

        Raises:
            InputError: no key, too many, or one whose secret opens the gallery now and would go on doing so.
            GalleryError: a key cannot be had.
        """
        if not 1 <= len(keys) <= MAX_SLOTS:
            raise InputError(f"expected 1 to {MAX_SLOTS} keys, found {len(keys)}")
        for key in keys:
            if key.slot_type in _RENEWABLE and self._opens(key):
                raise InputError(f"this {key.name} opens the gallery now", hint="a rotation needs a new key")

        def rotated() -> None:
            old = self._vault.header.slots
            events = [AuditEvent("rotate-key", detail=f"keys={len(keys)}")]
            self._reseal_anew(keys, self._vault.content, events)
            self._forget(old, keys)

        self._repeated(rotated)

    def renew_transform(self) -> None:
        """Give the templates a new transform key, so that they are unrelated to those of every older copy.

        They are turned back, turned anew and quantized once more. int8 loses a little each time: of 50 templates of
        512 numbers the worst lies 4.5e-5 from its embedding (1 - cosine), 7.2e-5 after one renewal and 2.3e-4 after
        five (tests/unit/edge_sdk/gallery/test_custody.py, costs). So it is for a leak, not for a schedule.

        Raises:
            GalleryError: the gallery has no transform.
        """

        def renewed() -> None:
            vault = self._vault
            old, header = vault.content, vault.header
            rotation = rotation_of(header, old)
            if rotation is None:
                raise GalleryError(
                    "the gallery was made without a transform", hint="make a new one and enrol"
                )
            key = vault.places.random(sealing.KEY_BYTES)
            unit: Float64Array = old.matrix.astype(np.float64) * old.scales[:, np.newaxis]
            rows = Shp3.from_key(key, header.dimension).apply(rotation.invert(unit))
            matrix, templates = old.matrix, old.templates
            if len(rows):
                matrix, scales = quantize(rows, header.template_type)
                templates = templates.astype(TEMPLATE)
                templates["scale"] = scales
            record = PolicyRecord(TRANSFORM_KEY, critical=True, value=key)
            after = replace(
                _with_record(old, record),
                matrix=matrix,
                templates=templates,
                committed_at_s=int(vault.places.clock()),
            )
            self._commit(old, after, events=[AuditEvent("renew-transform")])

        self._repeated(renewed)

    def erase(self, *subjects: str, keys: Sequence[KeyProvider] = ()) -> ErasureReceipt:
        """Take subjects out, shut older copies away as far as the keys allow, and say how far that is.

        Args:
            subjects: Names, one or more.
            keys: A key for each slot besides the one in use; with all of them a new key epoch begins.

        Raises:
            InputError: no name.
            SubjectUnknownError: one of them is not enrolled; nobody is erased.
        """
        if not subjects:
            raise InputError("expected the name of someone to erase, found none")
        return self._repeated(lambda: self._erase(subjects, keys))

    def _erase(
        self,
        subjects: Sequence[str],
        keys: Sequence[KeyProvider],
        amend: Callable[[Content], Content] = lambda content: content,
    ) -> ErasureReceipt:
        before, slots = self._vault.content, self._vault.header.slots
        transaction = self._transaction()
        for subject in subjects:
            transaction.remove(subject)
        after = amend(transaction.apply())
        events = [
            replace(event, event="erase") if event.event == "remove" else event
            for event in changes(before, after)
        ]
        providers = self._providers(keys)
        provable, statement = False, _ABSENT
        if providers is None:
            self._commit(before, after, events=events)
        else:
            self._reseal_anew(providers, after, events)
            try:
                provable = self._forget(slots, providers)
                statement = _PROVABLE if provable else _SAME_SECRET
                left = self._unclaimed(providers)
                if provable and left:
                    provable, statement = False, f"{_NOT_PROVABLE}{left}"
            except GalleryError as error:
                # The subjects are gone all the same; a receipt must not be lost over it.
                statement = f"{_SAME_SECRET}: {error}"
        vault = self._vault
        return ErasureReceipt(
            subjects=tuple(e.subject for e in events if e.event == "erase" and e.subject),
            count=len(before.subjects) - len(after.subjects),
            generation=vault.header.generation,
            key_epoch=vault.header.key_epoch,
            erased_at_s=vault.content.committed_at_s,
            provable=provable,
            statement=statement,
        )

    def reanchor(self) -> None:
        """Go on from this gallery although its anchor has seen a newer one, or has lost count.

        It is committed as newer than all the anchor ever saw: every other copy is refused from then on, and
        what was changed since this copy was made (enrolments, revocations) is lost. For the owner to decide.

        Raises:
            InputError: there is no anchor.
        """
        vault = self._vault
        if isinstance(vault.places.anchor, NoAnchor):
            raise InputError("expected an anchor to go on with, found none")
        header, content = vault.header, vault.content
        seen = vault.places.anchor.prepare(header.gallery_id)
        event = AuditEvent("re-anchor", detail=f"from={header.generation},anchor={seen}")
        now = replace(content, committed_at_s=int(vault.places.clock()))
        self._commit(content, now, header=replace(header, generation=seen + 1), events=[event])

    def problems(self) -> tuple[str, ...]:
        """What is wrong with a gallery that opens: its templates, its audit log, the modes of its files, what lies in a TPM.

        Raises:
            GalleryError: a file cannot be read.
        """
        vault = self._vault
        content, path = vault.content, vault.places.path
        found = []
        lengths = np.linalg.norm(content.matrix.astype(np.float64), axis=1) * content.scales
        odd = int(np.count_nonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE))
        if odd:
            found.append(f"{odd} templates have a scale that is not one over their length")
        if content.audit.entries:
            found += self.audit().problems()
        for file in (path, audit_path(path), lock_path(path), counter_path(path)):
            mode = vault.places.files.mode(file)
            if mode is not None and mode & 0o077:
                found.append(f"{file} has mode {mode:04o}, expected 0600")
        left = self._unclaimed([vault.key])
        if left:
            found.append(left)
        if vault.places.files.mode(tmp_path(path)) is not None:
            found.append(f"{tmp_path(path)} was left by a crash; the next change removes it")
        return tuple(found)

    def audit(self) -> AuditReport:
        """Read the audit log and check it against what the gallery has sealed.

        Raises:
            GalleryError: the log cannot be read, or the gallery keeps none.
        """
        report = self._vault.audit_report()
        self._take_over()
        return report

    def _reseal_anew(self, keys: Sequence[KeyProvider], after: Content, events: Sequence[AuditEvent]) -> None:
        """A new epoch with new slots for these keys; where that fails, their new secrets are destroyed again."""
        slots: list[Slot] = []
        try:
            slots.extend(_new_slot(key, self._vault.places.random) for key in keys)
            self._reseal(list(zip(keys, slots, strict=True)), events, after)
        except GalleryError:
            for key, slot in zip(keys, slots, strict=False):
                self._forget_unused(key, [slot])
            raise

    def _reseal(
        self,
        pairs: Sequence[tuple[KeyProvider, Slot]],
        events: Sequence[AuditEvent],
        after: Content | None = None,
    ) -> None:
        """A new epoch with these slots, the first one in use."""
        vault = self._vault
        before = vault.content
        header = replace(
            vault.header, key_epoch=vault.header.key_epoch + 1, slots=tuple(slot for _, slot in pairs)
        )
        slot_keys = [
            sealing.derive_slot_key(key.secret(slot.parameters), header, slot) for key, slot in pairs
        ]
        content = _with_slot_keys(after or before, slot_keys)
        content = replace(content, committed_at_s=int(vault.places.clock()))
        self._commit(before, content, header=header, key=pairs[0][0], events=events)

    def _providers(self, keys: Sequence[KeyProvider]) -> list[KeyProvider] | None:
        """A key for every slot, the one in use first; None where one is not at hand."""
        here = self._vault.slot_index
        order = sorted(range(len(self._vault.header.slots)), key=lambda index: index != here)
        try:
            return [self._key_for(index, keys) for index in order]
        except GalleryError:
            return None

    def _key_for(self, index: int, keys: Sequence[KeyProvider]) -> KeyProvider:
        """The key that opens a slot."""
        slot = self._vault.header.slots[index]
        if index == self._vault.slot_index:
            return self._vault.key
        for key in keys:
            if self._opens(key, index):
                return key
        raise GalleryError(
            f"no key at hand for slot {index} ({slot_kind(slot.type)[0]}), which is to stay",
            hint="give every key that stays (--other-key), or take that slot away as well",
        )

    def _opens(self, key: KeyProvider, index: int | None = None) -> bool:
        """Whether a key opens a slot; any slot where none is named."""
        header, slot_keys = self._vault.header, slot_keys_of(self._vault.content)
        for number, slot in enumerate(header.slots):
            if slot.type == key.slot_type and index in (None, number):
                found = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
                if hmac.compare_digest(found, slot_keys[number]):
                    return True
        return False

    def _forget(self, slots: Sequence[Slot], keys: Sequence[KeyProvider]) -> bool:
        """Destroy the secrets of slots that are out of use; whether every one was destroyed."""
        erasable = [key for key in (*keys, self._vault.key) if isinstance(key, ErasableKey)]
        done = True
        for slot in slots:
            forgetter = next((key for key in erasable if key.slot_type == slot.type), None)
            if forgetter is None and slot.type == SLOT_TPM_NV:
                forgetter = TpmKey()
            if forgetter is None:
                done = False
            else:
                forgetter.forget(slot.parameters)
        return done

    def _unclaimed(self, keys: Sequence[KeyProvider]) -> str:
        """What a TPM holds besides the slots' secrets, in words; empty where nothing is."""
        slots = [slot.parameters for slot in self._vault.header.slots if slot.type == SLOT_TPM_NV]
        indices = {index for key in keys if isinstance(key, TpmKey) for index in key.unclaimed(slots)}
        if not indices:
            return ""
        names = ", ".join(f"{index:#x}" for index in sorted(indices))
        return (
            f"the TPM holds {names}, which no key of this gallery uses: another gallery's, or a secret that a crash left and "
            "that opens an older copy; if it is no other gallery's, tpm2_nvundefine -C o takes it away"
        )

    def _forget_unused(self, key: KeyProvider, slots: Sequence[Slot]) -> None:
        """After an error: destroy new secrets, unless the file on the disk needs them already."""
        places = self._vault.places
        if isinstance(key, ErasableKey):
            head = read_head(places.files, places.path)
            for slot in slots:
                if slot.parameters not in head:
                    key.forget(slot.parameters)


def _new_slot(key: KeyProvider, random: Callable[[int], bytes]) -> Slot:
    return Slot(key.slot_type, key.new_parameters(random), bytes(WRAPPED_BYTES))


def _with_slot_keys(content: Content, slot_keys: Sequence[bytes]) -> Content:
    return _with_record(content, PolicyRecord(SLOT_KEYS, critical=True, value=b"".join(slot_keys)))


def _with_record(content: Content, record: PolicyRecord) -> Content:
    others = [other for other in content.policy if other.kind != record.kind]
    return replace(content, policy=tuple(sorted([*others, record], key=lambda record: record.kind)))
