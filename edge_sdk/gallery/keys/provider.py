"""The seam behind which every kind of key lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

SLOT_KEY_FILE = 1
SLOT_HOST_CREDENTIAL = 2  # systemd-creds with the host key
SLOT_PASSPHRASE = 3
SLOT_BOARD_SECRET = 4
SLOT_TPM_CREDENTIAL = 5
SLOT_SECURE_ELEMENT = 6
SLOT_KEYSTORE = 7
SLOT_IN_MEMORY = 8
SLOT_TPM_NV = 9


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


@runtime_checkable
class ErasableKey(KeyProvider, Protocol):
    """A key whose every slot has a secret of its own, kept where it can be destroyed for certain."""

    def forget(self, parameters: bytes) -> None:
        """Destroy the secret of a slot with these parameters; nothing happens where it is gone already.

        Raises:
            GalleryError: it cannot be destroyed.
        """


_KINDS: dict[int, tuple[str, int | None]] = {
    SLOT_KEY_FILE: ("key file", 0),
    SLOT_HOST_CREDENTIAL: ("systemd-creds host key", 1),
    SLOT_PASSPHRASE: ("passphrase", 2),
    SLOT_BOARD_SECRET: ("board secret", 3),
    SLOT_TPM_CREDENTIAL: ("TPM 2.0 through systemd-creds", 4),
    SLOT_SECURE_ELEMENT: ("secure element", 4),
    SLOT_KEYSTORE: ("Android Keystore", 4),
    SLOT_IN_MEMORY: ("key in memory", None),
    SLOT_TPM_NV: ("TPM 2.0 NV memory", 4),
}


def slot_kind(slot_type: int) -> tuple[str, int | None]:
    """Name and level of a slot's kind; the level is None where the kind does not say."""
    return _KINDS.get(slot_type, (f"unknown kind {slot_type}", None))
