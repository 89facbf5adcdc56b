"""Key pair for stored captures: the public key stays with the gallery, the private key is kept away from the device."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.hpke import KEY_BYTES
from edge_sdk.gallery.format.sealing import need_cryptography
from edge_sdk.gallery.store.files import checked_path

_MAX_BYTES = 256
_LINE = re.compile(rb"edge-sdk captures (private|public) key 1 ([0-9a-f]{64})\n?")


@dataclass(frozen=True)
class CapturesKey:
    """A private key that opens captures.

    Attributes:
        secret: 32 bytes, hidden in the repr.
    """

    secret: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        public: bytes = self.private().public_key().public_bytes_raw()
        return public

    def private(self) -> Any:
        """Return the key in the form that `cryptography` uses."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        need_cryptography()
        return X25519PrivateKey.from_private_bytes(self.secret)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> CapturesKey:
        """Create a key pair in two files: the private key at `path`, the public key beside it with the suffix `.pub`.

        Raises:
            GalleryError: a file exists or cannot be written, or `cryptography` is not installed.
        """
        file = checked_path(path)
        key = cls(os.urandom(KEY_BYTES))
        public = key.public
        with contextlib.ExitStack() as undo:
            _write(file, f"edge-sdk captures private key 1 {key.secret.hex()}\n", 0o600)
            undo.callback(file.unlink, missing_ok=True)
            _write(public_path(file), f"edge-sdk captures public key 1 {public.hex()}\n", 0o644)
            undo.pop_all()
        return key

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CapturesKey:
        """Read a private key.

        Raises:
            InputError: the file is not a private key.
            GalleryError: the file cannot be read.
        """
        return cls(_read(checked_path(path), b"private"))


def public_path(path: Path) -> Path:
    """Return the path of the public key that belongs to a private key's file."""
    return path.with_name(path.name + ".pub")


def private_beside(path: str | os.PathLike[str]) -> Path | None:
    """Return the file of the private key if it is in the same folder as that of the public key, otherwise None."""
    file = checked_path(path)
    private = file.with_name(file.name.removesuffix(".pub"))
    try:
        return private if private != file and CapturesKey.read(private) is not None else None
    except (GalleryError, InputError):
        return None


def read_recipient(path: str | os.PathLike[str]) -> bytes:
    """Read a public key, 32 bytes.

    Raises:
        InputError: the file is not a public key.
        GalleryError: the file cannot be read.
    """
    return _read(checked_path(path), b"public")


def _read(path: Path, kind: bytes) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise GalleryError(f"cannot read the captures key {path}: {error.strerror or error}") from error
    match = _LINE.fullmatch(data)
    if match is None or match[1] != kind:
        other = "public" if kind == b"private" else "private"
        content = f"a {other} key" if match is not None else "another file"
        raise InputError(
            f"{path}: expected a {kind.decode()} key of captures, found {content}",
            hint="edge-sdk gallery captures-key FILE writes the private key to FILE and the public key to FILE.pub",
        )
    return bytes.fromhex(match[2].decode())


def _write(path: Path, text: str, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise GalleryError(
            f"{path} exists already", hint="choose another name; an overwritten key is lost"
        ) from error
    except OSError as error:
        raise GalleryError(f"cannot create the captures key {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            data = text.encode()
            os.fchmod(handle, mode)
            if file.write(data) != len(data):
                raise OSError(0, "the medium took only a part of the key")
            os.fsync(handle)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise GalleryError(f"cannot write the captures key {path}: {error.strerror}") from error
