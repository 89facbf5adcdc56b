"""The sealed gallery of references: one file, replaced atomically, honest about its key."""

from edge_sdk.gallery.anchor import Anchor, FileAnchor, NoAnchor
from edge_sdk.gallery.gallery import Gallery
from edge_sdk.gallery.keys import InMemoryKey, KeyFile, KeyProvider, Passphrase
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
    "Decision",
    "FileAnchor",
    "Gallery",
    "GalleryStatus",
    "Identification",
    "InMemoryKey",
    "KeyFile",
    "KeyProvider",
    "NoAnchor",
    "Passphrase",
    "References",
    "Subject",
    "Transaction",
    "Verification",
]
