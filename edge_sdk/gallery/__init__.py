"""The sealed gallery of references: one file, replaced atomically, honest about its key."""

from edge_sdk.gallery.anchor import Anchor, FileAnchor, NoAnchor, TpmCounter
from edge_sdk.gallery.gallery import Gallery
from edge_sdk.gallery.keys import (
    BoardKey,
    ErasableKey,
    HostKey,
    InMemoryKey,
    KeyFile,
    KeyProvider,
    Passphrase,
    TpmCredentialKey,
    TpmKey,
)
from edge_sdk.gallery.results import (
    Decision,
    GalleryStatus,
    Identification,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.transaction import Transaction

__all__ = [
    "Anchor",
    "BoardKey",
    "Decision",
    "ErasableKey",
    "FileAnchor",
    "Gallery",
    "GalleryStatus",
    "HostKey",
    "Identification",
    "InMemoryKey",
    "KeyFile",
    "KeyProvider",
    "NoAnchor",
    "Passphrase",
    "References",
    "Subject",
    "TpmCounter",
    "TpmCredentialKey",
    "TpmKey",
    "Transaction",
    "Verification",
]
