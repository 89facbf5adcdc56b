"""Key from a passphrase."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.format.sealing import KEY_BYTES, need_cryptography
from edge_sdk.gallery.keys.passphrase_strength import MIN_CHARACTERS, Strength, strength_of
from edge_sdk.gallery.keys.provider import SLOT_PASSPHRASE

_ARGON2 = struct.Struct("<III16s")
MIN_PASSPHRASE_CHARACTERS = MIN_CHARACTERS
MAX_MEMORY_KIB = 256 * 1024
MAX_PASSES = 16
MAX_LANES = 16
# KiB times passes over all passphrase slots of a file. It is the work of the most expensive slot that is allowed, so a file
# with many slots cannot cost more than a file with one; eight slots of the default costs need three eighths of it.
MAX_WORK_KIB = MAX_MEMORY_KIB * MAX_PASSES
_LIMITS = f"8 KiB per lane to {MAX_MEMORY_KIB} KiB, {MAX_PASSES} passes and {MAX_LANES} lanes"


class Passphrase:
    """Key derived from a passphrase with Argon2id (RFC 9106). Level 2; 1 if it is weak, 0 if it is trivial.

    A new slot needs 8 characters or more that are not only common words, names or patterns. Fewer than 15 such characters
    give level 1 (NIST SP 800-63B). An existing gallery still opens with a passphrase that would be refused now.

    Args:
        text: The passphrase, converted to Unicode form NFC.
        memory_kib: Argon2id memory of a new slot in KiB, 8 per lane to 262144.
        passes: Argon2id passes of a new slot, 1..16.
        lanes: Argon2id lanes of a new slot, 1..16.
    """

    name: Final = "passphrase"
    slot_type: Final = SLOT_PASSPHRASE

    def __init__(self, text: str, *, memory_kib: int = 64 * 1024, passes: int = 3, lanes: int = 4) -> None:
        self._text = unicodedata.normalize("NFC", text)
        self._costs = (memory_kib, passes, lanes)

    def __repr__(self) -> str:
        return "Passphrase(...)"

    @property
    def level(self) -> int:
        """Level of protection, 0..2, by the strength of the passphrase."""
        return self.strength().level

    def strength(self, names: Sequence[str] = ()) -> Strength:
        """Return the strength of the passphrase.

        Args:
            names: Names that a guesser tries first, such as those of the gallery and of the device.
        """
        return strength_of(self._text, names)

    def check_slots(self, parameters: Sequence[bytes]) -> None:
        """Check the Argon2id work of all passphrase slots of a file, before any of it is done.

        Args:
            parameters: Parameters of every passphrase slot.

        Raises:
            GalleryFormatError: parameters are malformed, a cost exceeds its limit, or all slots together need more than
                4 GiB times passes.
        """
        costs = [_parse(slot) for slot in parameters]
        work_kib = sum(memory_kib * passes for memory_kib, passes, _, _ in costs)
        if work_kib > MAX_WORK_KIB:
            raise GalleryFormatError(
                f"expected Argon2id work of at most {MAX_WORK_KIB} KiB times passes in all passphrase slots together,"
                f" found {work_kib}"
            )

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Return costs and a new salt: u32 memory in KiB, u32 passes, u32 lanes, 16 bytes of salt.

        Args:
            random: Function that returns n random bytes.

        Raises:
            InputError: the passphrase is trivial, or a cost is out of range.
        """
        self.require_strength()
        if not _costs_allowed(*self._costs):
            raise InputError(f"expected Argon2id costs within {_LIMITS}, found {_format_costs(*self._costs)}")
        return _ARGON2.pack(*self._costs, random(16))

    def require_strength(self, names: Sequence[str] = ()) -> None:
        """Check that a new slot may use the passphrase.

        Args:
            names: See `strength`.

        Raises:
            InputError: the passphrase is too short, or consists of common words, names or patterns.
        """
        strength = self.strength(names)
        if strength.refused:
            raise InputError(
                str(strength.weakness),
                hint="use 15 characters or more, such as four words that have no connection",
            )

    def secret(self, parameters: bytes) -> bytes:
        """Derive 32 bytes with the costs of the slot. The limits keep a manipulated file from exhausting the memory.

        Args:
            parameters: Result of `new_parameters`.

        Raises:
            GalleryFormatError: the parameters are malformed, or more than 256 MiB, 16 passes or 16 lanes.
        """
        memory_kib, passes, lanes, salt = _parse(parameters)
        need_cryptography()
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        return kdf.derive(self._text.encode())


def _parse(parameters: bytes) -> tuple[int, int, int, bytes]:
    """Return memory in KiB, passes, lanes and salt of a slot."""
    if len(parameters) != _ARGON2.size:
        raise GalleryFormatError(
            f"expected a passphrase slot with {_ARGON2.size} bytes of parameters, found {len(parameters)}"
        )
    memory_kib, passes, lanes, salt = _ARGON2.unpack(parameters)
    if not _costs_allowed(memory_kib, passes, lanes):
        raise GalleryFormatError(
            f"expected Argon2id costs within {_LIMITS}, found {_format_costs(memory_kib, passes, lanes)} in the slot"
        )
    return memory_kib, passes, lanes, salt


def _format_costs(memory_kib: int, passes: int, lanes: int) -> str:
    return f"{memory_kib} KiB, {passes} passes and {lanes} lanes"


def _costs_allowed(memory_kib: int, passes: int, lanes: int) -> bool:
    return 1 <= lanes <= MAX_LANES and 1 <= passes <= MAX_PASSES and 8 * lanes <= memory_kib <= MAX_MEMORY_KIB
