"""The subjects of a transaction, and the changes of their templates: added and removed looks, replaced templates; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery.capture_changes import CaptureChanges
from edge_sdk.gallery.format.content import REVOKED, Content, ids_of
from edge_sdk.gallery.format.header import ID_BYTES, TemplateType
from edge_sdk.gallery.format.looks import LOOK_ID_BYTES, Look
from edge_sdk.gallery.looks import checked_look_name, looks_by_subject, rows_of_look, unknown_look
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.gallery.rules.enrolment import EnrolmentChecks, check_new_pictures
from edge_sdk.gallery.rules.names import Names, normalized
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.subjects import EnrolOptions, unknown_subject
from edge_sdk.types import Float64Array, FloatArray

# Longest detail of an entry of the audit log.
_MAX_DETAIL = 256


@dataclass(frozen=True, eq=False)
class NewRows:
    """Templates to be added: quantized, and as unit vectors for comparison."""

    rows: NDArray[Any]
    scales: FloatArray
    unit: Float64Array


@dataclass(frozen=True, eq=False)
class Addition:
    """A subject to be added: its record and its templates."""

    record: NDArray[np.void]
    label: str
    parts: list[NewRows]

    @property
    def id(self) -> bytes:
        """The subject's id."""
        return bytes(self.record["id"].tobytes())


