"""One open gallery file and the key that opens it: make, open, follow other processes, commit.

A vault knows what the bytes of a gallery are and nothing of what its templates mean; who is recognized is
`recognition`'s. Everything is replaced at once: header and content of a vault always belong together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_sdk.errors import GalleryError, ModelMismatchError, RollbackError
from edge_sdk.gallery import sealing
from edge_sdk.gallery.anchor import Anchor, NoAnchor
from edge_sdk.gallery.content import Content
from edge_sdk.gallery.format import Header, pack_header, parse_header
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.sealed_file import (
    Places,
    check_absent,
    commit,
    judge,
    open_content,
    read,
    slot_keys_of,
    unlock,
)
from edge_sdk.gallery.storage import FileSystem, PosixFileSystem, locked, read_head


def places_of(
    path: str | os.PathLike[str],
    *,
    anchor: Anchor | None = None,
    filesystem: FileSystem | None = None,
    random: Callable[[int], bytes] = os.urandom,
    clock: Callable[[], float] = time.time,
) -> Places:
    """What a gallery touches outside itself, the real thing where nothing is said."""
    return Places(Path(path), filesystem or PosixFileSystem(), anchor or NoAnchor(), random, clock)


class Vault:
    """An open gallery file.

    Attributes:
        places: What it touches.
        key: What opened it.
    """

    def __init__(
        self,
        places: Places,
        key: KeyProvider,
        head: bytes,
        content: Content,
        *,
        slot_index: int,
        slot_key: bytes,
    ) -> None:
        self.places = places
        self.key = key
        self._slot_index = slot_index
        self._slot_key = slot_key
        self._head = head
        self._header = parse_header(head)
        self._content = content

    @property
    def header(self) -> Header:
        """What the file says in clear; authenticated."""
        return self._header

    @property
    def content(self) -> Content:
        """What the file holds."""
        return self._content

    @classmethod
    def create(cls, places: Places, key: KeyProvider, header: Header, content: Content) -> Vault:
        """Put a first generation on the disk.

        Args:
            places: Where; there must be no file.
            key: What opens slot 0.
            header: With one slot.
            content: With the policy record of its slot key.

        Raises:
            GalleryError: the path exists or cannot be written, or the anchor is in use.
        """
        slot_key = slot_keys_of(content)[0]
        with locked(places.files, places.path):
            check_absent(places)
            if places.anchor.read(header.gallery_id):
                raise GalleryError("the anchor is in use", hint="a new gallery needs a new anchor")
            head, content = commit(places, header, content, 0, slot_key)
        return cls(places, key, head, content, slot_index=0, slot_key=slot_key)

    @classmethod
    def open(cls, places: Places, key: KeyProvider, *, model_id: bytes | None) -> Vault:
        """Open a gallery file; errors as `Gallery.open`."""
        file, anchored = read(places)
        header = parse_header(file)
        index, slot_key, data_key = unlock(header, key)
        content = open_content(file, header, data_key, index, slot_key)
        if model_id is not None and model_id != header.model_id:
            raise ModelMismatchError(
                f"the gallery holds templates of model {header.model_id.hex()[:8]}, "
                f"the model in use is {model_id.hex()[:8]}",
                hint="use the gallery's model, or enrol again with this one",
            )
        judge(places, header, anchored)
        return cls(places, key, pack_header(header), content, slot_index=index, slot_key=slot_key)

    def refresh(self) -> bool:
        """Take over what another process committed; whether anything changed. Errors as `Gallery.refresh`."""
        if self._on_disk():
            return False
        file, anchored = read(self.places)
        header = parse_header(file)
        index = self._slot_index
        if header.gallery_id != self._header.gallery_id:
            raise GalleryError(f"{self.places.path} is another gallery now", hint="open it again")
        if header.generation <= self._header.generation:
            raise RollbackError(
                f"the gallery went from generation {self._header.generation} to {header.generation}: an old copy was put back"
            )
        if header.key_epoch != self._header.key_epoch or index >= len(header.slots):
            raise GalleryError("the gallery's key was changed", hint="open it again with the new key")
        data_key = sealing.unwrap(header, header.slots[index], self._slot_key)
        content = open_content(file, header, data_key, index, self._slot_key)
        judge(self.places, header, anchored)
        self._take(pack_header(header), content)
        return True

    def commit(self, before: Content, after: Content) -> None:
        """Seal a changed content as the next generation.

        Args:
            before: The content that the change started from.
            after: What replaces it.

        Raises:
            GalleryError: `before` is not what is on the disk any more, or a step of the commit failed.
        """
        header = replace(self._header, generation=self._header.generation + 1)
        with locked(self.places.files, self.places.path):
            if before is not self._content or not self._on_disk():
                raise GalleryError(
                    f"{self.places.path} was changed by another process",
                    hint="refresh or open it again, then repeat",
                )
            head, content = commit(self.places, header, after, self._slot_index, self._slot_key)
        self._take(head, content)

    def _on_disk(self) -> bool:
        return read_head(self.places.files, self.places.path)[: len(self._head)] == self._head

    def _take(self, head: bytes, content: Content) -> None:
        self._head = head
        self._header = parse_header(head)
        self._content = content
