"""`gallery.audit`: the audit log of a gallery."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from dataclasses import replace

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.answer_rate import AnswerRate
from edge_sdk.gallery.format.content import AUDIT_ANSWERS, AUDIT_POLICY, Content, PolicyRecord
from edge_sdk.gallery.key_epoch import with_record
from edge_sdk.gallery.old_names import warn_old_name
from edge_sdk.gallery.results import Identification, Verification
from edge_sdk.gallery.rules.known_time import format_duration
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_report import AuditReport

SCORES_SHOWN = "scores-shown"


class Audit:
    """Reads the audit log of an open gallery and records answers in it.

    An accepted answer is in the log before it is returned. Of other answers the first 10 are recorded at once; after
    that one entry per minute states their number. Numbers that are not in the log yet are written with the next
    accepted answer, by `flush`, and when the program ends.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rate = AnswerRate(session.uptime)
        self._process = os.getpid()
        _OPEN.add(self)

    def report(self) -> AuditReport:
        """Read the audit log and check it against the end of the log that is sealed in the gallery.

        Raises:
            GalleryError: the log cannot be read, or the gallery keeps no log.
        """
        # A log that cannot be written can still be checked.
        with contextlib.suppress(GalleryError):
            self.flush()
        return self._session.audit_report()

    def log_answers(self, enabled: bool) -> None:
        """Record answers besides changes, or changes only, from now on.

        Raises:
            GalleryError: the gallery keeps no log, or the change cannot be written.
        """

        def amend(content: Content) -> Content:
            if not content.audit.entries:
                raise GalleryError(
                    "this gallery keeps no audit log", hint="create a gallery with --audit all"
                )
            if enabled:
                return with_record(content, PolicyRecord(AUDIT_POLICY, critical=False, value=AUDIT_ANSWERS))
            return replace(content, policy=tuple(r for r in content.policy if r.kind != AUDIT_POLICY))

        if enabled != self._logs_answers():
            self._session.change(lambda _: None, amend)

    def record_answer(self, answer: Identification | Verification) -> None:
        """Record an answer if the gallery logs answers, otherwise do nothing.

        Raises:
            GalleryError: the log cannot be written.
        """
        if not self._logs_answers():
            return
        content, subject = self._session.content, ""
        if answer.subject is not None:
            # The claimed subject may have been removed since the attempt began.
            with contextlib.suppress(ValueError):
                subject = content.subjects["id"][content.names.index(answer.subject)].tobytes().hex()
        event = AuditEvent(answer.decision.value.replace("_", "-"), subject)
        if answer.accepted:
            self._write([*self._rate.waiting(), event])
        else:
            self._rate.add(event, self._session.now_s())
            due = self._rate.due()
            if due:
                self._write(due)
                self._rate.spend()

    def record_scores_shown(self, *, most: int, within_s: int) -> None:
        """Record that scores of one probe are shown to the owner, before they are shown.

        Args:
            most: Number of such entries that are allowed within a time; the next one is refused.
            within_s: This time in seconds, before now.

        Raises:
            GalleryError: the gallery keeps no log, the log is not intact or cannot be written, or `most` is reached.
        """
        if not self._session.content.audit.entries:
            raise GalleryError(
                "expected an audit log, in which it is recorded that scores were shown, found none",
                hint="create the gallery with --audit all",
            )
        if self._scores_shown(within_s) >= most:
            raise _too_many(most, within_s)
        self._session.note(AuditEvent(SCORES_SHOWN))
        # Another process may have written an entry between the count and this one.
        if self._scores_shown(within_s) > most:
            raise _too_many(most, within_s)

    def _scores_shown(self, within_s: int) -> int:
        report = self.report()
        if not report.intact:
            raise GalleryError(
                "the audit log is not intact, so it is not known how often scores were shown",
                hint="edge-sdk gallery audit prints what is missing",
            )
        since = self._session.now_s() - within_s
        times = [entry.at_s for entry in report.entries if entry.event.event == SCORES_SHOWN]
        return sum(at_s > since for at_s in times)

    def flush(self) -> None:
        """Write the numbers of answers that are not in the log yet.

        Raises:
            GalleryError: the log cannot be written.
        """
        self._write(self._rate.waiting())

    def _write(self, events: list[AuditEvent]) -> None:
        if events:
            self._session.note(*events)
            self._rate.clear()

    def _logs_answers(self) -> bool:
        return self._session.content.record(AUDIT_POLICY) == AUDIT_ANSWERS

    def _flush_at_exit(self) -> None:
        # A forked process must not write what its parent counted.
        if os.getpid() == self._process:
            with contextlib.suppress(GalleryError):
                self.flush()

    def __call__(self) -> AuditReport:
        """Return `report()`; supports the deprecated call `gallery.audit()`."""
        warn_old_name("audit()", "audit.report()")
        return self.report()


_OPEN: weakref.WeakSet[Audit] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    for audit in list(_OPEN):
        audit._flush_at_exit()


def _too_many(most: int, within_s: int) -> GalleryError:
    return GalleryError(
        f"scores were shown {most} times within {format_duration(within_s)}: no more are shown",
        hint="many scores together reconstruct a template; wait, or look at the decisions instead",
    )
