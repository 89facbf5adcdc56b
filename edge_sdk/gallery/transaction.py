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
    CALLER_THRESHOLDS,
    CALLER_THRESHOLDS_ALLOWED,
    DECISION_POLICY,
    EVIDENCE,
    OWN_THRESHOLDS,
    PINNED_NETWORKS,
    POLICY_EVIDENCE,
    REVOKED,
    SUBJECT,
    TEMPLATE,
    Content,
    PolicyRecord,
)
from edge_sdk.gallery.format.header import ID_BYTES, MODEL_ID_BYTES, TemplateType
from edge_sdk.gallery.format.records import pack_policy_evidence
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.gallery.rules.enrolment import EnrolmentChecks
from edge_sdk.gallery.rules.known_time import format_time
from edge_sdk.gallery.rules.names import Names, checked_name, checked_text, normalized
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks, pack_networks
from edge_sdk.gallery.rules.policy import (
    BelowPolicyError,
    DecisionPolicy,
    pack_own_thresholds,
    pack_policy,
    parse_own_thresholds,
)
from edge_sdk.gallery.rules.real_numbers import checked_threshold, is_real
from edge_sdk.gallery.rules.thresholds import Thresholds, evidence_of, raised_threshold_of
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.subjects import (
    ENROL_DEFAULTS,
    EnrolOptions,
    check_validity,
    unix_seconds,
    unknown_subject,
)
from edge_sdk.types import Float64Array, FloatArray

