"""Checks before a subject is enrolled or gets further captures: these are alike, and no other subject looks like them; pure.

The thresholds come from the policy: each capture of an enrolment must match more than half of the others at FMR 1e-2, so
captures of two people do not pass as those of one, however many there are of each. A capture that matches
another subject's template at the gallery's threshold is refused, because the two would be confused. A capture that is
added to a subject must match at least half of the subject's own templates at FMR 1e-2: a stranger would match one of
several templates by chance more often. It must also match half of the templates of the subject's enrolment: otherwise a
row of additions, each like the ones before, could lead to another person.
`docs/explanation/decisions-at-the-door.md` has the error rates of both checks on real faces.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from edge_sdk.errors import CaptureError, InputError, SubjectExistsError
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.rules.thresholds import Thresholds
from edge_sdk.types import Float64Array

MAX_TEMPLATES_WITH_LOOKS = 64
# Two templates with this cosine or more are of the same picture. Quantization and five renewals of the transform change a
# cosine by less than its difference to 1.
_SAME_PICTURE = 1 - 5e-4


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
        self._require_alike(rows)
        self._refuse_similar(name, rows, limit, removed, allow_duplicate)
        self._added.add(name, rows)

    def check_look(
        self,
        name: str,
        rows: Float64Array,
        own: Float64Array,
        *,
        enrolled: int,
        removed: Collection[int],
        references: int,
        allow_duplicate: bool,
        allow_unlike: bool,
    ) -> None:
        """Refuse captures for an enrolled subject that are not alike, not like the subject, or like another subject.

        Args:
            name: Name of the subject.
            rows: The captures, see `check`.
            own: The subject's templates, in the same form, those of the enrolment first.
            enrolled: Number of templates of the enrolment.
            removed: Indices of stored subjects that are not compared: the subject itself, and removed ones.
            references: Number of templates in the gallery after the addition.
            allow_duplicate: Accept captures that look like another subject's.
            allow_unlike: Accept captures that are not like the subject's own templates.

        Raises:
            CaptureError, SubjectExistsError, ModelCardError: see `check`.
        """
        limit = self._thresholds.limit(references)
        self._require_alike(rows)
        for templates, kind in ((own, "stored templates"), (own[:enrolled], "templates of the enrolment")):
            unlike = None if allow_unlike else self._unlike(rows, templates)
            if unlike is None:
                continue
            which = "the capture is" if len(rows) == 1 else f"capture {unlike + 1} of {len(rows)} is"
            raise CaptureError(
                f"{which} not like {name!r}: it matches fewer than half of the {len(templates)} {kind}",
                capture=unlike,
                hint="check that it shows the same person; if it does, take a picture that is less different, or an"
                " administrator may add it with allow_unlike (--allow-unlike)",
            )
        self._refuse_similar(name, rows, limit, removed, allow_duplicate)
        self._added.add(name, rows)

    def forget(self, name: str) -> None:
        """Forget a subject that was added in this transaction and removed again."""
        self._added.forget(name)

    def is_like(self, rows: Float64Array, own: Float64Array, *, enrolled: int) -> bool:
        """Tell if captures are like a subject; see `check_look` for the arguments."""
        return self._unlike(rows, own) is None and self._unlike(rows, own[:enrolled]) is None

    def _unlike(self, rows: Float64Array, own: Float64Array) -> int | None:
        return unlike_capture(rows, own, self._thresholds.consistent_threshold())

    def _require_alike(self, rows: Float64Array) -> None:
        if len(rows) == 1:
            return
        threshold = self._thresholds.consistent_threshold()
        odd = odd_capture(rows, threshold)
        if odd is not None:
            raise CaptureError(
                _unlike_in_words(odd, groups_of_captures(rows, threshold), len(rows)),
                capture=odd,
                hint="take new captures, all of the same subject, close and well lit; or leave out those that differ",
            )

    def _refuse_similar(
        self, name: str, rows: Float64Array, limit: float, removed: Collection[int], allow_duplicate: bool
    ) -> None:
        similar = None if allow_duplicate else self.similar_subject(name, rows, limit, removed)
        if similar is not None:
            raise SubjectExistsError(
                f"{name!r} looks like {similar!r}, who is enrolled: the gallery would confuse them",
                hint="if they are two people, an administrator may enrol with allow_duplicate (--allow-duplicate)",
            )

    def similar_subject(
        self, name: str, rows: Float64Array, limit: float, removed: Collection[int]
    ) -> str | None:
        """Return the name of another subject that matches a capture, also one of this transaction; None if there is none."""
        for row in rows:
            leaders = self._search.leaders(
                Probe.of(row), floor=limit, excluded_rows=self._search.rows_of(removed)
            )
            if leaders:
                return self._names[leaders[0].subject]
        return self._added.similar_subject(name, rows, limit)


def odd_capture(rows: Float64Array, threshold: float) -> int | None:
    """Return the index of the capture least similar to the others if some capture matches at most half of the others.

    Otherwise return None: the captures are one group, because each part of them with at most half of the captures has a
    match outside it.

    Args:
        rows: Shape (n, D), float64, L2 norm 1, n >= 2.
        threshold: Cosine at which two captures match.
    """
    scores = _scores(rows)
    if 2 * (scores >= threshold).sum(axis=1).min() > len(rows) - 1:
        return None
    return int(scores.sum(axis=1).argmin())


def groups_of_captures(rows: Float64Array, threshold: float) -> list[list[int]]:
    """Return the indices of captures that are connected by matches, as groups without a match between them.

    Args:
        rows: Shape (n, D), float64, L2 norm 1.
        threshold: Cosine at which two captures match.
    """
    matches = _scores(rows) >= threshold
    left = set(range(len(rows)))
    groups = []
    while left:
        group = waiting = {min(left)}
        while waiting:
            left -= waiting
            waiting = {i for i in left if matches[i, list(waiting)].any()}
            group = group | waiting
        groups.append(sorted(group))
    return groups


def _scores(rows: Float64Array) -> Float64Array:
    """Return the scores of all pairs; those of a capture with itself are -2, below every threshold."""
    scores: Float64Array = rows @ rows.T
    np.fill_diagonal(scores, -2.0)
    return scores


def _unlike_in_words(odd: int, groups: Sequence[Sequence[int]], count: int) -> str:
    if count == 2:
        return "the two captures are not like one another"
    group = next(group for group in groups if odd in group)
    if len(groups) == 1 or len(group) == 1:
        return f"capture {odd + 1} of {count} is not like the others"
    numbers = ", ".join(str(index + 1) for index in group[:-1])
    return f"captures {numbers} and {group[-1] + 1} of {count} are like one another, and not like the others"


def unlike_capture(rows: Float64Array, own: Float64Array, threshold: float) -> int | None:
    """Return the index of the capture least similar to a subject if a capture matches fewer than half of its templates.

    Args:
        rows: Shape (n, D), float64, L2 norm 1.
        own: The subject's templates, shape (m, D), float64, L2 norm 1, m >= 1.
        threshold: Cosine at which two captures match.
    """
    scores = rows @ own.T
    if 2 * (scores >= threshold).sum(axis=1).min() >= len(own):
        return None
    return int(np.median(scores, axis=1).argmin())


def check_new_pictures(name: str, rows: Float64Array, own: Float64Array) -> None:
    """Refuse captures of pictures that are stored already, and more templates than a subject may have.

    Args:
        name: Name of the subject.
        rows: The captures, shape (n, D), float64, L2 norm 1.
        own: The subject's templates, in the same form.

    Raises:
        CaptureError: a capture is of a stored picture, or two captures are of the same picture.
        InputError: the subject would have more than 64 templates.
    """
    if len(own) + len(rows) > MAX_TEMPLATES_WITH_LOOKS:
        raise InputError(
            f"expected at most {MAX_TEMPLATES_WITH_LOOKS} templates of one subject, found {len(own)} stored and {len(rows)} new",
            hint="add fewer pictures, or remove a look with edge-sdk gallery remove-look",
        )
    for index, row in enumerate(rows):
        if (own @ row).max(initial=-1.0) >= _SAME_PICTURE or (rows[:index] @ row).max(
            initial=-1.0
        ) >= _SAME_PICTURE:
            raise CaptureError(
                f"capture {index + 1} of {len(rows)} is a picture that {name!r} has already",
                capture=index,
                hint="the same picture adds nothing: take a new one",
            )


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

    def similar_subject(self, name: str, rows: Float64Array, limit: float) -> str | None:
        if not self._owners:
            return None
        best = (self._rows[: len(self._owners)] @ rows.astype(np.float32).T).max(axis=1)
        owners = (self._owners[i] for i in np.flatnonzero(best >= limit))
        return next((owner for owner in owners if owner not in (None, name)), None)
