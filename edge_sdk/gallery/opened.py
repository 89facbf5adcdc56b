"""An open gallery, and how changes to it become commits; the ground on which `Gallery` stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

from edge_sdk.errors import GalleryChangedError
from edge_sdk.gallery.format.content import Content
from edge_sdk.gallery.format.header import Header
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.vault import Vault
from edge_sdk.gallery.transaction import Transaction

_T = TypeVar("_T")
_TRIES = 20


class Opened(ABC):
    """An open gallery.

    Args:
        vault: The open file.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def remove(self, subject: str) -> None:
        """Take one subject out in a commit of its own; errors as `Transaction.remove`."""
        self._change(lambda t: t.remove(subject))

    def revoke(self, subject: str) -> None:
        """Keep one subject but accept it no more, in a commit of its own; errors as `Transaction.revoke`."""
        self._change(lambda t: t.revoke(subject))

    def reinstate(self, subject: str) -> None:
        """Undo `revoke`, in a commit of its own; errors as `Transaction.reinstate`."""
        self._change(lambda t: t.reinstate(subject))

    def change(
        self,
        subject: str,
        *,
        label: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
    ) -> None:
        """Change a label or bounds in a commit of its own; arguments and errors as `Transaction.change`."""
        self._change(lambda t: t.change(subject, label=label, valid_from=valid_from, valid_until=valid_until))

    @abstractmethod
    def refresh(self) -> bool:
        """Take over what another process committed since; whether anything changed."""

    @abstractmethod
    def _transaction(self) -> Transaction:
        """A new transaction on what is open."""

    @abstractmethod
    def _take_over(self) -> None:
        """Prepare what depends on the vault's content."""

    @abstractmethod
    def _in_step(self, before: Content, after: Content) -> AbstractContextManager[None]:
        """What has to happen right before and right after a commit, under the gallery's lock."""

    def _commit(
        self,
        before: Content,
        after: Content,
        *,
        header: Header | None = None,
        key: KeyProvider | None = None,
        events: Sequence[AuditEvent] | None = None,
    ) -> None:
        """As `Vault.commit`."""
        in_step = self._in_step(before, after)
        self._vault.commit(before, after, header=header, key=key, events=events, in_step=in_step)
        self._take_over()

    def _change(
        self,
        change: Callable[[Transaction], object],
        amend: Callable[[Content], Content] = lambda content: content,
    ) -> None:
        """Make a change in a commit of its own; again where another process was first.

        Args:
            change: What to do with a transaction.
            amend: What to change besides what a transaction can.
        """

        def changed() -> None:
            before = self._vault.content
            transaction = self._transaction()
            change(transaction)
            after = amend(transaction.apply() if transaction.changed else before)
            if after is not before:
                self._commit(before, after)

        self._repeated(changed)

    def _repeated(self, step: Callable[[], _T]) -> _T:
        """Do a step that commits; again, on the newer content, where another process was first."""
        for _ in range(_TRIES - 1):
            try:
                return step()
            except GalleryChangedError:
                self.refresh()
        return step()
