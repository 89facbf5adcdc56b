"""The gallery as a program sees it: create, open, enrol, verify, identify, remove.

`Vault` keeps the file, `Matcher` answers probes; this is their one face. Not for several threads at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempts import Moment
from edge_sdk.gallery.counter import moment_of_boot
from edge_sdk.gallery.creation import first_generation
from edge_sdk.gallery.exchange.exchange import Exchange
from edge_sdk.gallery.format.content import AUDIT_ANSWERS, AUDIT_POLICY, Content
from edge_sdk.gallery.format.sealing import need_cryptography
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.match.matcher import Matcher
from edge_sdk.gallery.results import (
    AttemptStatus,
    Decision,
    GalleryStatus,
    Identification,
    Reason,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.gallery.status import status_of, subjects_of
from edge_sdk.gallery.store.anchor import Anchor
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.files import FileSystem
from edge_sdk.gallery.store.vault import Vault, places_of, require_model
from edge_sdk.gallery.transaction import Transaction, seconds
from edge_sdk.gallery.tries import Tries
from edge_sdk.types import Float64Array

_Answer = TypeVar("_Answer", Identification, Verification)


class Gallery(Exchange):
    """An open gallery; from `Gallery.create` or `Gallery.open`.

    Example:
        gallery = Gallery.open("home.gallery", key=KeyFile("home.key"), model_id=model_id)
        answer = gallery.identify(embedding, threshold=0.62)

    Not for several threads at once. Every answer and every change looks at the file first, so a revocation by another process
    counts at once, and an old copy put back is refused; what is only read, such as `subjects`, is as of the last `refresh`.
    """

    def __init__(self, vault: Vault, *, uptime: Callable[[], Moment] = moment_of_boot) -> None:
        super().__init__(vault)
        self._tries = Tries(vault, uptime)
        self._take_over()

    def __repr__(self) -> str:
        return f"Gallery({str(self._vault.places.path)!r}, generation={self._vault.header.generation})"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        model_id: bytes,
        dimension: int,
        dtype: str = "int8",
        transform: str = "shp3",
        suite: str = "aes-256-gcm",
        audit: str = "changes",
        anchor: Anchor | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Moment] = moment_of_boot,
    ) -> Gallery:
        """Make an empty gallery; it is on the disk when this returns.

        Args:
            path: Where; must not exist.
            key: What seals it.
            model_id: 32 bytes, SHA-256 of the model file.
            dimension: Numbers per embedding, 1..65535.
            dtype: `int8` or `float16`.
            transform: `shp3` or `none`.
            suite: `aes-256-gcm`, or `chacha20-poly1305` for a CPU without AES instructions.
            audit: What the audit log beside it keeps: `changes`, `all` (changes and answers), or `off` for no log.
            anchor: Notices an old copy put back; none by default.
            filesystem: Seam for tests.
            random: Seam for test vectors.
            clock: Unix seconds.
            uptime: Seam for tests: the time that waits are measured in.

        Raises:
            InputError: an argument is out of range.
            GalleryError: the path exists, cannot be written, or `cryptography` is not installed.
        """
        need_cryptography()
        places = places_of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        header, content = first_generation(
            key,
            model_id=model_id,
            dimension=dimension,
            dtype=dtype,
            transform=transform,
            suite=suite,
            audit=audit,
            random=random,
            now_s=int(places.clock()),
        )
        vault = Vault.create(places, key, header, content, audited=audit != "off")
        return cls(vault, uptime=uptime)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        model_id: bytes | None = None,
        anchor: Anchor | None = None,
        anchored: bool = True,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Moment] = moment_of_boot,
    ) -> Gallery:
        """Open a gallery and check everything there is to check.

        Args:
            path: The gallery file.
            key: One of the keys that seal it.
            model_id: The model that will make the embeddings; compared with the gallery's.
            anchor: The anchor it was created with.
            anchored: False opens it whatever the anchor says, for `reanchor` alone.
            filesystem: Seam for tests.
            random: Seam for test vectors.
            clock: Unix seconds.
            uptime: Seam for tests: the time that waits are measured in.

        Raises:
            GalleryFormatError: not a gallery of a known version, or cut short.
            SealError: wrong key, or altered.
            ModelMismatchError: made for another model.
            RollbackError: older than its anchor.
            GalleryError: missing, unreadable, a symbolic link, or `cryptography` is not installed.
        """
        need_cryptography()
        places = places_of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        return cls(Vault.open(places, key, model_id=model_id, anchored=anchored), uptime=uptime)

    def refresh(self) -> bool:
        """Take over what another process committed since; cheap when nothing changed.

        Returns:
            Whether anything changed.

        Raises:
            GalleryError: as `open`; also after a key rotation, when it must be opened again.
        """
        changed = self._vault.refresh()
        if changed:
            self._take_over()
        return changed

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Gather changes and commit them as one when the block ends without an exception.

        Raises:
            GalleryChangedError: another process committed meanwhile; nothing was written.
            GalleryError: a step of the commit failed; the file then holds the old content or the new,
                nothing between.
        """
        before = self._vault.content
        transaction = self._transaction()
        yield transaction
        if transaction.changed:
            self._commit(before, transaction.apply())

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        *,
        label: str = "",
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
        allow_duplicate: bool = False,
    ) -> None:
        """Add one subject in a commit of its own; arguments and errors as `Transaction.enrol`."""
        self._change(
            lambda t: t.enrol(
                subject,
                embeddings,
                label=label,
                valid_from=valid_from,
                valid_until=valid_until,
                allow_duplicate=allow_duplicate,
            )
        )

    def identify(
        self,
        embedding: NDArray[np.float32],
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Identification:
        """Ask who a probe is (1:N) among those who are enrolled now: what another process changed counts.

        Args:
            embedding: Shape (D,), float32, finite, any length.
            threshold: Cosine to reach, -1..1; by default what the gallery's decision policy says.
            now: Moment for validity times; the clock by default, never before the last commit.

        Returns:
            Accepted with the subject; rejected: nobody reaches the threshold, or two subjects tie; retry: close to
            the threshold or to another subject, as the policy says; locked out: too many failures.

        Raises:
            InputError: embedding or threshold malformed, or there is neither a threshold nor a policy.
            ModelCardError: the policy's evidence does not reach so many templates.
            GalleryError: as `refresh`, or the try could not be counted; it was not made.
        """

        def prepared() -> Callable[[], Identification]:
            recognition, now_s = self._recognition, self._moment(now)
            probe, limit = recognition.probe(embedding), recognition.limit(threshold)
            return lambda: recognition.identify(probe, limit=limit, now_s=now_s)

        return self._answered(prepared, _nobody)

    def verify(
        self,
        embedding: NDArray[np.float32],
        subject: str,
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Verification:
        """Ask whether a probe is one subject (1:1), as they are enrolled now.

        Args:
            embedding: Shape (D,), float32, finite, any length.
            subject: The name that is claimed.
            threshold: As `identify`; the policy's is for as many templates as the subject has.
            now: As `identify`.

        Raises:
            SubjectUnknownError: no such subject; not counted as a try.
            InputError, ModelCardError, GalleryError: as `identify`.
        """

        def prepared() -> Callable[[], Verification]:
            recognition, now_s = self._recognition, self._moment(now)
            name = recognition.known(subject)
            probe, limit = recognition.probe(embedding), recognition.limit(threshold, subject=name)
            return lambda: recognition.verify(probe, name, limit=limit, now_s=now_s)

        return self._answered(
            prepared, lambda why: Verification(Decision.LOCKED_OUT, self._recognition.known(subject), why)
        )

    def require_model(self, model_id: bytes) -> None:
        """Refuse to be asked with another model's embeddings.

        Args:
            model_id: SHA-256 of the model in use, 32 bytes.

        Raises:
            ModelMismatchError: The gallery was made for another model.
        """
        require_model(self._vault.header, model_id)

    @property
    def policy(self) -> DecisionPolicy | None:
        """How it decides where a caller brings no threshold."""
        return self._recognition.policy

    def reject(self) -> Identification:
        """Count a try that was decided before any comparison, such as a photograph before the camera.

        Returns:
            Rejected, or locked out; never accepted.

        Raises:
            GalleryError: as `refresh`, or the try could not be counted.
        """
        rejected = Identification(Decision.REJECTED, None)
        return self._answered(lambda: lambda: rejected, _nobody)

    def reset_attempts(self) -> None:
        """Begin the count of failures anew, as an administrator, in a commit of its own.

        Raises:
            GalleryError: failures are not counted here, or the commit failed.
        """
        limit = self._tries.limit
        if limit is None:
            raise GalleryError(
                "this gallery counts no failures", hint="edge-sdk gallery limit-attempts sets a limit"
            )
        self._change(lambda t: t.limit_attempts(limit))

    def attempts(self) -> AttemptStatus | None:
        """Where the count of failures stands; None where tries are not limited."""
        return self._tries.status()

    def problems(self) -> tuple[str, ...]:
        """As `Custody.problems`, and a count of failures that cannot be believed."""
        attempts, found = self.attempts(), super().problems()
        if attempts is None or attempts.refusal is not Reason.COUNTER:
            return found
        return (*found, "the counter of failures is missing, altered or of another count: nobody is let in")

    def subjects(self) -> tuple[Subject, ...]:
        """Everyone enrolled, in order of enrolment."""
        return subjects_of(self._vault.content)

    def references(self) -> References:
        """The stored templates, for a matcher that works on `transform_probe`'s output."""
        return self._recognition.references()

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Bring a probe to the space of `references`.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Returns:
            Shape (D,), float64, length 1.

        Raises:
            InputError: embedding malformed.
        """
        return self._recognition.transform_probe(embedding)

    def status(self) -> GalleryStatus:
        """How strong and how full it is."""
        return status_of(self._vault, self.policy, self.attempts())

    def _take_over(self) -> None:
        self._recognition = Matcher(self._vault.header, self._vault.content)
        self._tries.follow()

    def _transaction(self) -> Transaction:
        vault = self._vault
        return Transaction(
            vault.content,
            template_type=vault.header.template_type,
            transform=self._recognition.to_template_space,
            random=vault.places.random,
            now_s=int(vault.places.clock()),
            checks=self._recognition.enrolment_checks(),
        )

    def _in_step(self, before: Content, after: Content) -> AbstractContextManager[None]:
        return self._tries.in_step(before, after)

    def _answered(
        self, prepared: Callable[[], Callable[[], _Answer]], locked_out: Callable[[Reason], _Answer]
    ) -> _Answer:
        """Look at what is on the disk now, count a try, make it where it may be made, and write down what came of it.

        Args:
            prepared: Checks what is asked, and gives the question; raises before anything is counted.
            locked_out: What to answer where it may not be made, and why.
        """
        self.refresh()
        ask, number = prepared(), self._tries.begin()
        # An administrator in another process may have begun the count anew.
        while number is Reason.COUNTER and self.refresh():
            ask, number = prepared(), self._tries.begin()
        if isinstance(number, Reason):
            answer = locked_out(number)
        else:
            answer = ask()
            self._tries.end(number, accepted=answer.accepted)
        self._note_answer(answer)
        return answer

    def _note_answer(self, answer: Identification | Verification) -> None:
        content = self._vault.content
        if content.record(AUDIT_POLICY) == AUDIT_ANSWERS:
            name = answer.subject
            subject = (
                "" if name is None else content.subjects["id"][content.names.index(name)].tobytes().hex()
            )
            self._vault.note(AuditEvent(answer.decision.value.replace("_", "-"), subject))

    def _moment(self, now: float | datetime | None) -> float:
        if now is None:
            return max(self._vault.places.clock(), self._vault.content.committed_at_s)
        return seconds(now)


def _nobody(why: Reason) -> Identification:
    return Identification(Decision.LOCKED_OUT, None, why)
