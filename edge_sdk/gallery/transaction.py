"""Collect changes to a gallery and apply them to its content at once; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, SubjectExistsError
from edge_sdk.gallery.attempt_counter import AttemptPolicy, pack_limit
from edge_sdk.gallery.format.content import (
    ATTEMPT_POLICY,
    DECISION_POLICY,
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
from edge_sdk.gallery.subjects import (
    ENROL_DEFAULTS,
    EnrolOptions,
    check_validity,
    checked_text,
    normalized,
    unix_seconds,
    unknown_subject,
)
from edge_sdk.types import Float64Array, FloatArray


@dataclass(frozen=True, eq=False)
class _Addition:
    """A subject to be added: its record and its quantized templates."""

    record: NDArray[np.void]
    label: str
    rows: NDArray[Any]
    scales: FloatArray


class Transaction:
    """Several changes that are committed together; returned by `Gallery.transaction()`.

    Each method checks its arguments at once. Nothing is stored before the `with` block ends without an exception.
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
        self._removed: set[int] = set()
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
        """True if there is anything to commit."""
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
        options: EnrolOptions = ENROL_DEFAULTS,
        **fields: Any,
    ) -> None:
        """Add a subject with its templates.

        If the gallery has a decision policy, captures that are not alike and captures that look like another
        subject's are refused.

        Args:
            subject: Unique name, 1..64 bytes of UTF-8 (kept in Unicode form NFC), no control characters.
            embeddings: Shape (n, D) or (D,), float32, finite, any length; n >= 1.
            options: Label, validity and duplicates; none by default.
            fields: Fields of `EnrolOptions`, instead of `options`.

        Raises:
            InputError: an argument is malformed.
            CaptureError: a capture is not like the others; the message names it.
            SubjectExistsError: the name is taken, or the captures look like another subject's, whom the message names.
            ModelCardError: the policy's evidence does not cover a gallery of this many templates.
        """
        name = checked_text(subject, "a subject's name", min_bytes=1)
        if name in self._kept or name in self._added:
            raise SubjectExistsError(
                f"{name!r} is enrolled already", hint="remove it first, or choose another name"
            )
        options = replace(options, **fields)
        captures = np.atleast_2d(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
        unit = unit_rows(captures, self._content.matrix.shape[1])
        if len(unit) == 0:
            raise InputError("expected at least one embedding, found none")
        rows = self._transform(unit)
        if self._checks is not None:
            self._checks.check(
                name,
                rows,
                removed=self._removed,
                references=self._references + len(rows),
                allow_duplicate=options.allow_duplicate,
            )
        stored, scales = quantize(rows, self._template_type)
        record = np.zeros(1, dtype=SUBJECT)
        record["id"] = np.frombuffer(self._random(ID_BYTES), dtype=np.uint8)
        record["enrolled_by"] = np.frombuffer(options.enrolled_by, dtype=np.uint8)
        record["valid_from"], record["valid_until"] = options.validity_s
        record["enrolled_at"] = self._now_s
        self._references += len(rows)
        self._added[name] = _Addition(record, options.label, stored, scales)

    def remove(self, subject: str) -> None:
        """Remove a subject and its templates.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
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
            self._removed.add(index)
            self._references -= int(np.count_nonzero(self._content.templates["subject"] == index))
            self._set_own_threshold(index, None)

    def revoke(self, subject: str) -> None:
        """Keep a subject enrolled but never accept it, until `reinstate`.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
        """
        self._set_flag(self._enrolled(subject), revoked=True)

    def reinstate(self, subject: str) -> None:
        """Undo `revoke`.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
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
        """Change a subject's label or validity; its templates are kept.

        Args:
            subject: A subject enrolled before this transaction.
            label: New label, see `EnrolOptions`; None keeps the present one.
            valid_from: New start of validity, see `EnrolOptions`; 0 removes the bound, None keeps it.
            valid_until: New end of validity; same rules.

        Raises:
            InputError: an argument is malformed, nothing to change is given, or valid_until is before valid_from.
            SubjectUnknownError: the subject was not enrolled before this transaction.
        """
        index = self._enrolled_before(subject)
        if label is None and valid_from is None and valid_until is None:
            raise InputError("expected a label, valid_from or valid_until to change, found none")
        fields = dict(self._fields.get(index, {}))
        for field, bound in (("valid_from", valid_from), ("valid_until", valid_until)):
            if bound is not None:
                fields[field] = 0 if bound == 0 else unix_seconds(bound)
        row = self._content.subjects[index]
        begin_s, end_s = (int(fields.get(field, row[field])) for field in ("valid_from", "valid_until"))
        check_validity(begin_s, end_s)
        if label is not None:
            self._labels[index] = checked_text(label, "a label", min_bytes=0)
        if fields:
            self._fields[index] = fields

    def set_policy(self, policy: DecisionPolicy | None) -> None:
        """Store the policy by which the gallery decides; None removes it, so each caller must give a threshold.

        Raises:
            ModelCardError: the policy's evidence does not cover a gallery of this size.
        """
        if policy is not None:
            policy.limit(len(self._content.templates))
        self._set_record(DECISION_POLICY, None if policy is None else pack_policy(policy))

    def limit_attempts(self, limit: AttemptPolicy | None) -> None:
        """Limit failed attempts and start a new counter at 0; None removes the limit."""
        self._set_record(ATTEMPT_POLICY, None if limit is None else pack_limit(limit, self._random(ID_BYTES)))

    def set_threshold(self, subject: str, threshold: float | None) -> None:
        """Set a stricter threshold for one subject; it applies if it is above the gallery's threshold.

        Args:
            subject: A subject enrolled before this transaction.
            threshold: Cosine, -1..1; None for the gallery's threshold.

        Raises:
            InputError: the threshold is not a cosine.
            SubjectUnknownError: the subject was not enrolled before this transaction.
        """
        index = self._enrolled_before(subject)
        if threshold is not None and not is_cosine(threshold):
            raise InputError(f"threshold {threshold} is not a cosine in -1..1")
        self._set_own_threshold(index, threshold)

    def apply(self) -> Content:
        """Return the content with all changes; subjects and templates keep their order."""
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
        is_kept = owners >= 0
        templates = old.templates[is_kept]
        templates["subject"] = owners[is_kept]
        matrix = old.matrix if is_kept.all() else old.matrix[is_kept]
        labels = list(map(old.labels.__getitem__, places))
        for index, label in self._labels.items():
            labels[int(np.searchsorted(kept, index))] = label
        added = list(self._added.values())
        tables = [_table(len(kept) + i, addition.scales) for i, addition in enumerate(added)]
        return replace(
            old,
            committed_at_s=self._now_s,
            subjects=np.concatenate([subjects, *(a.record for a in added)]),
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
        name = normalized(subject)
        if name not in self._kept and name not in self._added:
            raise unknown_subject(name)
        return name

    def _enrolled_before(self, subject: str) -> int:
        """Index in the old content of a subject that was enrolled before this transaction."""
        name = normalized(subject)
        if name not in self._kept:
            raise unknown_subject(name)
        return self._kept[name]

    def _set_flag(self, name: str, *, revoked: bool) -> None:
        if name in self._added:
            self._added[name].record["flags"] = REVOKED if revoked else 0
        else:
            self._fields.setdefault(self._kept[name], {})["flags"] = REVOKED if revoked else 0


def _table(subject: int, scales: FloatArray) -> NDArray[np.void]:
    table = np.zeros(len(scales), dtype=TEMPLATE)
    table["subject"] = subject
    table["scale"] = scales
    return table
