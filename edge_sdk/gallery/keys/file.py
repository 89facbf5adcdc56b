"""A key file."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.provider import SLOT_KEY_FILE


class KeyFile:
    """A file of 32 random bytes, readable by its owner only. Level 0.

    Example:
        key = KeyFile.create("home.key")
    """

    name: Final = "key file"
    level: Final = 0
    slot_type: Final = SLOT_KEY_FILE

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"KeyFile({str(self._path)!r})"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> KeyFile:
        """Make a new key file, mode 0600, on the disk when this returns.

        Raises:
            GalleryError: it exists, or cannot be written.
        """
        file = Path(path)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise GalleryError(
                f"{file} exists already", hint="a key that is overwritten is lost; choose a new name"
            ) from error
        except OSError as error:
            raise GalleryError(f"cannot create the key file {file}: {error.strerror}") from error
        try:
            os.fchmod(handle, 0o600)
            os.write(handle, secrets.token_bytes(KEY_BYTES))
            os.fsync(handle)
        except OSError as error:
            file.unlink(missing_ok=True)
            raise GalleryError(f"cannot write the key file {file}: {error.strerror}") from error
        finally:
            os.close(handle)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return cls(file)

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """None are needed."""
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Read the file: 32 bytes.

        Raises:
            GalleryError: missing, a symbolic link, not 32 bytes, or readable by group or others.
        """
        if parameters:
            raise GalleryFormatError("a key file slot has no parameters")
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise GalleryError(
                f"cannot read the key file {self._path}: {error.strerror}",
                hint="it must be a plain file, not a link, readable by you",
            ) from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise GalleryError(f"the key file {self._path} is not a plain file")
            if found.st_size != KEY_BYTES:
                raise GalleryError(
                    f"{self._path} has {found.st_size} bytes, expected the {KEY_BYTES} of a key file",
                    hint="is it another file? a key file is made with the gallery",
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise GalleryError(
                    f"the key file {self._path} has mode {stat.S_IMODE(found.st_mode):04o}, expected 0600",
                    hint=f"chmod 600 {self._path}",
                )
            key = os.read(handle, KEY_BYTES + 1)
        finally:
            os.close(handle)
        if len(key) != KEY_BYTES:
            raise GalleryError(f"the key file {self._path} was changed while it was read")
        return key
