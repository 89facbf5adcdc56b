"""Key from a passphrase."""

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
_LIMITS = f"8 KiB per lane to {MAX_MEMORY_KIB} KiB, {MAX_PASSES} passes and {MAX_LANES} lanes"


class Passphrase:
    """Key derived from a passphrase with Argon2id (RFC 9106). Level 2.

    Args:
        text: The passphrase, converted to Unicode form NFC. A new slot needs 8 characters or more (NIST SP 800-63B).
        memory_kib: Argon2id memory of a new slot in KiB, 8 per lane to 262144.
        passes: Argon2id passes of a new slot, 1..16.
        lanes: Argon2id lanes of a new slot, 1..16.
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
        """Return costs and a new salt: u32 memory in KiB, u32 passes, u32 lanes, 16 bytes of salt.

        Args:
            random: Function that returns n random bytes.

        Raises:
            InputError: the passphrase is too short, or a cost is out of range.
        """
        if len(self._text) < MIN_PASSPHRASE_CHARACTERS:
            raise InputError(
                f"expected a passphrase of {MIN_PASSPHRASE_CHARACTERS} characters or more, found {len(self._text)}"
            )
        if not _costs_allowed(*self._costs):
            raise InputError(f"expected Argon2id costs within {_LIMITS}, found {_format_costs(*self._costs)}")
        return _ARGON2.pack(*self._costs, random(16))

    def secret(self, parameters: bytes) -> bytes:
        """Derive 32 bytes with the costs of the slot. The limits keep a manipulated file from exhausting the memory.

        Args:
            parameters: Result of `new_parameters`.

        Raises:
            GalleryFormatError: the parameters are malformed, or more than 256 MiB, 16 passes or 16 lanes.
        """
        if len(parameters) != _ARGON2.size:
            raise GalleryFormatError(
                f"expected a passphrase slot with {_ARGON2.size} bytes of parameters, found {len(parameters)}"
            )
        memory_kib, passes, lanes, salt = _ARGON2.unpack(parameters)
        if not _costs_allowed(memory_kib, passes, lanes):
            raise GalleryFormatError(
                f"expected Argon2id costs within {_LIMITS}, found {_format_costs(memory_kib, passes, lanes)} in the slot"
            )
        need_cryptography()
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        return kdf.derive(self._text.encode())


def _format_costs(memory_kib: int, passes: int, lanes: int) -> str:
    return f"{memory_kib} KiB, {passes} passes and {lanes} lanes"


def _costs_allowed(memory_kib: int, passes: int, lanes: int) -> bool:
    return 1 <= lanes <= MAX_LANES and 1 <= passes <= MAX_PASSES and 8 * lanes <= memory_kib <= MAX_MEMORY_KIB
