"""`gallery.audit`: the audit log of a gallery."""

from __future__ import annotations

from edge_sdk.gallery.format.content import AUDIT_ANSWERS, AUDIT_POLICY
from edge_sdk.gallery.old_names import warn_old_name
from edge_sdk.gallery.results import Identification, Verification
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_log import AuditEvent, AuditReport


class Audit:
    """Reads the audit log of an open gallery and records answers in it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def report(self) -> AuditReport:
        """Read the audit log and check it against the end of the log that is sealed in the gallery.

        Raises:
            GalleryError: the log cannot be read, or the gallery keeps no log.
        """
        return self._session.audit_report()

    def record_answer(self, answer: Identification | Verification) -> None:
        """Record an answer if the gallery was created with `audit="all"`, otherwise do nothing.

        Raises:
            GalleryError: the log cannot be written.
        """
        content = self._session.content
        if content.record(AUDIT_POLICY) != AUDIT_ANSWERS:
            return
        subject = ""
        if answer.subject is not None:
            subject = content.subjects["id"][content.names.index(answer.subject)].tobytes().hex()
        self._session.note(AuditEvent(answer.decision.value.replace("_", "-"), subject))

    def __call__(self) -> AuditReport:
        """Return `report()`; supports the deprecated call `gallery.audit()`."""
        warn_old_name("audit()", "audit.report()")
        return self.report()
