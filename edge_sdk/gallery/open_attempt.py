"""An attempt that is counted and not yet answered, for evidence that grows from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.components.audit import Audit
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.results import Decision, Identification, Reason, Verification
from edge_sdk.gallery.session import Session


class OpenAttempt:
    """One counted attempt, which ends with one answer.

    The attempt was counted as failed on disk before this object exists. It stays a failed attempt unless it ends with an
    accepted answer, also if the program ends first. After its answer it compares nothing more.

    Args:
        session: The open gallery.
        audit: Records the answer.
        attempt: Number of the attempt, or the reason to refuse it; see `Session.begin_attempt`.
        subject: Stored name of the claimed subject (1:1); None to search all subjects (1:N).
        threshold: The caller's threshold; None for the policy's.
        now_s: Time at which subjects must be valid, Unix seconds; None for the time of the comparison.
    """

    def __init__(
        self,
        session: Session,
        audit: Audit,
        attempt: int | Reason,
        *,
        subject: str | None,
        threshold: float | None,
        now_s: float | None,
    ) -> None:
        self._session, self._audit, self._attempt = session, audit, attempt
        self._subject, self._threshold, self._now_s = subject, threshold, now_s
        self._counter = session.counter
        self._open = self._may_agree = True

    @property
    def is_open(self) -> bool:
        """True until the attempt has its answer."""
        return self._open

    def accept_if_agreed(
        self, embeddings: Sequence[NDArray[np.float32]]
    ) -> Identification | Verification | None:
        """Accept if each of several embeddings would be accepted by itself, all as the same subject.

        An attempt has one early chance: later calls return None without a comparison.

        Args:
            embeddings: Two or more, each of shape (D,), float32, finite, any length.

        Returns:
            The accepted answer, which ends the attempt; None if the attempt stays open.

        Raises:
            InputError: an embedding is malformed.
            GalleryError: the attempt has its answer, the gallery cannot be read, or the answer cannot be recorded.
        """
        self._require_open()
        if len(embeddings) < 2 or isinstance(self._attempt, Reason) or not self._may_agree:
            return None
        self._may_agree = False
        self._session.refresh()
        answers = [self._compared(self._session.matcher.probe(embedding)) for embedding in embeddings]
        agreed = answers[0].accepted and all(answer == answers[0] for answer in answers)
        return self._ended(answers[0]) if agreed else None

    def finish(self, embedding: NDArray[np.float32]) -> Identification | Verification:
        """End the attempt with the answer to one probe.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Raises:
            InputError: the embedding is malformed; the attempt stays open.
            SubjectUnknownError: the claimed subject was removed since the attempt began.
            GalleryError: the attempt has its answer, the gallery cannot be read, or the answer cannot be recorded.
        """
        self._require_open()
        self._session.refresh()
        return self.finish_with(self._session.matcher.probe(embedding))

    def finish_with(self, probe: Probe) -> Identification | Verification:
        """End the attempt with the answer to a probe of the session's present matcher."""
        self._require_open()
        return self._ended(self._compared(probe) if isinstance(self._attempt, int) else self._rejected())

    def reject(self) -> Identification | Verification:
        """End the attempt without a comparison, such as after a presentation attack; never accepted.

        Raises:
            GalleryError: the attempt has its answer, or the answer cannot be recorded.
        """
        self._require_open()
        return self._ended(self._rejected())

    def _require_open(self) -> None:
        if not self._open:
            raise GalleryError(
                "expected an attempt without an answer, found one that has ended",
                hint="count another attempt with Gallery.begin_attempt",
            )

    def _compared(self, probe: Probe) -> Identification | Verification:
        matcher, time = self._session.matcher, self._session.time(self._now_s)
        # The claimed subject may have been removed since the attempt began.
        subject = None if self._subject is None else matcher.known(self._subject)
        limit = matcher.limit(self._threshold, subject=subject).threshold
        if subject is None:
            return matcher.identify(probe, limit=limit, time=time)
        return matcher.verify(probe, subject, limit=limit, time=time)

    def _rejected(self) -> Identification | Verification:
        locked_out = isinstance(self._attempt, Reason)
        decision = Decision.LOCKED_OUT if locked_out else Decision.REJECTED
        reason = self._attempt if isinstance(self._attempt, Reason) else None
        if self._subject is None:
            return Identification(decision, None, reason)
        return Verification(decision, self._subject, reason)

    def _ended(self, answer: Identification | Verification) -> Identification | Verification:
        self._open = False
        # A counter that was reset or replaced since the attempt began has not counted it, so nothing is cleared there.
        if isinstance(self._attempt, int) and self._session.counter is self._counter:
            self._session.end_attempt(self._attempt, accepted=answer.accepted)
        self._audit.record_answer(answer)
        return answer
