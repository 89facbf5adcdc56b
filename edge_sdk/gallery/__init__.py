"""The sealed gallery of references: one file, replaced atomically, honest about its key."""

from edge_sdk.gallery.attempts import AttemptPolicy
from edge_sdk.gallery.exchange.commands import Command
from edge_sdk.gallery.exchange.exchange import Obeyed
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
    AttemptStatus,
    Decision,
    ErasureReceipt,
    GalleryStatus,
    Identification,
    KeySlot,
    Reason,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.gallery.store.anchor import Anchor, FileAnchor, NoAnchor, TpmCounter
from edge_sdk.gallery.store.audit_log import AuditEntry, AuditEvent, AuditReport
from edge_sdk.gallery.transaction import Transaction

__all__ = [
    "Anchor",
    "AttemptPolicy",
    "AttemptStatus",
    "AuditEntry",
    "AuditEvent",
    "AuditReport",
    "BoardKey",
    "Command",
    "Decision",
    "DecisionPolicy",
    "ErasableKey",
    "ErasureReceipt",
    "FileAnchor",
    "Gallery",
    "GalleryStatus",
    "HostKey",
    "Identification",
    "InMemoryKey",
    "KeyFile",
    "KeyProvider",
    "KeySlot",
    "NoAnchor",
    "Obeyed",
    "Passphrase",
    "Reason",
    "References",
    "Subject",
    "TpmCounter",
    "TpmCredentialKey",
    "TpmKey",
    "Transaction",
    "Verification",
]
