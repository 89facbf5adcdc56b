"""Memory outside the gallery of how new it must be, so that an old copy put back is noticed.

The file is written first and the anchor second, so a gallery may be one generation ahead of its
anchor after a power cut, never behind. An anchor never goes back: a gallery that is restored from a
backup is committed again, newer than all the anchor has seen.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final, Protocol

from edge_sdk.errors import GalleryError, InputError, RollbackError
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import FileSystem, PosixFileSystem, write_atomically

_LINE = re.compile(rb"edge-sdk anchor 1 ([0-9a-f]{32}) ([1-9][0-9]{0,19})\n")
_MAX_BYTES = 128
MAX_STEPS = 1000


class Anchor(Protocol):
    """Remembers the highest generation of one gallery; called under the gallery's lock."""

    @property
    def kind(self) -> str:
        """What it is and how far it can be believed, for a person."""

    def read(self, gallery_id: bytes) -> int | None:
        """The generation remembered; 0 before the first, None when nothing is ever remembered.

        Raises:
            GalleryError: unreadable, or of another gallery.
        """

    def prepare(self, gallery_id: bytes) -> int:
        """Make it ready to advance, and say what it remembers then; a gallery's next generation is higher."""

    def abandon(self, gallery_id: bytes) -> None:
        """Undo `prepare` for a gallery that did not come to be."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Remember a higher generation, durably; a lower one changes nothing."""


class NoAnchor:
    """Remembers nothing: an old copy of the gallery is accepted."""

    kind: Final = "none (an old copy is not noticed)"

    def read(self, gallery_id: bytes) -> int | None:
        """Nothing."""
        return None

    def prepare(self, gallery_id: bytes) -> int:
        """Nothing to do: any generation will do."""
        return 0

    def abandon(self, gallery_id: bytes) -> None:
        """Do nothing."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Do nothing."""


class FileAnchor:
    """A small file, best on another medium than the gallery's.

    Weak: who can put an old gallery back can often put an old anchor back.

    Args:
        path: The anchor file; made at the gallery's creation.
        filesystem: Where it lies.
    """

    kind: Final = "file (weak: who replaces both goes unnoticed)"

    def __init__(self, path: str | os.PathLike[str], *, filesystem: FileSystem | None = None) -> None:
        self._path = Path(path)
        self._files: FileSystem = filesystem or PosixFileSystem()

    def __repr__(self) -> str:
        return f"FileAnchor({str(self._path)!r})"

    def read(self, gallery_id: bytes) -> int | None:
        """As the seam says; a missing file is 0, which lets a gallery of generation 1 open, no other."""
        try:
            data = self._files.read(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise GalleryError(f"cannot read the anchor {self._path}: {error.strerror or error}") from error
        match = _LINE.fullmatch(data)
        if match is None:
            raise GalleryError(f"{self._path} is not an anchor file")
        if bytes.fromhex(match[1].decode()) != gallery_id:
            raise GalleryError(
                f"{self._path} is the anchor of another gallery", hint="one anchor file per gallery"
            )
        return int(match[2])

    def prepare(self, gallery_id: bytes) -> int:
        """As the seam says; the file is made when it first advances."""
        return self.read(gallery_id) or 0

    def abandon(self, gallery_id: bytes) -> None:
        """As the seam says; the file may have been made and not synced."""
        with contextlib.suppress(OSError):
            self._files.unlink(self._path)

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """As the seam says."""
        if generation > (self.read(gallery_id) or 0):
            line = f"edge-sdk anchor 1 {gallery_id.hex()} {generation}\n"
            write_atomically(self._files, self._path, line.encode())


class TpmCounter:
    """A monotonic counter in a TPM 2.0, through tpm2-tools: the counter is the generation.

    Strong: no software can turn it back, defining it again neither. Whoever owns the TPM can count it
    further, which shuts the gallery and never opens it. Each commit writes NV memory once.

    Args:
        index: NV index of the counter, 0x01000000..0x01bfffff; one per gallery.
    """

    kind: Final = "TPM 2.0 counter (no software turns it back)"

    def __init__(self, index: int) -> None:
        if not tpm_nv.is_index(index):
            raise InputError(f"expected an NV index in 0x01000000..0x01bfffff, found {index:#x}")
        self._index = index

    def __repr__(self) -> str:
        return f"TpmCounter({self._index:#010x})"

    def read(self, gallery_id: bytes) -> int | None:
        """As the seam says; a counter that is not defined is 0."""
        return tpm_nv.read_counter(self._index) if self._index in tpm_nv.indices() else 0

    def prepare(self, gallery_id: bytes) -> int:
        """As the seam says; defines the counter, which may start anywhere."""
        if self._index not in tpm_nv.indices():
            tpm_nv.define_counter(self._index)
        return tpm_nv.read_counter(self._index)

    def abandon(self, gallery_id: bytes) -> None:
        """As the seam says."""
        tpm_nv.undefine(self._index)

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """As the seam says.

        Raises:
            GalleryError: over 1,000 steps behind, or the TPM refuses.
        """
        behind = generation - tpm_nv.read_counter(self._index)
        if behind > MAX_STEPS:
            raise GalleryError(
                f"the TPM counter {self._index:#x} is {behind} steps behind, at most {MAX_STEPS} are counted at once",
                hint="each step wears the TPM; make a new gallery with a new counter",
            )
        for _ in range(behind):
            tpm_nv.increment(self._index)


def must_advance(generation: int, anchored: int | None) -> bool:
    """Judge a gallery's generation against its anchor; pure.

    Returns:
        True where the anchor is one behind (a power cut between file and anchor).

    Raises:
        RollbackError: the gallery is older than the anchor, or more than one ahead.
    """
    if anchored is None or generation == anchored:
        return False
    if generation == anchored + 1:
        return True
    if generation < anchored:
        raise RollbackError(
            f"the gallery is generation {generation}, its anchor has seen {anchored}: an old copy was put back",
            hint="put the newest gallery back; to go on from this one, edge-sdk gallery re-anchor",
        )
    raise RollbackError(
        f"the gallery is generation {generation}, its anchor has only seen {anchored}: the anchor was lost or put back",
        hint="put the right anchor back; where that is lost, or changes were made without it, edge-sdk gallery re-anchor",
    )
