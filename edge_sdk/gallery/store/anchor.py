"""Anchors: memory outside the gallery of its newest generation, to detect an old copy that was put back.

The file is written before the anchor, so after a power cut a gallery may be one generation ahead of its anchor,
never behind. An anchor never goes back: a gallery restored from a backup is committed again with a generation that
is higher than any the anchor has seen.
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
        """Name and strength of the anchor, for a person."""

    def read(self, gallery_id: bytes) -> int | None:
        """Return the stored generation; 0 if none is stored yet, None if the anchor never stores any.

        Raises:
            GalleryError: the anchor cannot be read, or belongs to another gallery.
        """

    def prepare(self, gallery_id: bytes) -> int:
        """Reserve the anchor and return its generation; the gallery's next generation must be higher."""

    def abandon(self, gallery_id: bytes) -> None:
        """Release the anchor reserved by `prepare` because creating the gallery failed."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Store a higher generation durably; ignore a lower one."""


class NoAnchor:
    """An anchor that stores nothing: an old copy of the gallery is accepted."""

    kind: Final = "none (an old copy is not noticed)"

    def read(self, gallery_id: bytes) -> int | None:
        """Return None."""
        return None

    def prepare(self, gallery_id: bytes) -> int:
        """Return 0: any generation is accepted."""
        return 0

    def abandon(self, gallery_id: bytes) -> None:
        """Do nothing."""

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
        self._path = Path(path)
        self._files: FileSystem = filesystem or PosixFileSystem()

    def __repr__(self) -> str:
        return f"FileAnchor({str(self._path)!r})"

    def read(self, gallery_id: bytes) -> int | None:
        """Return the generation; 0 for a missing file, so that only a gallery of generation 1 opens."""
        try:
            data = self._files.read(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise GalleryError(f"cannot read the anchor {self._path}: {error.strerror or error}") from error
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

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Write a higher generation to the file."""
        if generation > (self.read(gallery_id) or 0):
            line = f"edge-sdk anchor 1 {gallery_id.hex()} {generation}\n"
            write_atomically(self._files, self._path, line.encode())


class TpmCounter:
    """An anchor in a monotonic counter of a TPM 2.0, used through tpm2-tools; its value is the generation.

    Strong: no software can decrease the counter, not even by defining it again. The owner of the TPM can increase it,
    which makes the gallery refuse to open. Each commit writes NV memory once.

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

    def read(self, gallery_id: bytes) -> int | None:
        """Return the counter's value; 0 if it is not defined."""
        return tpm_nv.read_counter(self._index) if self._index in tpm_nv.indices() else 0

    def prepare(self, gallery_id: bytes) -> int:
        """Define the counter if necessary and return its value, which may start at any number."""
        if self._index not in tpm_nv.indices():
            tpm_nv.define_counter(self._index)
        return tpm_nv.read_counter(self._index)

    def abandon(self, gallery_id: bytes) -> None:
        """Remove the counter from the TPM."""
        tpm_nv.undefine(self._index)

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Increment the counter up to a generation.

        Raises:
            GalleryError: the counter is over 1,000 steps behind, or the TPM refuses.
        """
        behind = generation - tpm_nv.read_counter(self._index)
        if behind > MAX_STEPS:
            raise GalleryError(
                f"the TPM counter {self._index:#x} is {behind} steps behind, at most {MAX_STEPS} are allowed",
                hint="each step wears out the TPM; make a new gallery with a new counter",
            )
        for _ in range(behind):
            tpm_nv.increment(self._index)


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
