"""One open gallery file and the key that opens it: make, open, follow other processes, commit.

A vault knows what the bytes of a gallery are and nothing of what its templates mean; who is recognized is
`recognition`'s. Everything is replaced at once: header and content of a vault always belong together.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_sdk.errors import GalleryChangedError, GalleryError, ModelMismatchError, RollbackError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import AuditHead, Content
from edge_sdk.gallery.format.header import Header, pack_header, parse_header
from edge_sdk.gallery.keys import ErasableKey, KeyProvider
from edge_sdk.gallery.store import audit_log as audit
from edge_sdk.gallery.store.anchor import Anchor, NoAnchor
from edge_sdk.gallery.store.audit_events import changes
from edge_sdk.gallery.store.files import FileSystem, PosixFileSystem, audit_path, lock_path, locked, read_head
from edge_sdk.gallery.store.sealed_file import (
    Places,
    believable,
    check_absent,
    commit,
    judge,
    open_content,
    read,
    slot_keys_of,
    unlock,
)

MAX_GENERATION = (1 << 63) - 1  # what an entry of the audit log can say


def places_of(
    path: str | os.PathLike[str],
    *,
    anchor: Anchor | None = None,
    filesystem: FileSystem | None = None,
    random: Callable[[int], bytes] = os.urandom,
    clock: Callable[[], float] = time.time,
) -> Places:
    """What a gallery touches outside itself, the real thing where nothing is said."""
    return Places(
        Path(path), filesystem or PosixFileSystem(), anchor or NoAnchor(), random, believable(clock)
    )


@dataclass(frozen=True)
class OpenSlot:
    """The slot through which a gallery was opened.

    Attributes:
        index: Which one.
        slot_key: Its key-encryption key, never shown.
    """

    index: int
    slot_key: bytes = field(repr=False)


class Vault:
    """An open gallery file.

    Attributes:
        places: What it touches.
        key: What opened it.
    """

    def __init__(
        self, places: Places, key: KeyProvider, head: bytes, content: Content, *, slot: OpenSlot
    ) -> None:
        self.places = places
        self.key = key
        self._slot = slot
        self._head = head
        self._header = parse_header(head)
        self._content = content
        self._log = audit.AuditLog(places.files, audit_path(places.path))

    @property
    def header(self) -> Header:
        """What the file says in clear; authenticated."""
        return self._header

    @property
    def content(self) -> Content:
        """What the file holds."""
        return self._content

    @property
    def slot_index(self) -> int:
        """Which slot the key opened."""
        return self._slot.index

    @classmethod
    def create(
        cls, places: Places, key: KeyProvider, header: Header, content: Content, *, audited: bool
    ) -> Vault:
        """Put a first generation on the disk; where that fails, nothing is left behind.

        Args:
            places: Where; there must be no file.
            key: What opens slot 0.
            header: With one slot; its generation is set to what the anchor asks for.
            content: With the policy record of its slot key.
            audited: Whether an audit log is kept.

        Raises:
            GalleryError: the path exists or cannot be written, the log of another gallery lies beside it, or the anchor is
                in use or cannot be written.
        """
        slot = OpenSlot(0, slot_keys_of(content)[0])
        log = audit.AuditLog(places.files, audit_path(places.path))
        files, log_path = places.files, audit_path(places.path)
        undo_key = contextlib.ExitStack()
        if isinstance(key, ErasableKey):
            undo_key.callback(_tried, key.forget, header.slots[0].parameters)
        with undo_key, locked(files, places.path), contextlib.ExitStack() as undo:
            check_absent(places)
            left = audit.read_log(files, log_path) if audited else b""
            if audit.tells_of_changes(left):
                raise GalleryError(
                    f"{log_path} is the audit log of a gallery that is not here any more",
                    hint="move the log away and keep it, or put its gallery back; a new gallery begins a log of its own",
                )
            undo.callback(_tried, files.unlink, lock_path(places.path))
            if places.anchor.read(header.gallery_id):
                raise GalleryError("the anchor is in use", hint="each gallery needs an anchor of its own")
            undo.callback(_tried, places.anchor.abandon, header.gallery_id)
            header = _numbered(header, places.anchor.prepare(header.gallery_id) + 1)
            if audited:
                if not left:
                    undo.callback(_tried, files.unlink, log_path)
                head = log.append(
                    [audit.AuditEvent("create", detail=f"gallery={header.gallery_id.hex()}")],
                    AuditHead(key=_first_audit_key(header, content)),
                    now_s=content.committed_at_s,
                    generation=header.generation,
                    commit=True,
                )
                content = replace(content, audit=head)
            undo.callback(_tried, files.unlink, places.path)
            packed, content = commit(places, header, content, slot.index, slot.slot_key)
            undo.pop_all()
            undo_key.pop_all()
        vault = cls(places, key, packed, content, slot=slot)
        vault._log = log
        return vault

    @classmethod
    def open(cls, places: Places, key: KeyProvider, *, model_id: bytes | None, anchored: bool) -> Vault:
        """Open a gallery file; errors as `Gallery.open`.

        Args:
            places: Where.
            key: One of its keys.
            model_id: The model in use, if one is.
            anchored: Whether its generation must fit the anchor.
        """
        file, remembered = read(places) if anchored else read(replace(places, anchor=NoAnchor()))
        header = parse_header(file)
        index, slot_key, data_key = unlock(header, key)
        content = open_content(file, header, data_key, index, slot_key)
        if model_id is not None:
            require_model(header, model_id)
        judge(places, header, remembered)
        return cls(places, key, pack_header(header), content, slot=OpenSlot(index, slot_key))

    def refresh(self) -> bool:
        """Take over what another process committed; whether anything changed. Errors as `Gallery.refresh`."""
        if self._on_disk():
            return False
        file, anchored = read(self.places)
        header = parse_header(file)
        if header.gallery_id != self._header.gallery_id:
            raise GalleryError(f"{self.places.path} is another gallery now", hint="open it again")
        if header.generation <= self._header.generation:
            raise RollbackError(
                f"the gallery went from generation {self._header.generation} to {header.generation}: an old copy was put back"
            )
        if header.key_epoch < self._header.key_epoch:
            raise RollbackError(
                f"the gallery went from key epoch {self._header.key_epoch} to {header.key_epoch}: "
                "it was written with keys from before a rotation",
                hint="if you put a backup into use (re-anchor), open it again; else put the newest gallery back",
            )
        slot, data_key = self._unlocked(header)
        content = open_content(file, header, data_key, slot.index, slot.slot_key)
        judge(self.places, header, anchored)
        self._take(pack_header(header), content, slot)
        return True

    def commit(
        self,
        before: Content,
        after: Content,
        *,
        header: Header | None = None,
        key: KeyProvider | None = None,
        events: Sequence[audit.AuditEvent] | None = None,
        in_step: contextlib.AbstractContextManager[None] | None = None,
    ) -> None:
        """Seal a changed content as the next generation.

        Args:
            before: The content that the change started from.
            after: What replaces it.
            header: What replaces the header, with slots for the slot keys of `after`; its generation is at least
                the next one. Where slots are replaced, slot 0 is the one to read back through.
            key: What opens slot 0 then.
            events: For the audit log; by default what `changes` finds.
            in_step: Entered right before the file is replaced and left right after, under the lock.

        Raises:
            GalleryError: `before` is not what is on the disk any more, or a step of the commit failed.
        """
        slot = self._slot if key is None else OpenSlot(0, slot_keys_of(after)[0])
        following = self._header.generation + 1
        header = header or self._header
        header = _numbered(header, max(header.generation, following))
        said = changes(before, after) if events is None else list(events)
        with locked(self.places.files, self.places.path):
            if before is not self._content or not self._on_disk():
                raise GalleryChangedError(
                    f"{self.places.path} was changed by another process",
                    hint="refresh or open it again, then repeat",
                )
            if before.audit.entries:
                after = replace(after, audit=self._write_log(said, header.generation, commit=True))
            with in_step or contextlib.nullcontext():
                head, content = commit(self.places, header, after, slot.index, slot.slot_key)
        self._take(head, content, slot)
        self.key = key or self.key

    def note(self, *events: audit.AuditEvent) -> None:
        """Write to the audit log what changes nothing in the gallery; nothing where no log is kept.

        Raises:
            GalleryError: it cannot be written.
        """
        if self._content.audit.entries:
            with locked(self.places.files, self.places.path):
                self._write_log(events, self._header.generation, commit=False)

    def audit_report(self) -> audit.AuditReport:
        """Read the audit log and check it against the sealed head.

        Raises:
            GalleryError: it cannot be read, or the gallery has no log.
        """
        while True:
            self.refresh()
            with locked(self.places.files, self.places.path):
                if self._on_disk():
                    log = audit.read_log(self.places.files, audit_path(self.places.path))
                    break
        if not self._content.audit.entries:
            raise GalleryError("this gallery keeps no audit log", hint="it was made without one")
        first = _first_audit_key(self._header, self._content)
        return audit.check_log(log, self._content.audit, first, generation=self._header.generation)

    def _write_log(self, events: Sequence[audit.AuditEvent], generation: int, *, commit: bool) -> AuditHead:
        return self._log.append(
            events or [audit.AuditEvent("commit")],
            self._content.audit,
            now_s=int(self.places.clock()),
            generation=generation,
            commit=commit,
        )

    def _unlocked(self, header: Header) -> tuple[OpenSlot, bytes]:
        """The slot to go on with, and the data key; with the same slot key while the epoch is the same."""
        slot = self._slot
        if header.key_epoch == self._header.key_epoch and slot.index < len(header.slots):
            return slot, sealing.unwrap(header, header.slots[slot.index], slot.slot_key)
        try:
            index, slot_key, data_key = unlock(header, self.key)
        except GalleryError as error:
            raise GalleryError(
                "the gallery's key was changed, and this one opens it no more",
                hint="open it again with the new key",
            ) from error
        return OpenSlot(index, slot_key), data_key

    def _on_disk(self) -> bool:
        return read_head(self.places.files, self.places.path)[: len(self._head)] == self._head

    def _take(self, head: bytes, content: Content, slot: OpenSlot) -> None:
        self._head = head
        self._header = parse_header(head)
        self._content = content
        self._slot = slot


def require_model(header: Header, model_id: bytes) -> None:
    """Refuse a gallery for another model's embeddings.

    Raises:
        ModelMismatchError: It was made for another model.
    """
    if model_id != header.model_id:
        raise ModelMismatchError(
            f"the gallery holds templates of model {header.model_id.hex()[:8]}, "
            f"the model in use is {model_id.hex()[:8]}",
            hint="use the gallery's model, or enrol again with this one",
        )


def _numbered(header: Header, generation: int) -> Header:
    """A header of a generation, checked before anything is written of it."""
    if generation > MAX_GENERATION:
        raise GalleryError(
            f"generation {generation} was asked for, a gallery has at most {MAX_GENERATION}",
            hint="is the anchor the gallery's own? make a new gallery with a new anchor, and enrol again",
        )
    return replace(header, generation=generation)


def _first_audit_key(header: Header, content: Content) -> bytes:
    return sealing.hkdf(content.root_secret, salt=header.gallery_id, info=audit.LABEL)


def _tried(step: Callable[..., None], *arguments: object) -> None:
    """Take away what a failed creation left; what cannot be taken away stays."""
    with contextlib.suppress(OSError, GalleryError):
        step(*arguments)
