"""A passphrase."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.format.sealing import KEY_BYTES, need_cryptography
from edge_sdk.gallery.keys.provider import SLOT_PASSPHRASE

_ARGON2 = struct.Struct("<III16s")
MIN_PASSPHRASE_CHARACTERS = 8
MAX_MEMORY_KIB = 256 * 1024
MAX_PASSES = 16
MAX_LANES = 16


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


def _costs_allowed(memory_kib: int, passes: int, lanes: int) -> bool:
    return 1 <= lanes <= MAX_LANES and 1 <= passes <= MAX_PASSES and 8 * lanes <= memory_kib <= MAX_MEMORY_KIB
