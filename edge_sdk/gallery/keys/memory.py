"""Key in the memory of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.provider import SLOT_IN_MEMORY, refuse_parameters


class InMemoryKey:
    """Key given as bytes, for tests and for key stores outside the SDK.

    Args:
        key: 32 random bytes or more, not a passphrase.
        level: Level of protection to report, 0..4.

    Raises:
        InputError: the key is not bytes, has fewer than 32 bytes, or contains only zeros.
    """

    name: Final = "key in memory"
    slot_type: Final = SLOT_IN_MEMORY

    def __init__(self, key: bytes, *, level: int = 0) -> None:
        if not isinstance(key, bytes | bytearray | memoryview):
            raise InputError(f"expected a key of type bytes, found {type(key).__name__}")
        key = bytes(key)
        if len(key) < KEY_BYTES:
            raise InputError(f"expected a key of {KEY_BYTES} bytes or more, found {len(key)}")
        if not any(key):
            raise InputError(
                "expected a random key, found only zeros", hint="make one with secrets.token_bytes(32)"
            )
        if type(level) is not int or not 0 <= level <= 4:
            raise InputError(f"expected a level in 0..4, found {level!r}")
        self._key = key
        self.level = level

    def __repr__(self) -> str:
        return "InMemoryKey(...)"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Return empty parameters."""
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Return the key.

        Args:
            parameters: Empty.

        Raises:
            GalleryFormatError: the slot has parameters.
        """
        refuse_parameters(parameters, "an in-memory")
        return self._key
