"""Names, labels and validity of subjects: the options of an enrolment and the checks of their values."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from edge_sdk.errors import InputError, SubjectUnknownError
from edge_sdk.gallery.format.content import (
    FORBIDDEN_TEXT,
    MAX_NAME_BYTES,
    OWN_THRESHOLDS,
    REVOKED,
    Content,
    ids_of,
    templates_per_subject,
)
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.results import Subject
from edge_sdk.gallery.rules.policy import parse_own_thresholds


@dataclass(frozen=True)
class EnrolOptions:
    """Options of an enrolment.

    Args:
        label: Text for display, 0..64 bytes of UTF-8, no control characters; kept in Unicode form NFC.
        valid_from: The subject is not accepted before this time: Unix seconds or a datetime with a time zone.
        valid_until: The subject is not accepted from this time on; same types.
        allow_duplicate: Enrol even if the captures look like another subject's, after an administrator has checked.
        enrolled_by: Id of the enrolling party, 16 bytes; zeros if it is not recorded.

    Raises:
        InputError: a value is malformed, or valid_until is before valid_from.
    """

    label: str = ""
    valid_from: float | datetime | None = None
    valid_until: float | datetime | None = None
    allow_duplicate: bool = False
    enrolled_by: bytes = bytes(ID_BYTES)

    def __post_init__(self) -> None:
        if len(self.enrolled_by) != ID_BYTES:
            raise InputError(f"enrolled_by has {len(self.enrolled_by)} bytes, expected {ID_BYTES}")
        check_validity(*self.validity_s)
        object.__setattr__(self, "label", checked_text(self.label, "a label", min_bytes=0))

    @property
    def validity_s(self) -> tuple[int, int]:
        """Start and end of validity, Unix seconds; 0 for no bound."""
        return unix_seconds(self.valid_from), unix_seconds(self.valid_until)


def subjects_of(content: Content) -> tuple[Subject, ...]:
    """Return the enrolled subjects, in order of enrolment."""
    counts = templates_per_subject(content.templates, len(content.subjects)).tolist()
    thresholds = parse_own_thresholds(content.record(OWN_THRESHOLDS) or b"")
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
        )
        for name, label, count, row, subject in zip(
            content.names, content.labels, counts, content.subjects, ids_of(content.subjects), strict=True
        )
    )


def normalized(name: str) -> str:
    """Return a name in Unicode form NFC, the form in which names are stored."""
    return unicodedata.normalize("NFC", name)


def checked_text(text: str, what: str, *, min_bytes: int) -> str:
    """Return a name or label in Unicode form NFC.

    Raises:
        InputError: not `min_bytes`..64 bytes of UTF-8, or with control characters.
    """
    if not isinstance(text, str):
        raise InputError(f"expected {what} as str, found {type(text).__name__}")
    normal = normalized(text)
    try:
        length = len(normal.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"{what} cannot be written as UTF-8") from error
    if not min_bytes <= length <= MAX_NAME_BYTES:
        raise InputError(f"{what} has {length} bytes, expected {min_bytes}..{MAX_NAME_BYTES}")
    if FORBIDDEN_TEXT.search(normal):
        raise InputError(f"{what} contains a control character")
    return normal


def unix_seconds(time: float | datetime | None) -> int:
    """Convert a time to whole Unix seconds; None to 0.

    Raises:
        InputError: a datetime without time zone, a time before 1970, or not finite.
    """
    if time is None:
        return 0
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise InputError(
                "expected a datetime with a time zone, found one without",
                hint="for example datetime.now(timezone.utc)",
            )
        time = time.timestamp()
    if not 0 < time < 1 << 63:
        raise InputError(f"{time} is not a time in Unix seconds")
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
