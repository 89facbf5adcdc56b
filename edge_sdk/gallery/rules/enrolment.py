"""What is checked before a subject is enrolled: are its captures alike, and does anybody look like it; pure.

The thresholds are the policy's: captures of one subject must reach each other at FMR 1e-2, and a capture that
reaches somebody else's template at the gallery's own threshold would be taken for that person at the door.
How often that is right and wrong on real faces is in `docs/explanation/decisions-at-the-door.md`.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edge_sdk.errors import CaptureError, SubjectExistsError
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.types import Float64Array


class EnrolmentChecks:
    """Compares new captures with one another and with everybody else of one transaction.

    Args:
        policy: Whose thresholds apply.
        search: The stored templates.
        names: Of the subjects that the search finds.
    """

    def __init__(self, policy: DecisionPolicy, search: Search, names: tuple[str, ...]) -> None:
        self._policy = policy
        self._search = search
        self._names = names
        self._added = _Added()

    def check(
        self,
        name: str,
        rows: Float64Array,
        *,
        gone: Collection[int],
        references: int,
        allow_duplicate: bool,
    ) -> None:
        """Refuse captures that are not alike, or that look like somebody else's.

        Args:
            name: Who is to be enrolled.
            rows: Shape (n, D), float64, length 1, transformed: the captures.
            gone: Indices of stored subjects that the transaction removes.
            references: Templates in the gallery once these are in it.
            allow_duplicate: An administrator says that a likeness is no mistake.

        Raises:
            CaptureError: a capture is like none of the others; says which.
            SubjectExistsError: they look like somebody who is enrolled, revoked or not; says who.
            ModelCardError: the evidence does not reach so many templates.
        """
        limit = self._policy.limit(references)
        odd = odd_capture(rows, self._policy.consistent_threshold()) if len(rows) > 1 else None
        if odd is not None:
            which = "the two captures are" if len(rows) == 2 else f"capture {odd + 1} of {len(rows)} is"
            other = "one another" if len(rows) == 2 else "the others"
            raise CaptureError(
                f"{which} not like {other}",
                capture=odd,
                hint="leave it out or take it again; each must show the same subject, close and well lit",
            )
        if not allow_duplicate:
            twin = self._twin(rows, limit, gone)
            if twin is not None:
                raise SubjectExistsError(
                    f"{name!r} looks like {twin!r}, who is enrolled: at the door one would be taken for the other",
                    hint="if they are two people, an administrator may enrol with allow_duplicate (--allow-duplicate)",
                )
        self._added.add(name, rows)

    def forget(self, name: str) -> None:
        """Somebody added in this transaction is not to be enrolled after all."""
        self._added.forget(name)

    def _twin(self, rows: Float64Array, limit: float, gone: Collection[int]) -> str | None:
        for row in rows:
            leaders = self._search.leaders(
                Probe.of(row), floor=limit, excluded_rows=self._search.rows_of(gone)
            )
            if leaders:
                return self._names[leaders[0].subject]
        return self._added.like(rows, limit)


def odd_capture(rows: Float64Array, threshold: float) -> int | None:
    """The capture least like the others, where some capture reaches the threshold with none of them.

    Args:
        rows: Shape (n, D), float64, length 1, n >= 2.
        threshold: A cosine.
    """
    scores = rows @ rows.T
    np.fill_diagonal(scores, -1.0)
    if scores.max(axis=1).min() >= threshold:
        return None
    return int(scores.sum(axis=1).argmin())


class _Added:
    """Captures of one transaction, in one growing block, so that a thousand enrolments cost a thousand products."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), np.float32)
        self._owners: list[str | None] = []

    def add(self, name: str, rows: Float64Array) -> None:
        used = len(self._owners)
        if used + len(rows) > len(self._rows):
            grown = np.zeros((2 * (used + len(rows)), rows.shape[1]), np.float32)
            if used:
                grown[:used] = self._rows[:used]
            self._rows = grown
        self._rows[used : used + len(rows)] = rows
        self._owners += [name] * len(rows)

    def forget(self, name: str) -> None:
        self._owners = [None if owner == name else owner for owner in self._owners]

    def like(self, rows: Float64Array, limit: float) -> str | None:
        if not self._owners:
            return None
        best = (self._rows[: len(self._owners)] @ rows.astype(np.float32).T).max(axis=1)
        return next((self._owners[i] for i in np.flatnonzero(best >= limit) if self._owners[i]), None)
