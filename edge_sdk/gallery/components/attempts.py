"""`gallery.attempts`: the limit on failed attempts."""

from __future__ import annotations

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempt_counter import AttemptPolicy
from edge_sdk.gallery.old_names import warn_old_name
from edge_sdk.gallery.results import AttemptStatus
from edge_sdk.gallery.session import Session


class Attempts:
    """Limits the failed attempts at an open gallery and resets their counter."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def status(self) -> AttemptStatus | None:
        """Return the number of failed attempts and the wait before the next one; None if attempts are not limited."""
        counter = self._session.counter
        return None if counter is None else counter.status()

    def usual(self) -> AttemptPolicy:
        """Return the limit for this gallery: that for liveness detection if it pins such networks or has that limit."""
        networks, current = self._session.matcher.networks, self.status()
        with_pad = AttemptPolicy.with_pad()
        has_pad = current is not None and (current.free, current.most) == (with_pad.free, with_pad.most)
        return with_pad if has_pad or (networks is not None and networks.liveness) else AttemptPolicy()

    def limit(self, policy: AttemptPolicy | None) -> None:
        """Limit failed attempts and start a new counter at 0, in a separate commit; None removes the limit.

        Raises:
            GalleryError: the commit failed.
        """
        self._session.change(lambda transaction: transaction.limit_attempts(policy))

    def reset(self) -> None:
        """Start a new counter at 0, in a separate commit; only an administrator should do this.

        Raises:
            GalleryError: attempts are not limited, or the commit failed.
        """
        counter = self._session.counter
        if counter is None:
            raise GalleryError(
                "this gallery does not limit attempts",
                hint="set a limit with edge-sdk gallery limit-attempts",
            )
        self.limit(counter.policy)

    def __call__(self) -> AttemptStatus | None:
        """Return `status()`; supports the deprecated call `gallery.attempts()`."""
        warn_old_name("attempts()", "attempts.status()")
        return self.status()
