"""The methods of `Gallery` that change subjects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery.erasure import erase
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.results import ErasureReceipt
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.subjects import ENROL_DEFAULTS, EnrolOptions
from edge_sdk.gallery.transaction import Transaction


class SubjectCommits:
    """The methods of `Gallery` that change subjects, each in a separate commit, or several in a transaction."""

    _session: Session

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect changes and commit them together when the block ends without an exception.

        Raises:
            GalleryChangedError: another process has committed since the block began; nothing was written.
            GalleryError: a step of the commit failed; the file holds either the old or the new content.
        """
        before, transaction = self._session.content, self._session.transaction()
        yield transaction
        if transaction.changed:
            self._session.commit(
                before, transaction.apply(), notes=transaction.notes, captures=transaction.captures
            )

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        options: EnrolOptions = ENROL_DEFAULTS,
        **fields: Any,
    ) -> None:
        """Add one subject, or pictures to a subject, in a separate commit; see `Transaction.enrol` for arguments and errors.

        ```python
        gallery.enrol("ann", embeddings, label="ground floor")
        gallery.enrol("ann", more_embeddings, add=True, look="glasses")
        ```
        """
        self._session.change(lambda transaction: transaction.enrol(subject, embeddings, options, **fields))

    def remove(self, subject: str) -> None:
        """Remove one subject in a separate commit; see `Transaction.remove`."""
        self._session.change(lambda transaction: transaction.remove(subject))

    def remove_look(self, subject: str, look: str) -> None:
        """Remove the templates of one look of a subject in a separate commit; see `Transaction.remove_look`."""
        self._session.change(lambda transaction: transaction.remove_look(subject, look))

    def revoke(self, subject: str) -> None:
        """Stop accepting one subject, in a separate commit; see `Transaction.revoke`."""
        self._session.change(lambda transaction: transaction.revoke(subject))

    def reinstate(self, subject: str) -> None:
        """Undo `revoke`, in a separate commit; see `Transaction.reinstate`."""
        self._session.change(lambda transaction: transaction.reinstate(subject))

    def change(
        self,
        subject: str,
        *,
        label: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
    ) -> None:
        """Change a subject's label or validity in a separate commit; see `Transaction.change`."""
        self._session.change(
            lambda transaction: transaction.change(
                subject, label=label, valid_from=valid_from, valid_until=valid_until
            )
        )

    def erase(self, *subjects: str, keys: Sequence[KeyProvider] = ()) -> ErasureReceipt:
        """Remove subjects, make older copies unreadable if the keys allow it, and return a receipt.

        Args:
            subjects: Names, one or more.
            keys: A key for each slot except the one in use; if all are given, a new key epoch begins.

        Raises:
            InputError: no name is given.
            SubjectUnknownError: a subject is not enrolled; no subject is erased.
            GalleryError: the commit failed.
        """
        if not subjects:
            raise InputError("expected the name of a subject to erase, found none")
        return self._session.retry(lambda: erase(self._session, subjects, keys))
