"""Checks before a subject is enrolled: its captures are alike, and no other subject looks like it; pure.

The thresholds come from the policy: captures of one subject must match each other at FMR 1e-2. A capture that matches
another subject's template at the gallery's threshold is refused, because the two would be confused.
`docs/explanation/decisions-at-the-door.md` has the error rates of both checks on real faces.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edge_sdk.errors import CaptureError, SubjectExistsError
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.rules.thresholds import Thresholds
from edge_sdk.types import Float64Array


class EnrolmentChecks:
    """Compares new captures with one another and with all other subjects, for one transaction.

    Args:
        thresholds: The thresholds of the policy.
        search: The stored templates.
        names: Names of the stored subjects, by index.
    """

    def __init__(self, thresholds: Thresholds, search: Search, names: tuple[str, ...]) -> None:
        self._thresholds = thresholds
        self._search = search
        self._names = names
        self._added = _Added()

    def check(
        self,
        name: str,
        rows: Float64Array,
        *,
        removed: Collection[int],
        references: int,
        allow_duplicate: bool,
    ) -> None:
        """Refuse captures that are not alike or look like another subject's.

        Args:
            name: Name of the new subject.
            rows: The captures, transformed: shape (n, D), float64, L2 norm 1.
            removed: Indices of stored subjects that the transaction removes.
            references: Number of templates in the gallery after this enrolment.
            allow_duplicate: Accept captures that look like another subject's.

        Raises:
            CaptureError: a capture is not like the others; the message names it.
            SubjectExistsError: the captures look like those of an enrolled subject, revoked or not, whom
                the message names.
            ModelCardError: the policy's evidence does not cover this many templates.
        """
        limit = self._thresholds.limit(references)
        odd = odd_capture(rows, self._thresholds.consistent_threshold()) if len(rows) > 1 else None
        if odd is not None:
            which = "the two captures are" if len(rows) == 2 else f"capture {odd + 1} of {len(rows)} is"
            other = "one another" if len(rows) == 2 else "the others"
            raise CaptureError(
                f"{which} not like {other}",
                capture=odd,
                hint="take new captures, all of the same subject, close and well lit; or leave out the one that differs",
            )
        if not allow_duplicate:
            similar = self._similar_subject(rows, limit, removed)
            if similar is not None:
                raise SubjectExistsError(
                    f"{name!r} looks like {similar!r}, who is enrolled: the gallery would confuse them",
                    hint="if they are two people, an administrator may enrol with allow_duplicate (--allow-duplicate)",
                )
        self._added.add(name, rows)

    def forget(self, name: str) -> None:
        """Forget a subject that was added in this transaction and removed again."""
        self._added.forget(name)

    def _similar_subject(self, rows: Float64Array, limit: float, removed: Collection[int]) -> str | None:
        for row in rows:
            leaders = self._search.leaders(
                Probe.of(row), floor=limit, excluded_rows=self._search.rows_of(removed)
            )
            if leaders:
                return self._names[leaders[0].subject]
        return self._added.similar_subject(rows, limit)


def odd_capture(rows: Float64Array, threshold: float) -> int | None:
    """Return the index of the capture least similar to the others if some capture matches no other one, otherwise None.

    Args:
        rows: Shape (n, D), float64, L2 norm 1, n >= 2.
        threshold: Cosine at which two captures match.
    """
    scores = rows @ rows.T
    np.fill_diagonal(scores, -1.0)
    if scores.max(axis=1).min() >= threshold:
        return None
    return int(scores.sum(axis=1).argmin())


class _Added:
    """Captures added in one transaction, in one growing array, so that each check is a single matrix product."""

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

    def similar_subject(self, rows: Float64Array, limit: float) -> str | None:
        if not self._owners:
            return None
        best = (self._rows[: len(self._owners)] @ rows.astype(np.float32).T).max(axis=1)
        return next((self._owners[i] for i in np.flatnonzero(best >= limit) if self._owners[i]), None)
