"""A key that the program holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.provider import SLOT_IN_MEMORY


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
