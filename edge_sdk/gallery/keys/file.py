"""Key in a file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.provider import SLOT_KEY_FILE, refuse_parameters
from edge_sdk.gallery.store.files import checked_path

_MAX_BYTES = 64 * 1024
_WORD = b"gallery "
_NOTE = re.compile(rb"gallery ([0-9a-f]{32}) (\S+)")


class KeyFile:
    """Key in a file of 32 random bytes that only its owner can read. Level 0.

    ```python
    key = KeyFile.create("home.key")
    ```

    After the 32 bytes the file may have one line per gallery that was sealed with the key, with the gallery's id and path:
    another gallery of the same key is refused at that path.

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
        """Create a key file with mode 0600; it is on the disk when this returns, and not there after an error.

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
        with contextlib.ExitStack() as undo:
            undo.callback(_remove, file)
            try:
                with os.fdopen(handle, "wb", buffering=0) as opened:
                    os.fchmod(handle, 0o600)
                    if opened.write(os.urandom(KEY_BYTES)) != KEY_BYTES:
                        raise OSError(0, "the medium took only a part of the key")
                    os.fsync(handle)
                folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            except OSError as error:
                raise GalleryError(f"cannot write the key file {file}: {error.strerror}") from error
            undo.pop_all()
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
            GalleryError: the file is missing, a symbolic link, no key file, or accessible to group or others.
        """
        refuse_parameters(parameters, "a key file")
        return self._read()[:KEY_BYTES]

    def galleries(self) -> dict[str, bytes]:
        """Return the galleries noted in the file: absolute path, and id (16 bytes) of the last one noted for that path.

        Raises:
            GalleryError: see `secret`.
        """
        lines = self._read()[KEY_BYTES:].split(b"\n")
        matches = (_NOTE.fullmatch(line) for line in lines)
        return {
            os.fsdecode(unquote_to_bytes(match[2])): bytes.fromhex(match[1].decode())
            for match in matches
            if match is not None
        }

    def note_gallery(self, path: str, gallery_id: bytes) -> bool:
        """Append a gallery to the file.

        Args:
            path: Absolute path of the gallery.
            gallery_id: Its id, 16 bytes.

        Returns:
            False if the file cannot be written, or is full (64 KiB).
        """
        line = b"\n" + _WORD + f"{gallery_id.hex()} {quote_from_bytes(os.fsencode(path))}".encode()
        try:
            handle = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            )
        except OSError:
            return False
        try:
            if os.fstat(handle).st_size + len(line) > _MAX_BYTES:
                return False
            written = os.write(handle, line)
            os.fsync(handle)
        except OSError:
            return False
        finally:
            os.close(handle)
        return written == len(line)

    def _read(self) -> bytes:
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
            data = os.read(handle, _MAX_BYTES + 1) if status.st_size <= _MAX_BYTES else b""
        finally:
            os.close(handle)
        if len(data) < KEY_BYTES or not _are_notes(data[KEY_BYTES:]):
            raise GalleryError(
                f"expected a key file of {KEY_BYTES} bytes, found {status.st_size} in {self._path}",
                hint="give the key file that was made with the gallery",
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise GalleryError(
                f"expected mode 0600 of the key file {self._path}, found {stat.S_IMODE(status.st_mode):04o}",
                hint=f"chmod 600 {self._path}",
            )
        return data


def _are_notes(data: bytes) -> bool:
    """Tell if the bytes after a key are notes; a power cut may have cut the first one off."""
    before, _, first = data.partition(b"\n")
    first = first.partition(b"\n")[0]
    return not before and (first.startswith(_WORD) or _WORD.startswith(first))


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
