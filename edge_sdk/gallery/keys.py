"""Where a gallery's key comes from, and how strong that is, said plainly.

A provider gives a secret; `sealing.derive_slot_key` turns it into the key of one slot of one
gallery and epoch. Levels: 0 a key file on the same disk (protects a stray copy of the gallery
only), 1 a host key, 2 a passphrase (a stolen card; a human is there at boot), 3 a board secret,
4 a secure element. Secrets never appear in a repr.
"""

from __future__ import annotations

import os
import secrets
import stat
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError
from edge_sdk.gallery.sealing import KEY_BYTES, need_cryptography

SLOT_KEY_FILE = 1
SLOT_HOST_CREDENTIAL = 2  # systemd-creds with the host key
SLOT_PASSPHRASE = 3
SLOT_BOARD_SECRET = 4
SLOT_TPM_CREDENTIAL = 5
SLOT_SECURE_ELEMENT = 6
SLOT_KEYSTORE = 7
SLOT_IN_MEMORY = 8

_ARGON2 = struct.Struct("<III16s")
MIN_PASSPHRASE_CHARACTERS = 8
MAX_MEMORY_KIB = 256 * 1024
MAX_PASSES = 16
MAX_LANES = 16


class KeyProvider(Protocol):
    """A source of one secret; every kind of key is behind this seam."""

    @property
    def name(self) -> str:
        """What a person calls it, such as `key file`."""

    @property
    def level(self) -> int:
        """Strength, 0..4, as in the module's docstring."""

    @property
    def slot_type(self) -> int:
        """The slots it can open."""

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Parameters of a new slot, stored in clear in the header."""

    def secret(self, parameters: bytes) -> bytes:
        """The secret for a slot with these parameters, 32 bytes or more.

        Raises:
            GalleryError: it cannot be had.
            GalleryFormatError: the parameters are malformed or ask for too much.
        """


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
            GalleryError: missing, a symbolic link, readable by group or others, or not 32 bytes.
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
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise GalleryError(
                    f"the key file {self._path} has mode {stat.S_IMODE(found.st_mode):04o}, expected 0600",
                    hint=f"chmod 600 {self._path}",
                )
            key = os.read(handle, KEY_BYTES + 1)
        finally:
            os.close(handle)
        if len(key) != KEY_BYTES:
            more = " or more" if len(key) > KEY_BYTES else ""
            raise GalleryError(f"the key file {self._path} has {len(key)}{more} bytes, expected {KEY_BYTES}")
        return key


class Passphrase:
    """Words a person knows, through Argon2id (RFC 9106; default 64 MiB, 3 passes, 4 lanes). Level 2.

    Args:
        text: The passphrase; Unicode form NFC, 8 characters or more when a slot is made
            (NIST SP 800-63B).
        memory_kib: Argon2id memory for a new slot.
        passes: Argon2id passes for a new slot.
        lanes: Argon2id lanes for a new slot.
    """

    name: Final = "passphrase"
    level: Final = 2
    slot_type: Final = SLOT_PASSPHRASE

    def __init__(self, text: str, *, memory_kib: int = 64 * 1024, passes: int = 3, lanes: int = 4) -> None:
        self._text = unicodedata.normalize("NFC", text)
        self._costs = (memory_kib, passes, lanes)

    def __repr__(self) -> str:
        return "Passphrase(...)"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """u32 memory in KiB, u32 passes, u32 lanes, 16 bytes of salt.

        Raises:
            InputError: the passphrase is too short, or the costs out of bounds.
        """
        if len(self._text) < MIN_PASSPHRASE_CHARACTERS:
            raise InputError(
                f"the passphrase has {len(self._text)} characters, expected {MIN_PASSPHRASE_CHARACTERS} or more"
            )
        if not _costs_allowed(*self._costs):
            raise InputError(f"Argon2id costs {self._costs} are out of bounds")
        return _ARGON2.pack(*self._costs, random(16))

    def secret(self, parameters: bytes) -> bytes:
        """Derive 32 bytes with the slot's own costs, bounded so that a hostile file cannot ask for gigabytes.

        Raises:
            GalleryFormatError: parameters malformed or over 256 MiB, 16 passes or 16 lanes.
        """
        if len(parameters) != _ARGON2.size:
            raise GalleryFormatError(
                f"a passphrase slot has {len(parameters)} bytes of parameters, expected {_ARGON2.size}"
            )
        memory_kib, passes, lanes, salt = _ARGON2.unpack(parameters)
        if not _costs_allowed(memory_kib, passes, lanes):
            raise GalleryFormatError(
                f"the passphrase slot asks Argon2id for {memory_kib} KiB, {passes} passes, {lanes} lanes; "
                f"at most {MAX_MEMORY_KIB}, {MAX_PASSES}, {MAX_LANES}"
            )
        need_cryptography()
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        return kdf.derive(self._text.encode())


class InMemoryKey:
    """A secret that the program already holds: for tests, and for a key store of your own.

    Args:
        key: 32 bytes or more; random, not a passphrase.
        level: Strength to report.
    """

    name: Final = "key in memory"
    slot_type: Final = SLOT_IN_MEMORY

    def __init__(self, key: bytes, *, level: int = 0) -> None:
        if len(key) < KEY_BYTES:
            raise InputError(f"the key has {len(key)} bytes, expected {KEY_BYTES} or more")
        self._key = bytes(key)
        self._level = level

    def __repr__(self) -> str:
        return "InMemoryKey(...)"

    @property
    def level(self) -> int:
        """As given."""
        return self._level

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """None are needed."""
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """The key as given."""
        if parameters:
            raise GalleryFormatError("an in-memory slot has no parameters")
        return self._key


def _costs_allowed(memory_kib: int, passes: int, lanes: int) -> bool:
    return 1 <= lanes <= MAX_LANES and 1 <= passes <= MAX_PASSES and 8 * lanes <= memory_kib <= MAX_MEMORY_KIB
