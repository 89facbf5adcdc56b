"""Key providers of a gallery.

A provider returns a secret, and `sealing.derive_slot_key` derives from it the key of one slot of one
gallery and epoch. Levels of protection: 0 a key file on the same disk (protects only a copy of the gallery
file), 1 a host key, 2 a passphrase (protects a stolen card, needs a person at each start), 3 a board secret,
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
    MAX_WORK_KIB,
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
    "MAX_WORK_KIB",
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
