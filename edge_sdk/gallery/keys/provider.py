"""Interface of key providers, and the kinds of key slots."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_sdk.errors import GalleryError, GalleryFormatError, PluginError
from edge_sdk.gallery.format.header import WRAPPED_BYTES, Header, Slot
from edge_sdk.gallery.format.sealing import derive_slot_key
from edge_sdk.gallery.keys.passphrase_strength import Strength

SLOT_KEY_FILE = 1
SLOT_HOST_CREDENTIAL = 2  # systemd-creds with the host key
SLOT_PASSPHRASE = 3
SLOT_BOARD_SECRET = 4
SLOT_TPM_CREDENTIAL = 5
SLOT_SECURE_ELEMENT = 6
SLOT_KEYSTORE = 7
SLOT_IN_MEMORY = 8
SLOT_TPM_NV = 9
#: Slot types from here to 65535 are for key providers of other distributions.
SLOT_EXTENSIONS = 32768
MAX_PARAMETER_BYTES = 2048


class KeyProvider(Protocol):
    """Source of the secret of a key slot; each kind of key implements it."""

    @property
    def name(self) -> str:
        """Kind of key for display, such as `key file`."""

    @property
    def level(self) -> int:
        """Level of protection, 0..4, as in the docstring of `edge_sdk.gallery.keys`."""

    @property
    def slot_type(self) -> int:
        """Type of the slots that the key opens, one of the `SLOT_` constants."""

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Return the parameters of a new slot, which the header stores unencrypted.

        Args:
            random: Function that returns n random bytes.
        """

    def secret(self, parameters: bytes) -> bytes:
        """Return the secret of a slot, 32 bytes or more.

        Args:
            parameters: Parameters of the slot.

        Raises:
            GalleryError: the secret is not available.
            GalleryFormatError: the parameters are malformed or exceed a limit.
        """


@runtime_checkable
class NotingKey(KeyProvider, Protocol):
    """Key that notes which gallery is sealed with it at which path, so that another one at that path is refused."""

    def galleries(self) -> dict[str, bytes]:
        """Return the id of the gallery noted for each absolute path."""

    def note_gallery(self, path: str, gallery_id: bytes) -> bool:
        """Note a gallery; return False if the note cannot be stored."""


@runtime_checkable
class ErasableKey(KeyProvider, Protocol):
    """Key with a separate secret per slot, stored so that the secret can be destroyed."""

    def forget(self, parameters: bytes) -> None:
        """Destroy the secret of a slot, if it still exists.

        Args:
            parameters: Parameters of the slot.

        Raises:
            GalleryError: the secret cannot be destroyed.
        """


@runtime_checkable
class GradedKey(KeyProvider, Protocol):
    """Key that a person chooses, so its level depends on the secret."""

    def strength(self, names: Sequence[str] = ()) -> Strength:
        """Return level and weakness.

        Args:
            names: Names that a guesser tries first.
        """

    def require_strength(self, names: Sequence[str] = ()) -> None:
        """Raise InputError if a new slot must not use the secret."""


@runtime_checkable
class CostlyKey(KeyProvider, Protocol):
    """Key whose secret costs work that the slot's parameters determine."""

    def check_slots(self, parameters: Sequence[bytes]) -> None:
        """Raise GalleryFormatError if all slots of this type together need too much work.

        Args:
            parameters: Parameters of every slot of this type in the header.
        """


def slot_key_of(key: KeyProvider, header: Header, slot: Slot) -> bytes:
    """Derive the slot key of one slot; every derivation goes through here.

    The header is not authenticated yet when a gallery is opened, so the work that it asks for is checked first.

    Args:
        key: A key of the slot's type.
        header: Header with all slots of the gallery.
        slot: One of its slots.

    Raises:
        GalleryFormatError: the header's slots ask for too much work, or the slot is malformed.
        GalleryError: the key's secret is not available.
    """
    check_work(key, header.slots)
    return derive_slot_key(key.secret(slot.parameters), header, slot)


def check_work(key: KeyProvider, slots: Sequence[Slot]) -> None:
    """Raise GalleryFormatError if the slots of the key's type together need too much work."""
    if isinstance(key, CostlyKey):
        key.check_slots([slot.parameters for slot in slots if slot.type == key.slot_type])