class TemplateChanges(CaptureChanges):
    """The state of a transaction's subjects, and the methods of `Transaction` that change templates of a subject."""

    def __init__(
        self,
        content: Content,
        *,
        template_type: TemplateType,
        transform: Callable[[Float64Array], Float64Array],
        random: Callable[[int], bytes],
        now_s: int,
        checks: EnrolmentChecks | None = None,
        gallery_id: bytes = bytes(ID_BYTES),
    ) -> None:
        super().__init__(content, random, now_s=now_s, gallery_id=gallery_id)
        self._checks = checks
        self._removed: set[int] = set()
        self._removed_rows: set[int] = set()
        self._looks = looks_by_subject(content)
        self._added_rows: dict[int, list[NewRows]] = {}
        self._references = len(content.templates)
        self._template_type = template_type
        self._transform = transform
        self._kept = dict(zip(content.names, range(len(content.names)), strict=True))
        self._fields: dict[int, dict[str, int]] = {}
        self._labels: dict[int, str] = {}
        self._added: dict[str, Addition] = {}
        self._added_ids: dict[bytes, str] = {}
        self._names: Names | None = None
        self._indices: dict[bytes, int] | None = None
        self._notes: dict[str, list[AuditEvent]] = {}

    def has(self, subject: str) -> bool:
        """Tell if a subject of this name is enrolled."""
        name = normalized(subject)
        return name in self._kept or name in self._added

    def name_of(self, subject_id: bytes) -> str | None:
        """Return the name of the enrolled subject with an id; None if there is none."""
        if self._indices is None:
            self._indices = {other: index for index, other in enumerate(ids_of(self._content.subjects))}
        index = self._indices.get(subject_id)
        name = None if index is None else self._content.names[index]
        return name if name in self._kept else self._added_ids.get(subject_id)

    def is_like(self, subject: str, embeddings: NDArray[np.float32]) -> bool:
        """Tell if embeddings are like the templates of an enrolled subject; True if there is no policy to decide by.

        Args:
            subject: Name of the subject.
            embeddings: See `Transaction.enrol`.
        """
        name = self._enrolled(subject)
        own, rows = self._own_unit(name), self._unit_rows(embeddings)
        return self._checks is None or self._checks.is_like(
            rows, own, enrolled=self._enrolled_rows(name, own)
        )

    def replace_templates(self, subject: str, embeddings: NDArray[np.float32], options: EnrolOptions) -> None:
        """Replace all templates of a subject, with the checks of an enrolment; id, name and flags stay.

        Args:
            subject: A subject enrolled before this transaction.
            embeddings: See `enrol`.
            options: Only `label` and `allow_duplicate` are used.

        Raises:
            SubjectUnknownError: the subject was not enrolled before this transaction.
            CaptureError, SubjectExistsError, InputError, ModelCardError: see `enrol`.
        """
        index, name = self._enrolled_before(subject), normalized(subject)
        unit = self._unit_rows(embeddings)
        old = set(self._stored_rows(index).tolist())
        earlier = len(old) + sum(len(part.unit) for part in self._added_rows.get(index, []))
        if self._checks is not None:
            self._checks.check(
                name,
                unit,
                removed={*self._removed, index},
                references=self._references + len(unit) - earlier,
                allow_duplicate=options.allow_duplicate,
            )
        self._references += len(unit) - earlier
        self._removed_rows |= old
        self._added_rows[index] = [self._rows(unit)]
        self._looks.pop(self._id_of(index), None)
        self._forget_captures(name, self._id_of(index))
        self._labels[index] = options.label
        self._notes.setdefault(name, []).append(
            AuditEvent("replace", self._id_of(index).hex(), f"templates={len(unit)}")
        )
        self._note(name, self._id_of(index), options)

    def remove_captures(self, subject: str) -> None:
        """Remove the stored captures of a subject, which stays enrolled; do nothing if there are none.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
        """
        name = self._enrolled(subject)
        self._forget_captures(name, self._subject_id(name))

    def remove_look(self, subject: str, look: str) -> None:
        """Remove the templates of one look of a subject; those of its enrolment stay.

        Args:
            subject: A subject enrolled before this transaction, whose looks were added before it as well.
            look: Name of the look.

        Raises:
            SubjectUnknownError: the subject is not enrolled, or has no such look.
            InputError: pictures were added to the subject in this transaction.
        """
        index = self._enrolled_before(subject)
        if index in self._added_rows:
            raise InputError(
                f"pictures were added to {normalized(subject)!r} in the same transaction",
                hint="remove the look in a transaction before that",
            )
        looks = self._looks.get(self._id_of(index), [])
        place = next((i for i, other in enumerate(looks) if other.name == normalized(look)), None)
        if place is None:
            raise unknown_look(normalized(subject), look, [other.name for other in looks])
        rows = self._stored_rows(index)[rows_of_look(looks, place)]
        self._removed_rows |= set(rows.tolist())
        self._references -= len(rows)
        self._forget_captures(normalized(subject), self._id_of(index), look=looks[place].id)
        del looks[place]

    def _add_look(self, subject: str, embeddings: NDArray[np.float32], options: EnrolOptions) -> None:
        """Add templates to an enrolled subject."""
        name = self._enrolled(subject)
        index = self._kept.get(name)
        addition = self._added.get(name)
        subject_id = self._subject_id(name)
        if self._is_revoked(name):
            raise InputError(
                f"{name!r} is revoked: no pictures are added",
                hint="reinstate the subject first, or enrol it again",
            )
        looks = self._looks.setdefault(subject_id, [])
        look = checked_look_name(options.look, looks)
        unit = self._unit_rows(embeddings)
        own = self._own_unit(name)
        check_new_pictures(name, unit, own)
        if self._checks is not None:
            self._checks.check_look(
                name,
                unit,
                own,
                enrolled=self._enrolled_rows(name, own),
                removed=self._removed if index is None else {*self._removed, index},
                references=self._references + len(unit),
                allow_duplicate=options.allow_duplicate,
                allow_unlike=options.allow_unlike,
            )
        identity = self._random(LOOK_ID_BYTES)
        if options.captures is not None:
            self._store_captures(name, subject_id, options.captures, options.enrolled_by, look=identity)
        self._references += len(unit)
        self._note(name, subject_id, options)
        rows = self._rows(unit)
        if addition is not None:
            addition.parts.append(rows)
        else:
            self._added_rows.setdefault(self._kept[name], []).append(rows)
        looks.append(Look(subject_id, identity, self._now_s, len(unit), look))

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

    def _id_of(self, index: int) -> bytes:
        return bytes(self._content.subjects["id"][index].tobytes())

    def _subject_id(self, name: str) -> bytes:
        addition = self._added.get(name)
        return self._id_of(self._kept[name]) if addition is None else addition.id

    def _is_revoked(self, name: str) -> bool:
        if name in self._added:
            flags = int(self._added[name].record["flags"][0])
        else:
            index = self._kept[name]
            flags = self._fields.get(index, {}).get("flags", int(self._content.subjects["flags"][index]))
        return bool(flags & REVOKED)

    def _stored_rows(self, index: int) -> NDArray[np.intp]:
        """Return the rows of a subject in the old content that the transaction has not removed."""
        rows = np.flatnonzero(self._content.templates["subject"] == index)
        return rows[~np.isin(rows, list(self._removed_rows))]

    def _own_unit(self, name: str) -> Float64Array:
        """Return the templates of an enrolled subject as unit vectors, those of this transaction included."""
        addition = self._added.get(name)
        if addition is not None:
            return np.concatenate([part.unit for part in addition.parts])
        content, rows = self._content, self._stored_rows(self._kept[name])
        stored: Float64Array = content.matrix[rows].astype(np.float64) * content.scales[rows, np.newaxis]
        return np.concatenate([stored, *(part.unit for part in self._added_rows.get(self._kept[name], []))])

    def _enrolled_rows(self, name: str, own: Float64Array) -> int:
        """Number of a subject's templates that belong to no look; they come first."""
        return len(own) - sum(look.templates for look in self._looks.get(self._subject_id(name), []))

    def _unit_rows(self, embeddings: NDArray[np.float32]) -> Float64Array:
        """Check embeddings, and return them transformed, as unit vectors."""
        captures = np.atleast_2d(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
        unit = unit_rows(captures, self._content.matrix.shape[1])
        if len(unit) == 0:
            raise InputError("expected at least one embedding, found none")
        return self._transform(unit)

    def _rows(self, unit: Float64Array) -> NewRows:
        return NewRows(*quantize(unit, self._template_type), unit)

    def _note(self, name: str, subject_id: bytes, options: EnrolOptions) -> None:
        """Note for the audit log which checks were weaker than usual."""
        notes = self._notes.setdefault(name, [])
        if options.allow_duplicate and self._checks is not None:
            notes.append(AuditEvent("duplicate-allowed", subject_id.hex()))
        if options.allow_unlike and self._checks is not None:
            notes.append(AuditEvent("unlike-allowed", subject_id.hex()))
        if options.weaker_limits:
            detail = ",".join(options.weaker_limits)[:_MAX_DETAIL]
            notes.append(AuditEvent("weaker-limits", subject_id.hex(), detail))
