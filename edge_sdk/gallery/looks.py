"""Looks of the subjects in a content, and the names of new looks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.errors import InputError, SubjectUnknownError
from edge_sdk.gallery.format.content import LOOKS, Content, ids_of, templates_per_subject
from edge_sdk.gallery.format.looks import MAX_LOOKS, Look, parse_looks
from edge_sdk.gallery.rules.names import checked_text


def looks_by_subject(content: Content) -> dict[bytes, list[Look]]:
    """Return the looks of each subject, by its id.

    Entries of an unknown subject, or with as many templates as the subject has or more, have no effect.
    """
    looks: dict[bytes, list[Look]] = {}
    for look in parse_looks(content.record(LOOKS) or b""):
        looks.setdefault(look.subject, []).append(look)
    if not looks:
        return looks
    counts = templates_per_subject(content.templates, len(content.subjects)).tolist()
    templates = dict(zip(ids_of(content.subjects), counts, strict=True))
    return {
        subject: of_subject
        for subject, of_subject in looks.items()
        if sum(look.templates for look in of_subject) < templates.get(subject, 0)
    }


def rows_of_look(looks: Sequence[Look], place: int) -> slice:
    """Return which of a subject's templates belong to one of its looks, as a slice from the end."""
    after = sum(look.templates for look in looks[place + 1 :])
    return slice(-after - looks[place].templates, -after or None)


def checked_look_name(name: str, looks: Sequence[Look]) -> str:
    """Return the name of a new look in Unicode form NFC; by default `look 2`, `look 3` and so on.

    Args:
        name: Name, or an empty text.
        looks: The looks that the subject has.

    Raises:
        InputError: the name is malformed or taken, or the subject has 16 looks.
    """
    if len(looks) >= MAX_LOOKS:
        raise InputError(
            f"expected at most {MAX_LOOKS} looks of one subject, found one more",
            hint="remove a look with edge-sdk gallery remove-look",
        )
    taken = {look.name for look in looks}
    if not name:
        numbers = range(2 + len(looks), 3 + 2 * len(looks))
        return next(free for number in numbers if (free := f"look {number}") not in taken)
    checked = checked_text(name, "the name of a look", min_bytes=1)
    if checked in taken:
        raise InputError(
            f"the subject has a look {checked!r} already",
            hint="choose another name, or remove that look with edge-sdk gallery remove-look",
        )
    return checked


def unknown_look(subject: str, look: str, names: Sequence[str]) -> SubjectUnknownError:
    """Return the error for a look that a subject does not have."""
    known = ", ".join(repr(name) for name in names) or "none"
    return SubjectUnknownError(f"{subject!r} has no look {look!r}; its looks: {known}")
