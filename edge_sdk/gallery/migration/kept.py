"""Release the generation before a change of the model when it must not be kept any longer. Pure."""

from __future__ import annotations

from dataclasses import replace

from edge_sdk.gallery.format.content import KEPT_GENERATION, Content
from edge_sdk.gallery.store.audit_log import AuditEvent


def without_kept(content: Content) -> Content:
    """Return the content without the record of a kept generation, so that the commit removes the kept file."""
    policy = tuple(record for record in content.policy if record.kind != KEPT_GENERATION)
    return replace(content, policy=policy)


def released(content: Content, entries: list[AuditEvent], *, new_epoch: bool) -> Content:
    """Release the kept generation if subjects are erased or a key epoch begins; add an entry that says so.

    The kept file holds the erased subjects' templates, and the keys of the earlier epoch open it.

    Args:
        content: The content to commit.
        entries: Entries of the commit for the audit log.
        new_epoch: True if the commit begins a key epoch.
    """
    erases = any(entry.event == "erase" for entry in entries)
    if content.record(KEPT_GENERATION) is None or not (erases or new_epoch):
        return content
    entries.append(AuditEvent("confirm-model", detail="erase" if erases else "new-key-epoch"))
    return without_kept(content)