# Longest detail of an entry of the audit log.
_MAX_DETAIL = 256


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
        self._names: Names | None = None
        self._notes: dict[str, list[AuditEvent]] = {}

    @property
    def notes(self) -> tuple[AuditEvent, ...]:
        """Entries for the audit log that the changed content does not show."""
        return tuple(note for notes in self._notes.values() for note in notes)

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
            subject: Unique name, see `rules.names`; kept in Unicode form NFC.
            embeddings: Shape (n, D) or (D,), float32, finite, any length; n >= 1.
            options: Label, validity and duplicates; none by default.
            fields: Fields of `EnrolOptions`, instead of `options`.

        Raises:
            InputError: an argument is malformed, or valid_until has passed.
            CaptureError: a capture is not like the others; the message names it.
            SubjectExistsError: the name is taken, or the captures look like another subject's, whom the message names.
            ModelCardError: the policy's evidence does not cover a gallery of this many templates.
        """
        name = checked_name(subject)
        if self._names is None:
            self._names = Names([*self._kept, *self._added])
        other = name if name in self._kept or name in self._added else self._names.similar_to(name)
        if other == name:
            raise SubjectExistsError(
                f"{name!r} is enrolled already", hint="remove it first, or choose another name"
            )
        if other is not None:
            raise SubjectExistsError(
                f"the name {name!r} looks like {other!r}, which is enrolled: in ASCII {name!a} and {other!a}",
                hint="choose a name that people can tell from it",
            )
        options = replace(options, **fields)
        self._refuse_past(options.validity_s[1])
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
        notes = self._notes.setdefault(name, [])
        subject_id = record["id"].tobytes().hex()
        if options.allow_duplicate and self._checks is not None:
            notes.append(AuditEvent("duplicate-allowed", subject_id))
        if options.weaker_limits:
            notes.append(
                AuditEvent("weaker-limits", subject_id, ",".join(options.weaker_limits)[:_MAX_DETAIL])
            )
        self._names.add(name)
        self._added[name] = _Addition(record, options.label, stored, scales)

    def remove(self, subject: str) -> None:
        """Remove a subject and its templates.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
        """
        name = self._enrolled(subject)
        if self._names is not None:
            self._names.remove(name)
        self._notes.pop(name, None)
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

    def pin_evidence(self, evidence: bytes) -> None:
        """Store the digest of the evidence in the model's card; thresholds are taken from a card with this evidence only.

        Args:
            evidence: `Embedder.model_id.evidence`, 32 bytes.

        Raises:
            InputError: it is not 32 bytes.
        """
        if not isinstance(evidence, bytes) or len(evidence) != MODEL_ID_BYTES:
            raise InputError(f"expected a digest of {MODEL_ID_BYTES} bytes, found {evidence!r}")
        self._policy[EVIDENCE] = PolicyRecord(EVIDENCE, critical=False, value=evidence)

    def set_policy(self, policy: DecisionPolicy | None) -> None:
        """Store the policy by which the gallery decides; None removes it, so each caller must give a threshold.

        If the policy adapts, the gallery computes its thresholds from the templates that are stored at the time. At the
        end of the transaction a `GalleryError` refuses a policy whose raised threshold would be 1, or would be reached by
        fewer than half of the subjects with several templates when these are compared with each other.

        Raises:
            InputError: the argument is not a policy.
            ModelCardError: the policy's evidence does not cover a gallery of this size.
        """
        if policy is not None and not isinstance(policy, DecisionPolicy):
            raise InputError(f"expected a DecisionPolicy or None, found {type(policy).__name__}")
        if policy is not None:
            policy.limit(len(self._content.templates))
        else:
            self._set_record(CALLER_THRESHOLDS, None)
        self._set_record(DECISION_POLICY, None if policy is None else pack_policy(policy))
        evidence = None if policy is None else pack_policy_evidence(evidence_of(policy))
        self._set_record(POLICY_EVIDENCE, evidence, critical=policy is not None and policy.adapts)

    def pin_networks(self, networks: PinnedNetworks | None) -> None:
        """Store the detector and liveness networks that a recognizer must use; None removes the requirement.

        Raises:
            InputError: the argument is not a `PinnedNetworks`.
        """
        if networks is not None and not isinstance(networks, PinnedNetworks):
            raise InputError(f"expected a PinnedNetworks or None, found {type(networks).__name__}")
        self._set_record(PINNED_NETWORKS, None if networks is None else pack_networks(networks))

    def limit_attempts(self, limit: AttemptPolicy | None) -> None:
        """Limit failed attempts and start a new counter at 0; None removes the limit.

        Raises:
            InputError: the argument is not a limit.
        """
        if limit is not None and not isinstance(limit, AttemptPolicy):
            raise InputError(f"expected an AttemptPolicy or None, found {type(limit).__name__}")
        self._set_record(ATTEMPT_POLICY, None if limit is None else pack_limit(limit, self._random(ID_BYTES)))

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

    def allow_lower_thresholds(self, allowed: bool) -> None:
        """Allow or forbid a caller to give a threshold below the policy's; each use is recorded in the audit log.

        Raises:
            InputError: the argument is not a bool, or lower thresholds are allowed and the gallery has no policy or
                keeps no audit log.
        """
        if not isinstance(allowed, bool):
            raise InputError(f"expected True or False, found {type(allowed).__name__}")
        if allowed and DECISION_POLICY not in self._policy:
            raise InputError(
                "expected a gallery with a decision policy, found none: each caller gives a threshold",
                hint="set a policy with edge-sdk gallery policy",
            )
        if allowed and not self._content.audit.entries:
            raise InputError(
                "expected a gallery with an audit log, found none: a lower threshold could not be recorded",
                hint="create a gallery with --audit changes or --audit all",
            )
        self._set_record(CALLER_THRESHOLDS, CALLER_THRESHOLDS_ALLOWED if allowed else None)

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
        templates = old.templates[is_kept]
        templates["subject"] = owners[is_kept]
        matrix = old.matrix if is_kept.all() else old.matrix[is_kept]
        labels = list(map(old.labels.__getitem__, places))
        for index, label in self._labels.items():
            labels[int(np.searchsorted(kept, index))] = label
        added = list(self._added.values())
        tables = [_table(len(kept) + i, addition.scales) for i, addition in enumerate(added)]
        content = replace(
            old,
            committed_at_s=self._now_s,
            subjects=np.concatenate([subjects, *(a.record for a in added)]),
            names=(*map(old.names.__getitem__, places), *self._added),
            labels=(*labels, *(a.label for a in added)),
            templates=np.concatenate([templates, *tables]),
            matrix=np.concatenate([matrix, *(a.rows for a in added)]) if added else matrix,
            policy=tuple(self._policy[kind] for kind in sorted(self._policy)),
        )
        if any(content.record(kind) != old.record(kind) for kind in (DECISION_POLICY, POLICY_EVIDENCE)):
            raised = raised_threshold_of(content)
            if raised is not None:
                raised.require_acceptance()
        return content

    def restore_validity(self, subject: str, valid_from_s: int, valid_until_s: int) -> None:
        """Give a subject of this transaction the validity that it has in another gallery; it may have ended.

        Args:
            subject: A subject enrolled in this transaction.
            valid_from_s: Start, Unix seconds, 0 for no bound.
            valid_until_s: End, Unix seconds, 0 for no bound.
        """
        record = self._added[normalized(subject)].record
        record["valid_from"], record["valid_until"] = valid_from_s, valid_until_s

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
        limit = thresholds.limit(int(np.count_nonzero(self._content.templates["subject"] == index)))
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

    def _record(self, kind: int) -> bytes | None:
        return self._policy[kind].value if kind in self._policy else None

    def _set_record(self, kind: int, value: bytes | None, *, critical: bool = True) -> None:
        self._policy.pop(kind, None)
        if value is not None:
            self._policy[kind] = PolicyRecord(kind, critical, value)

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
