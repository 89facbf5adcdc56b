"""A sealed gallery of references: one encrypted file that is replaced atomically."""

import importlib
from typing import TYPE_CHECKING, Any

from edge_sdk.gallery.attempt_counter import AttemptPolicy
from edge_sdk.gallery.format.key_names import KeyRole
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
from edge_sdk.gallery.old_names import warn_old_name
from edge_sdk.gallery.results import (
    AddedKey,
    AttemptStatus,
    Decision,
    ErasureReceipt,
    GalleryStatus,
    Identification,
    KeySlot,
    Reason,
    References,
    Subject,
    SubjectLook,
    Verification,
)
from edge_sdk.gallery.rules.known_time import KnownTime
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.gallery.rules.transfer import TransferCheck, TransferState
from edge_sdk.gallery.store.anchor import Anchor, FileAnchor, NoAnchor, TpmCounter
from edge_sdk.gallery.store.audit_log import AuditEntry, AuditEvent
from edge_sdk.gallery.store.audit_report import AuditReport
from edge_sdk.gallery.subjects import EnrolOptions
from edge_sdk.gallery.transaction import Transaction

if TYPE_CHECKING:
    from edge_sdk.gallery.backup.receipts import BackupReceipt, Difference, Restoration
    from edge_sdk.gallery.components.exchange import CommandResult
    from edge_sdk.gallery.exchange.commands import Command
    from edge_sdk.gallery.exchange.merge import ImportResult, RefusedSubject

#: Names whose modules a device does not need to start.
_LAZY = {
    "BackupReceipt": "edge_sdk.gallery.backup.receipts",
    "Command": "edge_sdk.gallery.exchange.commands",
    "CommandResult": "edge_sdk.gallery.components.exchange",
    "Difference": "edge_sdk.gallery.backup.receipts",
    "ImportResult": "edge_sdk.gallery.exchange.merge",
    "RefusedSubject": "edge_sdk.gallery.exchange.merge",
    "Restoration": "edge_sdk.gallery.backup.receipts",
}

__all__ = [
    "AddedKey",
    "Anchor",
    "AttemptPolicy",
    "AttemptStatus",
    "AuditEntry",
    "AuditEvent",
    "AuditReport",
    "BackupReceipt",
    "BoardKey",
    "Command",
    "CommandResult",
    "Decision",
    "DecisionPolicy",
    "Difference",
    "EnrolOptions",
    "ErasableKey",
    "ErasureReceipt",
    "FileAnchor",
    "Gallery",
    "GalleryStatus",
    "HostKey",
    "Identification",
    "ImportResult",
    "InMemoryKey",
    "KeyFile",
    "KeyProvider",
    "KeyRole",
    "KeySlot",
    "KnownTime",
    "NoAnchor",
    "Passphrase",
    "PinnedNetworks",
    "Reason",
    "References",
    "RefusedSubject",
    "Restoration",
    "Subject",
    "SubjectLook",
    "TpmCounter",
    "TpmCredentialKey",
    "TpmKey",
    "Transaction",
    "TransferCheck",
    "TransferState",
    "Verification",
]


def __getattr__(name: str) -> Any:
    if name == "Obeyed":
        warn_old_name("Obeyed", "CommandResult")
        name = "CommandResult"
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
