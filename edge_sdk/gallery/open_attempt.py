"""An attempt that is counted and not yet answered, for evidence that grows from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.components.audit import Audit
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.results import Decision, Identification, Reason, Verification
from edge_sdk.gallery.rules.known_time import KnownTime
from edge_sdk.gallery.session import Session


class OpenAttempt:
    """One counted attempt, which ends with one answer.

    The attempt was counted as failed on disk before this object exists. It stays a failed attempt unless it ends with an
    accepted answer, also if the program ends first.

    Args:
        session: The open gallery.
        audit: Records the answer.
        attempt: Number of the attempt, or the reason to refuse it; see `Session.begin_attempt`.
        subject: Stored name of the claimed subject (1:1); None to search all subjects (1:N).
        threshold: The caller's threshold; None for the policy's.
        time: Time at which subjects must be valid.
    """

    def __init__(
        self,
        session: Session,
        audit: Audit,
        attempt: int | Reason,
        *,
        subject: str | None,
        threshold: float | None,
        time: KnownTime,
    ) -> None:
        self._session, self._audit, self._attempt = session, audit, attempt
        self._subject, self._threshold, self._time = subject, threshold, time

    def accept_if_agreed(
        self, embeddings: Sequence[NDArray[np.float32]]
    ) -> Identification | Verification | None:
        """Accept if each of several embeddings would be accepted by itself, all as the same subject.

        Args:
            embeddings: Two or more, each of shape (D,), float32, finite, any length.

        Returns:
            The accepted answer, which ends the attempt; None if the attempt stays open.

        Raises:
            InputError: an embedding is malformed.
            GalleryError: the gallery cannot be read, or the answer cannot be recorded.
        """
        if len(embeddings) < 2 or isinstance(self._attempt, Reason):
            return None
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
            GalleryError: the gallery cannot be read, or the answer cannot be recorded.
        """
        self._session.refresh()
        return self.finish_with(self._session.matcher.probe(embedding))

    def finish_with(self, probe: Probe) -> Identification | Verification:
        """End the attempt with the answer to a probe of the session's present matcher."""
        return self._ended(self._compared(probe) if isinstance(self._attempt, int) else self._rejected())

    def reject(self) -> Identification | Verification:
        """End the attempt without a comparison, such as after a presentation attack; never accepted.

        Raises:
            GalleryError: the answer cannot be recorded.
        """
        return self._ended(self._rejected())

    def _compared(self, probe: Probe) -> Identification | Verification:
        matcher = self._session.matcher
        limit = matcher.limit(self._threshold, subject=self._subject).threshold
        if self._subject is None:
            return matcher.identify(probe, limit=limit, time=self._time)
        return matcher.verify(probe, self._subject, limit=limit, time=self._time)

    def _rejected(self) -> Identification | Verification:
        locked_out = isinstance(self._attempt, Reason)
        decision = Decision.LOCKED_OUT if locked_out else Decision.REJECTED
        reason = self._attempt if isinstance(self._attempt, Reason) else None
        if self._subject is None:
            return Identification(decision, None, reason)
        return Verification(decision, self._subject, reason)

    def _ended(self, answer: Identification | Verification) -> Identification | Verification:
        if isinstance(self._attempt, int):
            self._session.end_attempt(self._attempt, accepted=answer.accepted)
        self._audit.record_answer(answer)
        return answer
