"""Where a gallery's key comes from, and how strong that is, said plainly.

A provider gives a secret; `sealing.derive_slot_key` turns it into the key of one slot of one
gallery and epoch. Levels: 0 a key file on the same disk (protects a stray copy of the gallery
only), 1 a host key, 2 a passphrase (a stolen card; a human is there at boot), 3 a board secret,
4 a secure element. Secrets never appear in a repr.
"""

from edge_sdk.gallery.keys.board import BoardKey
from edge_sdk.gallery.keys.credential import HostKey, TpmCredentialKey
from edge_sdk.gallery.keys.file import KeyFile
from edge_sdk.gallery.keys.memory import InMemoryKey
from edge_sdk.gallery.keys.passphrase import (
    MAX_LANES,
    MAX_MEMORY_KIB,
    MAX_PASSES,
    MIN_PASSPHRASE_CHARACTERS,
    Passphrase,
)
from edge_sdk.gallery.keys.provider import (
    SLOT_BOARD_SECRET,
    SLOT_HOST_CREDENTIAL,
    SLOT_IN_MEMORY,
    SLOT_KEY_FILE,
    SLOT_KEYSTORE,
    SLOT_PASSPHRASE,
    SLOT_SECURE_ELEMENT,
    SLOT_TPM_CREDENTIAL,
    SLOT_TPM_NV,
    ErasableKey,
    KeyProvider,
    slot_kind,
)
from edge_sdk.gallery.keys.tpm import TpmKey

__all__ = [
    "MAX_LANES",
    "MAX_MEMORY_KIB",
    "MAX_PASSES",
    "MIN_PASSPHRASE_CHARACTERS",
    "SLOT_BOARD_SECRET",
    "SLOT_HOST_CREDENTIAL",
    "SLOT_IN_MEMORY",
    "SLOT_KEYSTORE",
    "SLOT_KEY_FILE",
    "SLOT_PASSPHRASE",
    "SLOT_SECURE_ELEMENT",
    "SLOT_TPM_CREDENTIAL",
    "SLOT_TPM_NV",
    "BoardKey",
    "ErasableKey",
    "HostKey",
    "InMemoryKey",
    "KeyFile",
    "KeyProvider",
    "Passphrase",
    "TpmCredentialKey",
    "TpmKey",
    "slot_kind",
]
