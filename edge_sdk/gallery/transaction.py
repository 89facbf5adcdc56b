"""Changes to a gallery, gathered and then applied to its content at once; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, SubjectExistsError, SubjectUnknownError
from edge_sdk.gallery.attempts import AttemptPolicy, pack_limit
from edge_sdk.gallery.format.content import (
    ATTEMPT_POLICY,
    DECISION_POLICY,
    FORBIDDEN_TEXT,
    MAX_NAME_BYTES,
    OWN_THRESHOLDS,
    REVOKED,
    SUBJECT,
    TEMPLATE,
    Content,
    PolicyRecord,
)
from edge_sdk.gallery.format.header import ID_BYTES, TemplateType
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.gallery.rules.enrolment import EnrolmentChecks
from edge_sdk.gallery.rules.policy import (
    DecisionPolicy,
    is_cosine,
    pack_own_thresholds,
    pack_policy,
    parse_own_thresholds,
)
from edge_sdk.types import Float64Array, FloatArray


@dataclass(frozen=True, eq=False)
class _Addition:
    subject: NDArray[np.void]
    label: str
    rows: NDArray[Any]
    scales: FloatArray


class Transaction:
    """Several changes that become one commit; from `Gallery.transaction()`.

    Each method checks at once and raises at once; nothing is stored before the `with` block ends
    without an exception.
    """

    def __init__(
        self,
        content: Content,
        *,
        template_type: TemplateType,
        transform: Callable[[Float64Array], Float64Array],
        random: Callable[[int], bytes],
        now_s: int,
        checks: EnrolmentChecks | None = None,
    ) -> None:
        self._content = content
        self._checks = checks
        self._policy = {record.kind: record for record in content.policy}
        self._gone: set[int] = set()
        self._references = len(content.templates)
        self._template_type = template_type
        self._transform = transform
        self._random = random
        self._now_s = now_s
        self._kept = dict(zip(content.names, range(len(content.names)), strict=True))
        self._fields: dict[int, dict[str, int]] = {}
        self._labels: dict[int, str] = {}
        self._added: dict[str, _Addition] = {}

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self._added
            or self._fields
            or self._labels
            or len(self._kept) != len(self._content.names)
            or self._policy != {record.kind: record for record in self._content.policy}
        )

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        *,
        label: str = "",
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
        enrolled_by: bytes = bytes(ID_BYTES),
        allow_duplicate: bool = False,
    ) -> None:
        """Add a subject with its templates.

        Where the gallery has a decision policy, captures that are not alike and captures that look like another
        subject's are refused.

        Args:
            subject: Unique name, 1..64 bytes of UTF-8 (kept in Unicode form NFC), no control characters.
            embeddings: Shape (n, D) or (D,), float32, finite, any length; n >= 1.
            label: For display, 0..64 bytes of UTF-8, no control characters.
            valid_from: Not accepted before; Unix seconds or an aware datetime.
            valid_until: Not accepted from then on; the same.
            enrolled_by: 16 bytes, id of who enrols; zeros when not recorded.
            allow_duplicate: An administrator says that the likeness to another subject is no mistake.

        Raises:
            InputError: an argument is malformed.
            CaptureError: a capture is like none of the others; says which.
            SubjectExistsError: the name is taken, or the captures look like another subject's; says whose.
            ModelCardError: the policy's evidence does not reach a gallery of so many templates.
        """
        name = checked_text(subject, "a subject's name", min_bytes=1)
        if name in self._kept or name in self._added:
            raise SubjectExistsError(
                f"{name!r} is enrolled already", hint="remove it first, or choose another name"
            )
        if len(enrolled_by) != ID_BYTES:
            raise InputError(f"enrolled_by has {len(enrolled_by)} bytes, expected {ID_BYTES}")
        begins, ends = seconds(valid_from), seconds(valid_until)
        if ends and ends < begins:
            raise InputError("valid_until is before valid_from")
        given = np.atleast_2d(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
        unit = unit_rows(given, self._content.matrix.shape[1])
        if len(unit) == 0:
            raise InputError("expected at least one embedding, found none")
        rows = self._transform(unit)
        if self._checks is not None:
            self._checks.check(
                name,
                rows,
                gone=self._gone,
                references=self._references + len(rows),
                allow_duplicate=allow_duplicate,
            )
        stored, scales = quantize(rows, self._template_type)
        record = np.zeros(1, dtype=SUBJECT)
        record["id"] = np.frombuffer(self._random(ID_BYTES), dtype=np.uint8)
        record["enrolled_by"] = np.frombuffer(enrolled_by, dtype=np.uint8)
        record["valid_from"], record["valid_until"], record["enrolled_at"] = begins, ends, self._now_s
        self._references += len(rows)
        self._added[name] = _Addition(record, checked_text(label, "a label", min_bytes=0), stored, scales)

    def remove(self, subject: str) -> None:
        """Take a subject and its templates out.

        Raises:
            SubjectUnknownError: not enrolled.
        """
        name = self._enrolled(subject)
        addition = self._added.pop(name, None)
        if addition is not None:
            self._references -= len(addition.rows)
            if self._checks is not None:
                self._checks.forget(name)
        index = self._kept.pop(name, None)
        if index is not None:
            self._fields.pop(index, None)
            self._labels.pop(index, None)
            self._gone.add(index)
            self._references -= int(np.count_nonzero(self._content.templates["subject"] == index))
            self._set_own_threshold(index, None)

    def revoke(self, subject: str) -> None:
        """Keep a subject but accept it no more.

        Raises:
            SubjectUnknownError: not enrolled.
        """
        self._set_flag(self._enrolled(subject), revoked=True)

    def reinstate(self, subject: str) -> None:
        """Undo `revoke`.

        Raises:
            SubjectUnknownError: not enrolled.
        """
        self._set_flag(self._enrolled(subject), revoked=False)

    def change(
        self,
        subject: str,
        *,
        label: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
    ) -> None:
        """Give a subject another label or other bounds; its templates stay as they are.

        Args:
            subject: Enrolled before this transaction.
            label: As `enrol`; None leaves it.
            valid_from: As `enrol`; 0 takes the bound away, None leaves it.
            valid_until: The same.

        Raises:
            InputError: an argument is malformed, none is given, or valid_until is before valid_from.
            SubjectUnknownError: not enrolled before this transaction.
        """
        name = unicodedata.normalize("NFC", subject)
        if name not in self._kept:
            raise unknown(name)
        if label is None and valid_from is None and valid_until is None:
            raise InputError("expected a label, valid_from or valid_until to change, found none")
        index = self._kept[name]
        fields = dict(self._fields.get(index, {}))
        for field, when in (("valid_from", valid_from), ("valid_until", valid_until)):
            if when is not None:
                fields[field] = 0 if when == 0 else seconds(when)
        row = self._content.subjects[index]
        begins, ends = (int(fields.get(field, row[field])) for field in ("valid_from", "valid_until"))
        if ends and ends < begins:
            raise InputError("valid_until is before valid_from")
        if label is not None:
            self._labels[index] = checked_text(label, "a label", min_bytes=0)
        if fields:
            self._fields[index] = fields

    def set_policy(self, policy: DecisionPolicy | None) -> None:
        """Tell the gallery how to decide; None takes the policy out, and every caller brings a threshold.

        Raises:
            ModelCardError: the policy's evidence does not reach the gallery's size.
        """
        if policy is not None:
            policy.limit(len(self._content.templates))
        self._set_record(DECISION_POLICY, None if policy is None else pack_policy(policy))

    def limit_attempts(self, limit: AttemptPolicy | None) -> None:
        """Count failures from now on, beginning anew, whatever was counted before; None counts no more."""
        self._set_record(ATTEMPT_POLICY, None if limit is None else pack_limit(limit, self._random(ID_BYTES)))

    def set_threshold(self, subject: str, threshold: float | None) -> None:
        """Ask more of one subject than of the others; it counts where it is above the gallery's threshold.

        Args:
            subject: Enrolled before this transaction.
            threshold: A cosine, -1..1; None for the gallery's own.

        Raises:
            InputError: no cosine.
            SubjectUnknownError: not enrolled before this transaction.
        """
        name = unicodedata.normalize("NFC", subject)
        if name not in self._kept:
            raise unknown(name)
        if threshold is not None and not is_cosine(threshold):
            raise InputError(f"threshold {threshold} is not a cosine in -1..1")
        self._set_own_threshold(self._kept[name], threshold)

    def apply(self) -> Content:
        """The content with every change made; subjects and templates keep their order."""
        old = self._content
        places = sorted(self._kept.values())
        kept = np.array(places, dtype=np.int64)
        subjects = old.subjects[kept]
        for index, fields in self._fields.items():
            for field, value in fields.items():
                subjects[field][np.searchsorted(kept, index)] = value
        new_index = np.full(len(old.subjects), -1, dtype=np.int64)
        new_index[kept] = np.arange(len(kept))
        owners = new_index[old.templates["subject"]]
        stays = owners >= 0
        templates = old.templates[stays]
        templates["subject"] = owners[stays]
        matrix = old.matrix if stays.all() else old.matrix[stays]
        labels = list(map(old.labels.__getitem__, places))
        for index, label in self._labels.items():
            labels[int(np.searchsorted(kept, index))] = label
        added = list(self._added.values())
        tables = [_table(len(kept) + i, addition.scales) for i, addition in enumerate(added)]
        return replace(
            old,
            committed_at_s=self._now_s,
            subjects=np.concatenate([subjects, *(a.subject for a in added)]),
            names=(*map(old.names.__getitem__, places), *self._added),
            labels=(*labels, *(a.label for a in added)),
            templates=np.concatenate([templates, *tables]),
            matrix=np.concatenate([matrix, *(a.rows for a in added)]) if added else matrix,
            policy=tuple(self._policy[kind] for kind in sorted(self._policy)),
        )

    def _set_own_threshold(self, index: int, threshold: float | None) -> None:
        record = self._policy.get(OWN_THRESHOLDS)
        own = {} if record is None else parse_own_thresholds(record.value)
        subject = self._content.subjects["id"][index].tobytes()
        own.pop(subject, None)
        if threshold is not None:
            own[subject] = float(threshold)
        self._set_record(OWN_THRESHOLDS, pack_own_thresholds(own) if own else None)

    def _set_record(self, kind: int, value: bytes | None) -> None:
        self._policy.pop(kind, None)
        if value is not None:
            self._policy[kind] = PolicyRecord(kind, critical=True, value=value)

    def _enrolled(self, subject: str) -> str:
        name = unicodedata.normalize("NFC", subject)
        if name not in self._kept and name not in self._added:
            raise unknown(name)
        return name

    def _set_flag(self, name: str, *, revoked: bool) -> None:
        if name in self._added:
            self._added[name].subject["flags"] = REVOKED if revoked else 0
        else:
            self._fields.setdefault(self._kept[name], {})["flags"] = REVOKED if revoked else 0


def unknown(name: str) -> SubjectUnknownError:
    """The error for a name that is not enrolled."""
    return SubjectUnknownError(f"{name!r} is not enrolled", hint="list the gallery's subjects")


def checked_text(text: str, what: str, *, min_bytes: int) -> str:
    """A name or label in Unicode form NFC.

    Raises:
        InputError: not `min_bytes`..64 bytes of UTF-8, or with control characters.
    """
    if not isinstance(text, str):
        raise InputError(f"expected {what} as str, found {type(text).__name__}")
    normal = unicodedata.normalize("NFC", text)
    try:
        length = len(normal.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"{what} cannot be written as UTF-8") from error
    if not min_bytes <= length <= MAX_NAME_BYTES:
        raise InputError(f"{what} has {length} bytes, expected {min_bytes}..{MAX_NAME_BYTES}")
    if FORBIDDEN_TEXT.search(normal):
        raise InputError(f"{what} contains a control character")
    return normal


def seconds(when: float | datetime | None) -> int:
    """Unix seconds of a moment; 0 for None.

    Raises:
        InputError: a datetime without time zone, or before 1970, or not finite.
    """
    if when is None:
        return 0
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise InputError("expected a datetime with a time zone", hint="datetime.now(timezone.utc)")
        when = when.timestamp()
    if not 0 < when < 1 << 63:
        raise InputError(f"{when} is not a time in Unix seconds")
    return int(when)


def _table(subject: int, scales: FloatArray) -> NDArray[np.void]:
    table = np.zeros(len(scales), dtype=TEMPLATE)
    table["subject"] = subject
    table["scale"] = scales
    return table
