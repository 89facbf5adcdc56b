"""Anchors: memory outside the gallery of its newest generation, to detect an old copy that was put back.

The file is written before the anchor, so after a power cut a gallery may be one generation ahead of its anchor,
never behind. An anchor never goes back: a gallery restored from a backup is committed again with a generation that
is higher than any the anchor has seen. The gallery seals the identity of its anchor, so another anchor is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final, Protocol

from edge_sdk.errors import GalleryError, InputError, RollbackError
from edge_sdk.gallery.format.content import ANCHOR_IDENTITY, Content, PolicyRecord
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import FileSystem, PosixFileSystem, checked_path, put_in_place, staged

_LINE = re.compile(rb"edge-sdk anchor 1 ([0-9a-f]{32}) ([1-9][0-9]{0,19})\n")
_MAX_BYTES = 128
MAX_STEPS = 1000
# First byte of an identity; anchors of other distributions use 128..255.
FILE_KIND, TPM_KIND = b"\x01", b"\x02"
_KIND_NAMES = {FILE_KIND: "a file", TPM_KIND: "a TPM counter"}


class Anchor(Protocol):
    """Remembers the highest generation of one gallery; called under the gallery's lock."""

    @property
    def kind(self) -> str:
        """Name and strength of the anchor, for a person."""

    def identity(self, gallery_id: bytes) -> bytes:
        """Return the bytes that the gallery seals to recognize its anchor: a kind in 1..255, then up to 255 bytes.

        Raises:
            GalleryError: the anchor cannot be read.
        """

    def read(self, gallery_id: bytes) -> int | None:
        """Return the stored generation; 0 if none is stored yet, None if the anchor never stores any.

        Raises:
            GalleryError: the anchor cannot be read, or belongs to another gallery.
        """

    def prepare(self, gallery_id: bytes) -> int:
        """Reserve the anchor and return its generation; the gallery's next generation must be higher."""

    def abandon(self, gallery_id: bytes) -> None:
        """Release the anchor reserved by `prepare` because creating the gallery failed."""

    def staged(self, gallery_id: bytes, generation: int) -> AbstractContextManager[None]:
        """Do the part of `advance` that can fail, for a block that replaces the gallery's file and calls `advance`."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Store a higher generation durably; ignore a lower one."""


