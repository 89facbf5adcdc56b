"""Names, labels and validity of subjects: the options of an enrolment and the checks of their values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edge_sdk.errors import InputError, SubjectUnknownError
from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.format.content import (
    OWN_THRESHOLDS,
    REVOKED,
    Content,
    ids_of,
    templates_per_subject,
)
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.looks import looks_by_subject
from edge_sdk.gallery.results import Subject, SubjectLook
from edge_sdk.gallery.rules.names import checked_text
from edge_sdk.gallery.rules.policy import parse_own_thresholds
from edge_sdk.gallery.rules.real_numbers import is_real, shown

#: Earliest time that may be given as a number, 2001-09-09. A smaller number is an error, such as a duration.
MIN_TIME_S = 1_000_000_000
#: Latest time: the end of the year 9999 in every time zone. A greater number is an error, such as milliseconds.
MAX_TIME_S = 253_402_387_199


@dataclass(frozen=True)
class EnrolOptions:
    """Options of an enrolment.

    Args:
        label: Text for display, 0..64 bytes of UTF-8, no control characters; kept in Unicode form NFC.
        valid_from: The subject is not accepted before this time: Unix seconds from 1e9 (2001) on, or a datetime with a
            time zone; None for no bound.
        valid_until: The subject is not accepted from this time on; same types.
        allow_duplicate: Enrol even if the captures look like another subject's, after an administrator has checked.
        enrolled_by: Id of the enrolling party, 16 bytes; zeros if it is not recorded.
        weaker_limits: Names of the quality limits that were weakened for this enrolment, for the audit log.
        add: Add the captures to an enrolled subject, for example with glasses. Its label and validity stay.
        look: With `add`: name of the look, 0..64 bytes of UTF-8, unique for the subject; by default `look 2` and so on.
        allow_unlike: With `add`: accept captures that are not like the subject's own, after an administrator has checked
            that they show the same person.
        captures: Crops of this enrolment to seal and store beside the gallery, with the consent; None stores none.

    Raises:
        InputError: a value is malformed, valid_until is before valid_from, or options are given that do not fit `add`.
    """

    label: str = ""
    valid_from: float | datetime | None = None
    valid_until: float | datetime | None = None
    allow_duplicate: bool = False
    enrolled_by: bytes = bytes(ID_BYTES)
    weaker_limits: tuple[str, ...] = ()
    add: bool = False
    look: str = ""
    allow_unlike: bool = False
    captures: Crops | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.enrolled_by, bytes) or len(self.enrolled_by) != ID_BYTES:
            size = f"{len(self.enrolled_by)} bytes" if isinstance(self.enrolled_by, bytes) else "no bytes"
            raise InputError(f"expected enrolled_by of {ID_BYTES} bytes, found {size}")
        for option in ("allow_duplicate", "add", "allow_unlike"):
            value = getattr(self, option)
            if not isinstance(value, bool):
                raise InputError(f"expected {option} as True or False, found {type(value).__name__}")
        for name in self.weaker_limits:
            if not (name.isascii() and name.isidentifier()):
                raise InputError(f"expected the name of a quality limit, found {name!r}")
        check_validity(*self.validity_s)
        object.__setattr__(self, "label", checked_text(self.label, "a label", min_bytes=0))
        object.__setattr__(self, "look", checked_text(self.look, "the name of a look", min_bytes=0))
        if self.add and (self.label or any(self.validity_s) or any(self.enrolled_by)):
            raise InputError(
                "expected no label, validity or enrolling party for pictures that are added to a subject, found one",
                hint="change them with edge-sdk gallery change",
            )
        if not self.add and (self.look or self.allow_unlike):
            raise InputError(
                f"expected {'a look' if self.look else 'allow_unlike'} only for pictures that are added to an enrolled subject,"
                " found a new enrolment",
                hint="add the pictures with add=True (--add), or leave the option out",
            )

    @property
    def validity_s(self) -> tuple[int, int]:
        """Start and end of validity, Unix seconds; 0 for no bound."""
        return unix_seconds(self.valid_from), unix_seconds(self.valid_until)


def subjects_of(content: Content) -> tuple[Subject, ...]:
    """Return the enrolled subjects, in order of enrolment."""
    counts = templates_per_subject(content.templates, len(content.subjects)).tolist()
    thresholds = parse_own_thresholds(content.record(OWN_THRESHOLDS) or b"")
    looks = looks_by_subject(content)
    return tuple(
        Subject(
            name=name,
            label=label,
            templates=count,
            valid_from_s=int(row["valid_from"]),
            valid_until_s=int(row["valid_until"]),
            enrolled_at_s=int(row["enrolled_at"]),
            revoked=bool(row["flags"] & REVOKED),
            id=subject.hex(),
            threshold=thresholds.get(subject),
            looks=tuple(
                SubjectLook(look.id.hex(), look.name, look.templates, look.added_at_s)
                for look in looks.get(subject, ())
            ),
        )
        for name, label, count, row, subject in zip(
            content.names, content.labels, counts, content.subjects, ids_of(content.subjects), strict=True
        )
    )


def unix_seconds(time: float | datetime | None) -> int:
    """Convert a time to whole Unix seconds; None to 0.

    Raises:
        InputError: a datetime without time zone, a value of another type, or a time outside 1970 (a datetime) or
            2001-09-09 (a number, 1e9) to the year 9999.
    """
    if time is None:
        return 0
    earliest_s = MIN_TIME_S
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise InputError(
                "expected a datetime with a time zone, found one without",
                hint="for example datetime.now(timezone.utc)",
            )
        earliest_s, time = 1, time.timestamp()
    if not is_real(time):
        raise InputError(
            f"expected a time as Unix seconds or a datetime, found {type(time).__name__}, which is not a time"
        )
    if not earliest_s <= time <= MAX_TIME_S:
        raise InputError(
            f"{shown(time)} is not a time in Unix seconds from {earliest_s} to the year 9999",
            hint="give seconds since 1970, not a duration and not milliseconds; or a datetime with a time zone",
        )
    return int(time)


def check_validity(begin_s: int, end_s: int) -> None:
    """Raise InputError if validity ends before it begins; 0 for no bound."""
    if end_s and end_s < begin_s:
        raise InputError("valid_until is before valid_from")


def unknown_subject(name: str) -> SubjectUnknownError:
    """Return the error for a name that is not enrolled."""
    return SubjectUnknownError(
        f"{name!r} is not enrolled", hint="edge-sdk gallery list shows the enrolled subjects"
    )


ENROL_DEFAULTS = EnrolOptions()
