"""Collect changes to a gallery and apply them to its content at once; pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, SubjectExistsError
from edge_sdk.gallery.format.content import (
    DECISION_POLICY,
    LOOKS,
    OWN_THRESHOLDS,
    POLICY_EVIDENCE,
    REVOKED,
    SUBJECT,
    TEMPLATE,
    Content,
)
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.format.looks import pack_looks
from edge_sdk.gallery.rules.known_time import format_time
from edge_sdk.gallery.rules.names import Names, checked_name, checked_text, require_distinct
from edge_sdk.gallery.rules.policy import BelowPolicyError, pack_own_thresholds, parse_own_thresholds
from edge_sdk.gallery.rules.real_numbers import checked_threshold, is_real
from edge_sdk.gallery.rules.thresholds import Thresholds, raised_threshold_of
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.subjects import (
    ENROL_DEFAULTS,
    EnrolOptions,
    check_validity,
    unix_seconds,
)
from edge_sdk.gallery.template_changes import Addition, TemplateChanges
from edge_sdk.types import FloatArray


class Transaction(TemplateChanges):
    """Several changes that are committed together; returned by `Gallery.transaction()`.

    Each method checks its arguments at once. Nothing is stored before the `with` block ends without an exception.
    """

    @property
    def notes(self) -> tuple[AuditEvent, ...]:
        """Entries for the audit log that the changed content does not show."""
        return tuple(note for notes in self._notes.values() for note in notes)

    @property
    def changed(self) -> bool:
        """True if there is anything to commit."""
        return bool(
            self._added
            or self._added_rows
            or self._removed_rows
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
        """Add a subject with its templates; with `add`, add templates to an enrolled subject.

        If the gallery has a decision policy, captures that are not alike and captures that look like another
        subject's are refused. Added captures must also be like the subject's own templates: each must reach the threshold
        for captures with at least half of them, and with at least half of those of the enrolment.

        Args:
            subject: Unique name, see `rules.names`; kept in Unicode form NFC. With `add`: name of an enrolled subject.
            embeddings: Shape (n, D) or (D,), float32, finite, any length; n >= 1.
            options: Label, validity, duplicates, and a look to add; none by default.
            fields: Fields of `EnrolOptions`, instead of `options`.

        Raises:
            InputError: an argument is malformed, or valid_until has passed; with `add`: the subject is revoked, or has 64
                templates or 16 looks already.
            CaptureError: a capture is not like the others; with `add`: it is not like the subject's own templates, or its
                picture is stored already. The message names the capture.
            SubjectUnknownError: with `add`: the subject is not enrolled.
            SubjectExistsError: the name is taken, or the captures look like another subject's, whom the message names.
            ModelCardError: the policy's evidence does not cover a gallery of this many templates.
            GalleryError: captures are given, and the gallery does not store captures.
        """
        options = replace(options, **fields)
        if options.add:
            self._add_look(subject, embeddings, options)
        else:
            self.enrol_as(self._random(ID_BYTES), subject, embeddings, options)

    def enrol_as(
        self, subject_id: bytes, subject: str, embeddings: NDArray[np.float32], options: EnrolOptions
    ) -> None:
        """Add a subject with a given id, such as the one that it has in another gallery; otherwise as `enrol`.

        Args:
            subject_id: 16 bytes; no other subject has it.
            subject: See `enrol`.
            embeddings: See `enrol`.
            options: See `enrol`.
        """
        name = checked_name(subject)
        same = self.name_of(subject_id)
        if same is not None and same != name:
            raise SubjectExistsError(
                f"{name!r} is enrolled already, as {same!r}", hint="remove that subject first"
            )
        if self._names is None:
            self._names = Names([*self._kept, *self._added])
        if self.has(name):
            raise SubjectExistsError(
                f"{name!r} is enrolled already",
                hint="remove it first, or choose another name; to add pictures to it, enrol with add (--add)",
            )
        require_distinct(name, self._names)
        self._refuse_past(options.validity_s[1])
        unit = self._unit_rows(embeddings)
        if self._checks is not None:
            self._checks.check(
                name,
                unit,
                removed=self._removed,
                references=self._references + len(unit),
                allow_duplicate=options.allow_duplicate,
            )
        record = np.zeros(1, dtype=SUBJECT)
        record["id"] = np.frombuffer(subject_id, dtype=np.uint8)
        record["enrolled_by"] = np.frombuffer(options.enrolled_by, dtype=np.uint8)
        record["valid_from"], record["valid_until"] = options.validity_s
        record["enrolled_at"] = self._now_s
        if options.captures is not None:
            self._store_captures(name, subject_id, options.captures, options.enrolled_by)
        self._references += len(unit)
        self._note(name, subject_id, options)
        self._names.add(name)
        self._added[name] = Addition(record, options.label, [self._rows(unit)])
        self._added_ids[subject_id] = name

    def remove(self, subject: str) -> None:
        """Remove a subject and its templates.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
        """
        name = self._enrolled(subject)
        if self._names is not None:
            self._names.remove(name)
        self._notes.pop(name, None)
        self._forget_captures(name, self._subject_id(name))
        addition = self._added.pop(name, None)
        if addition is not None:
            self._references -= sum(len(part.unit) for part in addition.parts)
            self._looks.pop(addition.id, None)
            self._added_ids.pop(addition.id, None)
            if self._checks is not None:
                self._checks.forget(name)
        index = self._kept.pop(name, None)
        if index is not None:
            self._fields.pop(index, None)
            self._labels.pop(index, None)
            self._removed.add(index)
            self._references -= len(self._stored_rows(index))
            self._references -= sum(len(part.unit) for part in self._added_rows.pop(index, []))
            self._looks.pop(self._id_of(index), None)
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
            InputError: an argument is malformed, nothing to change is given, or valid_until is before valid_from or has
                passed.
            SubjectUnknownError: the subject was not enrolled before this transaction.
        """
        index = self._enrolled_before(subject)
        if label is None and valid_from is None and valid_until is None:
            raise InputError("expected a label, valid_from or valid_until to change, found none")
        fields = dict(self._fields.get(index, {}))
        for field, bound in (("valid_from", valid_from), ("valid_until", valid_until)):
            if bound is not None:
                fields[field] = 0 if is_real(bound) and bound == 0 else unix_seconds(bound)
        if valid_until is not None:
            self._refuse_past(fields["valid_until"])
        row = self._content.subjects[index]
        begin_s, end_s = (int(fields.get(field, row[field])) for field in ("valid_from", "valid_until"))
        check_validity(begin_s, end_s)
        if label is not None:
            self._labels[index] = checked_text(label, "a label", min_bytes=0)
        if fields:
            self._fields[index] = fields

    def set_threshold(self, subject: str, threshold: float | None) -> None:
        """Set a stricter threshold for one subject; it applies if it is above the gallery's threshold.

        Args:
            subject: A subject enrolled before this transaction.
            threshold: Cosine, -1..1; None for the gallery's threshold.

        Raises:
            InputError: the threshold is not a cosine, or is below the policy's for the subject's templates, so that it
                would have no effect.
            SubjectUnknownError: the subject was not enrolled before this transaction.
        """
        index = self._enrolled_before(subject)
        if threshold is not None:
            threshold = checked_threshold(threshold)
            self._refuse_below_policy(index, threshold)
        self._set_own_threshold(index, threshold)

    def apply(self) -> Content:
        """Return the content with all changes; subjects and templates keep their order.

        Raises:
            GalleryError: a new policy raises the threshold so far that it would not accept the gallery's own subjects;
                see `RaisedThreshold.require_acceptance`.
        """
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
        is_kept[sorted(self._removed_rows)] = False
        templates = old.templates[is_kept]
        templates["subject"] = owners[is_kept]
        matrix = old.matrix if is_kept.all() else old.matrix[is_kept]
        labels = list(map(old.labels.__getitem__, places))
        for index, label in self._labels.items():
            labels[int(np.searchsorted(kept, index))] = label
        added = list(self._added.values())
        parts = [(int(new_index[index]), part) for index, rows in self._added_rows.items() for part in rows]
        parts += [(len(kept) + place, part) for place, a in enumerate(added) for part in a.parts]
        looks = pack_looks(look for looks in self._looks.values() for look in looks)
        self._set_record(LOOKS, looks or None, critical=False)
        content = replace(
            old,
            committed_at_s=self._now_s,
            subjects=np.concatenate([subjects, *(a.record for a in added)]),
            names=(*map(old.names.__getitem__, places), *self._added),
            labels=(*labels, *(a.label for a in added)),
            templates=np.concatenate([templates, *(_table(owner, part.scales) for owner, part in parts)]),
            matrix=np.concatenate([matrix, *(part.rows for _, part in parts)]) if parts else matrix,
            policy=tuple(self._policy[kind] for kind in sorted(self._policy)),
        )
        if any(content.record(kind) != old.record(kind) for kind in (DECISION_POLICY, POLICY_EVIDENCE)):
            raised = raised_threshold_of(content)
            if raised is not None:
                raised.require_acceptance()
        return content

    def restore_validity(self, subject: str, valid_from_s: int, valid_until_s: int) -> None:
        """Give a subject the validity that it has in another gallery; it may have ended.

        Args:
            subject: An enrolled subject.
            valid_from_s: Start, Unix seconds, 0 for no bound.
            valid_until_s: End, Unix seconds, 0 for no bound.
        """
        name = self._enrolled(subject)
        if name in self._added:
            record = self._added[name].record
            record["valid_from"], record["valid_until"] = valid_from_s, valid_until_s
        else:
            fields = self._fields.setdefault(self._kept[name], {})
            fields["valid_from"], fields["valid_until"] = valid_from_s, valid_until_s

    def _refuse_past(self, valid_until_s: int) -> None:
        if valid_until_s and valid_until_s <= self._now_s:
            raise InputError(
                f"expected valid_until after the present time, {format_time(self._now_s)}, found {format_time(valid_until_s)}",
                hint="to stop accepting a subject use revoke; if the clock is wrong, set it",
            )

    def _refuse_below_policy(self, index: int, threshold: float) -> None:
        thresholds = Thresholds.of(self._content, self._record)
        if thresholds is None:
            return
        limit = thresholds.limit(len(self._stored_rows(index)))
        if threshold < limit:
            raise BelowPolicyError(
                threshold, limit, hint="a subject's own threshold can only be stricter; leave it out"
            )

    def _set_own_threshold(self, index: int, threshold: float | None) -> None:
        record = self._policy.get(OWN_THRESHOLDS)
        own = {} if record is None else parse_own_thresholds(record.value)
        subject = self._content.subjects["id"][index].tobytes()
        own.pop(subject, None)
        if threshold is not None:
            own[subject] = float(threshold)
        self._set_record(OWN_THRESHOLDS, pack_own_thresholds(own) if own else None)

    def _set_flag(self, name: str, *, revoked: bool) -> None:
        if self._is_revoked(name) == revoked and name not in self._added:
            # Committed all the same: another process may have changed the subject since this content was read.
            event = AuditEvent("revoke" if revoked else "reinstate", self._subject_id(name).hex(), "again")
            self._notes.setdefault(name, []).append(event)
        if name in self._added:
            self._added[name].record["flags"] = REVOKED if revoked else 0
        else:
            self._fields.setdefault(self._kept[name], {})["flags"] = REVOKED if revoked else 0


def _table(subject: int, scales: FloatArray) -> NDArray[np.void]:
    table = np.zeros(len(scales), dtype=TEMPLATE)
    table["subject"] = subject
    table["scale"] = scales
    return table