def strength_of_key(key: KeyProvider, gallery: Path) -> Strength:
    """Return level and weakness of a key in use.

    Args:
        key: The key.
        gallery: Path of the gallery, whose name is a weak passphrase.
    """
    return key.strength(_names(gallery)) if isinstance(key, GradedKey) else Strength(key.level)


def _names(gallery: Path) -> tuple[str, ...]:
    return gallery.stem, platform.node()


def refuse_parameters(parameters: bytes, slot: str) -> None:
    """Raise GalleryFormatError if a slot of a kind without parameters has parameters."""
    if parameters:
        raise GalleryFormatError(f"expected {slot} slot without parameters, found {len(parameters)} bytes")


_KINDS: dict[int, tuple[str, tuple[int, ...]]] = {
    SLOT_KEY_FILE: ("key file", (0,)),
    SLOT_HOST_CREDENTIAL: ("systemd-creds host key", (1,)),
    SLOT_PASSPHRASE: ("passphrase", (0, 1, 2)),
    SLOT_BOARD_SECRET: ("board secret", (3,)),
    SLOT_TPM_CREDENTIAL: ("TPM 2.0 through systemd-creds", (4,)),
    SLOT_SECURE_ELEMENT: ("secure element", (4,)),
    SLOT_KEYSTORE: ("Android Keystore", (4,)),
    SLOT_IN_MEMORY: ("key in memory", ()),
    SLOT_TPM_NV: ("TPM 2.0 NV memory", (4,)),
}


def slot_kind(slot_type: int) -> tuple[str, tuple[int, ...]]:
    """Return name and possible levels of a slot type, ascending; no levels if the type does not limit them.

    A passphrase that an earlier version accepted may have level 0.
    """
    return _KINDS.get(slot_type, (f"unknown kind {slot_type}", ()))


def opens_elsewhere(slot_type: int) -> bool | None:
    """Tell if the key of a slot can open the gallery on another device; None if this is not known."""
    if slot_type in (SLOT_KEY_FILE, SLOT_PASSPHRASE, SLOT_IN_MEMORY):
        return True
    return False if slot_type in _KINDS else None


def checked_provider(key: KeyProvider) -> KeyProvider:
    """Return a key provider of another distribution if its members fit the protocol.

    Raises:
        PluginError: A member is missing or has a wrong value.
    """
    slot_type, level = getattr(key, "slot_type", None), getattr(key, "level", None)
    problems = {
        f"a slot_type in {SLOT_EXTENSIONS}..65535, found {slot_type!r}": (
            isinstance(slot_type, int) and SLOT_EXTENSIONS <= slot_type <= 65535
        ),
        f"a level in 0..4, found {level!r}": isinstance(level, int) and 0 <= level <= 4,
        "a name": isinstance(getattr(key, "name", None), str),
        "a method new_parameters": callable(getattr(key, "new_parameters", None)),
        "a method secret": callable(getattr(key, "secret", None)),
    }
    for expected, fits in problems.items():
        if not fits:
            raise PluginError(f"key provider {type(key).__name__}: expected {expected}")
    return key


def new_slot(key: KeyProvider, random: Callable[[int], bytes], gallery: Path) -> Slot:
    """Return a slot for a key, with new parameters and no wrapped data key yet.

    Args:
        key: The key.
        random: Function that returns n random bytes.
        gallery: Path of the gallery.

    Raises:
        InputError: the key is a passphrase that is easy to guess.
        GalleryError: the provider's parameters are not bytes, or too long.
    """
    if isinstance(key, GradedKey):
        key.require_strength(_names(gallery))
    parameters = key.new_parameters(random)
    if not isinstance(parameters, bytes) or len(parameters) > MAX_PARAMETER_BYTES:
        size = f"{len(parameters)} bytes" if isinstance(parameters, bytes) else type(parameters).__name__
        raise GalleryError(
            f"{key.name}: expected at most {MAX_PARAMETER_BYTES} bytes of parameters, found {size}"
        )
    return Slot(key.slot_type, parameters, bytes(WRAPPED_BYTES))
