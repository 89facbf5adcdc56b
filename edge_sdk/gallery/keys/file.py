"""Key in a file."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.provider import SLOT_KEY_FILE, refuse_parameters
from edge_sdk.gallery.store.files import checked_path


class KeyFile:
    """Key in a file of 32 random bytes that only its owner can read. Level 0.

    ```python
    key = KeyFile.create("home.key")
    ```

    Args:
        path: Path of the file.
    """

    name: Final = "key file"
    level: Final = 0
    slot_type: Final = SLOT_KEY_FILE

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = checked_path(path)

    def __repr__(self) -> str:
        return f"KeyFile({str(self._path)!r})"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> KeyFile:
        """Create a key file with mode 0600; it is on the disk when this returns.

        Raises:
            GalleryError: the file exists, or cannot be written.
        """
        file = checked_path(path)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise GalleryError(
                f"{file} exists already", hint="choose another name; an overwritten key is lost"
            ) from error
        except OSError as error:
            hint = f"create the folder {file.parent} first" if isinstance(error, FileNotFoundError) else None
            raise GalleryError(f"cannot create the key file {file}: {error.strerror}", hint=hint) from error
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
        """Return empty parameters."""
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Read the key, 32 bytes.

        Args:
            parameters: Empty.

        Raises:
            GalleryFormatError: the slot has parameters.
            GalleryError: the file is missing, a symbolic link, not 32 bytes long, or accessible to group or others.
        """
        refuse_parameters(parameters, "a key file")
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise GalleryError(
                f"cannot read the key file {self._path}: {error.strerror}",
                hint="give a regular file, not a link, that you can read",
            ) from error
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise GalleryError(f"the key file {self._path} is not a regular file")
            if status.st_size != KEY_BYTES:
                raise GalleryError(
                    f"expected a key file of {KEY_BYTES} bytes, found {status.st_size} in {self._path}",
                    hint="give the key file that was made with the gallery",
                )
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise GalleryError(
                    f"expected mode 0600 of the key file {self._path}, found {stat.S_IMODE(status.st_mode):04o}",
                    hint=f"chmod 600 {self._path}",
                )
            key = os.read(handle, KEY_BYTES + 1)
        finally:
            os.close(handle)
        if len(key) != KEY_BYTES:
            raise GalleryError(f"the key file {self._path} changed while it was read")
        return key
