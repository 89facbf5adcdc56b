"""The tries at an open gallery, counted where its content asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempts import LABEL, AttemptPolicy, Moment, parse_limit
from edge_sdk.gallery.counter import AttemptCounter
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import ATTEMPT_POLICY, Content
from edge_sdk.gallery.results import AttemptStatus, Reason
from edge_sdk.gallery.store.vault import Vault


class Tries:
    """Which count is in force, and how it follows the gallery.

    Args:
        vault: The open file.
        now: The time that waits are measured in.

    Attributes:
        counter: The count; None where tries are not limited.
    """

    def __init__(self, vault: Vault, now: Callable[[], Moment]) -> None:
        self._vault = vault
        self._now = now
        self.counter: AttemptCounter | None = None

    @property
    def limit(self) -> AttemptPolicy | None:
        """How many failures in a row there may be; None where they are not counted."""
        return None if self.counter is None else self.counter.policy

    def begin(self) -> int | Reason:
        """As `AttemptCounter.begin`; 0 where tries are not limited."""
        return 0 if self.counter is None else self.counter.begin()

    def end(self, number: int, *, accepted: bool) -> None:
        """Say what came of a try."""
        if self.counter is not None and accepted:
            self.counter.succeed(number)

    def status(self) -> AttemptStatus | None:
        """Where the count stands; None where tries are not limited."""
        return None if self.counter is None else self.counter.status()

    def follow(self) -> None:
        """Count as the vault's content asks; a count that goes on keeps what it has seen."""
        asked = self._counter_of(self._vault.content)
        if self.counter is None or asked is None or self.counter.count_id != asked.count_id:
            self.counter = asked

    @contextlib.contextmanager
    def in_step(self, before: Content, after: Content) -> Iterator[None]:
        """Have the count of a new limit there before the limit is: no power cut leaves a limit without a count."""
        following = self._counter_of(after)
        if following is None or before.record(ATTEMPT_POLICY) == after.record(ATTEMPT_POLICY):
            yield
            return
        following.start(beside=self.counter)
        yield
        # Committed is committed: a count that could not be forgotten now is never asked again.
        with contextlib.suppress(GalleryError):
            following.settle()

    def _counter_of(self, content: Content) -> AttemptCounter | None:
        record = content.record(ATTEMPT_POLICY)
        if record is None:
            return None
        limit, count_id = parse_limit(record)
        gallery_id, places = self._vault.header.gallery_id, self._vault.places
        return AttemptCounter(
            places.files,
            places.path,
            limit,
            key=sealing.hkdf(content.root_secret, salt=gallery_id, info=LABEL),
            gallery_id=gallery_id,
            count_id=count_id,
            now=self._now,
        )