class NoAnchor:
    """An anchor that stores nothing: an old copy of the gallery is accepted."""

    kind: Final = "none (an old copy is not noticed)"

    def identity(self, gallery_id: bytes) -> bytes:
        """Return no bytes."""
        return b""

    def read(self, gallery_id: bytes) -> int | None:
        """Return None."""
        return None

    def prepare(self, gallery_id: bytes) -> int:
        """Return 0: any generation is accepted."""
        return 0

    def abandon(self, gallery_id: bytes) -> None:
        """Do nothing."""

    def staged(self, gallery_id: bytes, generation: int) -> AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Do nothing."""


class FileAnchor:
    """An anchor in a small file, preferably on another medium than the gallery.

    Weak: someone who can put an old gallery back can often put an old anchor file back as well.

    Args:
        path: The anchor file; written when the gallery is created.
        filesystem: The file system; by default the device's own.
    """

    kind: Final = "file (weak: an old gallery put back with its old anchor is not noticed)"

    def __init__(self, path: str | os.PathLike[str], *, filesystem: FileSystem | None = None) -> None:
        self._path = checked_path(path)
        self._files: FileSystem = filesystem or PosixFileSystem()
        self._staged = b""

    def __repr__(self) -> str:
        return f"FileAnchor({str(self._path)!r})"

    def identity(self, gallery_id: bytes) -> bytes:
        """Return the kind only: the file itself contains the gallery's id."""
        return FILE_KIND

    def read(self, gallery_id: bytes) -> int | None:
        """Return the generation; 0 for a missing file, so that only a gallery of generation 1 opens."""
        try:
            data = self._files.read(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise GalleryError(
                f"cannot read the anchor {self._path}: {getattr(error, 'strerror', None) or error}",
                hint="put the anchor file back in its place; if it is lost, edge-sdk gallery re-anchor with a new one",
            ) from error
        match = _LINE.fullmatch(data)
        if match is None:
            raise GalleryError(
                f"{self._path} is not an anchor file",
                hint="give the anchor that the gallery was created with",
            )
        if bytes.fromhex(match[1].decode()) != gallery_id:
            raise GalleryError(
                f"{self._path} is the anchor of another gallery", hint="use one anchor file per gallery"
            )
        return int(match[2])

    def prepare(self, gallery_id: bytes) -> int:
        """Return the generation; the file is written at the first `advance`."""
        return self.read(gallery_id) or 0

    def abandon(self, gallery_id: bytes) -> None:
        """Remove the file, which may exist without having been synced."""
        with contextlib.suppress(OSError):
            self._files.unlink(self._path)

    @contextmanager
    def staged(self, gallery_id: bytes, generation: int) -> Iterator[None]:
        """Write the new content next to the file, so that a full medium is noticed before the gallery changes."""
        line = _line(gallery_id, generation)
        with staged(self._files, self._path, line):
            self._staged = line
            try:
                yield
            finally:
                self._staged = b""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Write a higher generation to the file."""
        if generation <= (self.read(gallery_id) or 0):
            return
        if self._staged == _line(gallery_id, generation):
            put_in_place(self._files, self._path)
        else:
            with self.staged(gallery_id, generation):
                put_in_place(self._files, self._path)


class TpmCounter:
    """An anchor in a monotonic counter of a TPM 2.0, used through tpm2-tools; its value is the generation.

    Strong: no command of the TPM decreases a counter, and a counter that is deleted and defined again starts above the
    highest value that any counter of this TPM ever had. Before each use the index is checked to be such a counter, and
    the gallery seals its name. The owner of the TPM can increase the counter or delete it, which makes the gallery
    refuse to open. Each commit writes NV memory once.

    Args:
        index: NV index of the counter, 0x01000000..0x01bfffff; one per gallery.
    """

    kind: Final = "TPM 2.0 counter (no software can decrease it)"

    def __init__(self, index: int) -> None:
        if not tpm_nv.is_index(index):
            raise InputError(f"expected an NV index in 0x01000000..0x01bfffff, found {index:#x}")
        self._index = index

    def __repr__(self) -> str:
        return f"TpmCounter({self._index:#010x})"

    def identity(self, gallery_id: bytes) -> bytes:
        """Return the kind and the counter's name, a digest of its index, type, attributes, policy and size.

        Raises:
            GalleryError: the index is not defined or not a counter, or the TPM fails.
        """
        return TPM_KIND + tpm_nv.counter_name(self._index)

    def read(self, gallery_id: bytes) -> int | None:
        """Return the counter's value; 0 if it is not defined.

        Raises:
            GalleryError: the index is not a counter, or the TPM fails.
        """
        return tpm_nv.read_counter(self._index) if self._index in tpm_nv.indices() else 0

    def prepare(self, gallery_id: bytes) -> int:
        """Define the counter if necessary and return its value, which may start at any number."""
        if self._index not in tpm_nv.indices():
            tpm_nv.define_counter(self._index)
        return tpm_nv.start_counter(self._index)

    def abandon(self, gallery_id: bytes) -> None:
        """Remove the counter from the TPM."""
        tpm_nv.undefine(self._index)

    @contextmanager
    def staged(self, gallery_id: bytes, generation: int) -> Iterator[None]:
        """Check that the counter can be read and is not too far behind."""
        self._steps_to(generation)
        yield

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Increment the counter up to a generation.

        Raises:
            GalleryError: the counter is over 1,000 steps behind, or the TPM refuses.
        """
        for _ in range(self._steps_to(generation)):
            tpm_nv.increment(self._index)

    def _steps_to(self, generation: int) -> int:
        behind = generation - tpm_nv.read_counter(self._index)
        if behind > MAX_STEPS:
            raise GalleryError(
                f"the TPM counter {self._index:#x} is {behind} steps behind, at most {MAX_STEPS} are allowed",
                hint="each step wears out the TPM; make a new gallery with a new counter",
            )
        return behind


def must_advance(generation: int, anchored: int | None) -> bool:
    """Compare a gallery's generation with its anchor's; pure.

    Returns:
        True if the anchor is one generation behind, after a power cut between writing file and anchor.

    Raises:
        RollbackError: the gallery is older than the anchor, or more than one generation ahead of it.
    """
    if anchored is None or generation == anchored:
        return False
    if generation == anchored + 1:
        return True
    if generation < anchored:
        raise RollbackError(
            f"the gallery is generation {generation}, its anchor has seen {anchored}: an old copy was put back",
            hint="put the newest gallery back; to continue with this one, edge-sdk gallery re-anchor",
        )
    raise RollbackError(
        f"the gallery is generation {generation}, its anchor has only seen {anchored}: the anchor was lost or put back",
        hint="put the right anchor back; if it is lost, or changes were made without it, edge-sdk gallery re-anchor",
    )


def require_identity(sealed: bytes | None, identity: bytes) -> None:
    """Compare the identity of the anchor in use with the sealed one; pure.

    Args:
        sealed: The sealed identity; None accepts every anchor, for a gallery that has not sealed one yet.
        identity: The identity of the anchor in use.

    Raises:
        RollbackError: the anchor is of another kind, or another one of the same kind.
    """
    if sealed is None or sealed == identity:
        return
    expected, present = kind_name(sealed), kind_name(identity)
    difference = f"found {present}" if expected != present else "found another one"
    raise RollbackError(
        f"the gallery is anchored in {expected}, {difference}: the anchor was replaced",
        hint="give the anchor that the gallery was created with; to continue with this one, edge-sdk gallery re-anchor",
    )


def kind_name(identity: bytes) -> str:
    """Name the kind of an anchor from its identity."""
    return _KIND_NAMES.get(identity[:1], f"an anchor of kind {identity[0]}" if identity else "no anchor")


def with_anchor(content: Content, identity: bytes) -> Content:
    """Return the content with the identity of its anchor; without one if the identity is empty."""
    if (content.record(ANCHOR_IDENTITY) or b"") == identity:
        return content
    others = [record for record in content.policy if record.kind != ANCHOR_IDENTITY]
    added = [PolicyRecord(ANCHOR_IDENTITY, critical=True, value=identity)] if identity else []
    return replace(content, policy=tuple(sorted([*others, *added], key=lambda record: record.kind)))


def _line(gallery_id: bytes, generation: int) -> bytes:
    return f"edge-sdk anchor 1 {gallery_id.hex()} {generation}\n".encode()
