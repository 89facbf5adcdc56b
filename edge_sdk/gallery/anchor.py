"""Memory outside the gallery of how new it must be, so that an old copy put back is noticed.

The file is written first and the anchor second, so a gallery may be one generation ahead of its
anchor after a power cut, never behind. A later anchor (a TPM counter) implements `Anchor`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Protocol

from edge_sdk.errors import GalleryError, RollbackError
from edge_sdk.gallery.storage import FileSystem, PosixFileSystem, write_atomically

_LINE = re.compile(rb"edge-sdk anchor 1 ([0-9a-f]{32}) ([1-9][0-9]{0,19})\n")
_MAX_BYTES = 128


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

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """Remember a higher generation, durably; a lower one changes nothing."""


class NoAnchor:
    """Remembers nothing: an old copy of the gallery is accepted."""

    kind: Final = "none (an old copy is not noticed)"

    def read(self, gallery_id: bytes) -> int | None:
        """Nothing."""
        return None

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

    def advance(self, gallery_id: bytes, generation: int) -> None:
        """As the seam says."""
        if generation > (self.read(gallery_id) or 0):
            line = f"edge-sdk anchor 1 {gallery_id.hex()} {generation}\n"
            write_atomically(self._files, self._path, line.encode())


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
            hint="put the newest gallery back, or make a new one",
        )
    raise RollbackError(
        f"the gallery is generation {generation}, its anchor has only seen {anchored}: the anchor was lost or put back",
        hint="put the right anchor back, or make a new gallery",
    )
