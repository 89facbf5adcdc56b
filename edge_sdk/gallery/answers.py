"""The methods of `Gallery` that answer probes; every answer is one counted attempt and carries no score."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.components.audit import Audit
from edge_sdk.gallery.open_attempt import OpenAttempt
from edge_sdk.gallery.results import Identification, Reason, References, Verification
from edge_sdk.gallery.rules.names import normalized
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.subjects import unix_seconds
from edge_sdk.types import Float64Array


class Answers:
    """The methods of `Gallery` that answer probes, and those that give templates to an evaluation."""

    _session: Session
    audit: Audit

    def identify(
        self,
        embedding: NDArray[np.float32],
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Identification:
        """Identify a probe among all enrolled subjects (1:N), in one counted attempt.

        Args:
            embedding: Shape (D,), float32, finite, any length.
            threshold: Cosine to reach, -1..1; by default from the gallery's decision policy. It may be stricter than the
                policy's; a lower one is refused unless the gallery allows it (`Transaction.allow_lower_thresholds`).
            now: Time at which the subject must be valid, Unix seconds or a datetime with a time zone; by default the
                clock's time. A time before the gallery's latest known time is replaced by that time; if it is more than
                a minute before it, no subject whose validity ends is accepted.

        Returns:
            Accepted with the subject; rejected if no subject reaches the threshold or two subjects tie; retry if the
            score is close to the threshold or to another subject's, as the policy defines; locked out after too many
            failed attempts.

        Raises:
            InputError: the embedding or threshold is malformed, there is neither a threshold nor a policy, or the
                threshold is below the policy's.
            ModelCardError: the policy's evidence does not cover this many templates.
            GalleryError: see `refresh`; or the attempt could not be counted or recorded and was not made.
        """
        answer = self._answer(embedding, None, threshold=threshold, now=now)
        return cast(Identification, answer)

    def verify(
        self,
        embedding: NDArray[np.float32],
        subject: str,
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Verification:
        """Verify that a probe is one subject (1:1), in one counted attempt.

        Args:
            embedding: Shape (D,), float32, finite, any length.
            subject: Name of the claimed subject.
            threshold: Cosine to reach, -1..1; by default from the decision policy, for the number of the
                subject's templates. See `identify` for a lower one.
            now: See `identify`.

        Raises:
            SubjectUnknownError: the subject is not enrolled; this does not count as an attempt.
            InputError, ModelCardError, GalleryError: see `identify`.
        """
        answer = self._answer(embedding, normalized(subject), threshold=threshold, now=now)
        return cast(Verification, answer)

    def begin_attempt(
        self,
        subject: str | None = None,
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> OpenAttempt:
        """Count an attempt whose evidence is still growing; `OpenAttempt` compares it.

        Args:
            subject: Name of the claimed subject (1:1); None to search all subjects (1:N).
            threshold: See `identify` and `verify`.
            now: See `identify`.

        Raises:
            SubjectUnknownError, InputError, ModelCardError, GalleryError: see `identify` and `verify`; nothing is counted.
        """
        self._session.refresh()
        attempt = self._begun(subject, threshold=threshold, now=now)
        return attempt or self.begin_attempt(subject, threshold=threshold, now=now)

    def reject(self) -> Identification:
        """Count a failed attempt that was decided before any comparison, such as a presentation attack.

        Returns:
            Rejected or locked out; never accepted.

        Raises:
            GalleryError: see `refresh`; or the attempt could not be counted.
        """
        self._session.refresh()
        attempt = self._counted(None, threshold=None, now_s=None)
        return self.reject() if attempt is None else cast(Identification, attempt.reject())

    def references(self) -> References:
        """Return the stored templates, for comparison with the output of `transform_probe`."""
        return self._session.matcher.references()

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Transform a probe to the space of `references`.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Returns:
            Shape (D,), float64, L2 norm 1.

        Raises:
            InputError: the embedding is malformed.
        """
        return self._session.matcher.transform_probe(embedding)

    def _answer(
        self,
        embedding: NDArray[np.float32],
        subject: str | None,
        *,
        threshold: float | None,
        now: float | datetime | None,
    ) -> Identification | Verification:
        """Make one counted attempt with one probe; a malformed probe is not counted."""
        self._session.refresh()
        probe = self._session.matcher.probe(embedding)
        attempt = self._begun(subject, threshold=threshold, now=now)
        if attempt is None:
            return self._answer(embedding, subject, threshold=threshold, now=now)
        return attempt.finish_with(probe)

    def _begun(
        self, subject: str | None, *, threshold: float | None, now: float | datetime | None
    ) -> OpenAttempt | None:
        """Count an attempt; None if another process has just started a new counter, and the gallery was read again."""
        session = self._session
        now_s = None if now is None else unix_seconds(now)
        time = session.time(now_s)
        if now_s is None:
            session.warn_of_clock(time)
        name = None if subject is None else session.matcher.known(subject)
        session.record_lower_threshold(session.matcher.limit(threshold, subject=name))
        return self._counted(name, threshold=threshold, now_s=now_s)

    def _counted(
        self, subject: str | None, *, threshold: float | None, now_s: float | None
    ) -> OpenAttempt | None:
        attempt = self._session.begin_attempt()
        if attempt is Reason.COUNTER and self._session.refresh():
            return None
        return OpenAttempt(
            self._session, self.audit, attempt, subject=subject, threshold=threshold, now_s=now_s
        )
