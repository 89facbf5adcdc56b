"""The sealed gallery of references: create, open, enrol, verify, identify, remove."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.attempt_counter import Moment, moment_of_boot
from edge_sdk.gallery.backup.receipts import BackupReceipt, Restoration
from edge_sdk.gallery.backup.restore_backup import restore_backup
from edge_sdk.gallery.backup.write_backup import write_backup
from edge_sdk.gallery.components.attempts import Attempts
from edge_sdk.gallery.components.audit import Audit
from edge_sdk.gallery.components.captures import Captures
from edge_sdk.gallery.components.exchange import Exchange
from edge_sdk.gallery.components.keys import Keys
from edge_sdk.gallery.components.migration import Migration
from edge_sdk.gallery.creation import first_generation, write_first_generation
from edge_sdk.gallery.erasure import erase
from edge_sdk.gallery.format.model_binding import require_evidence, require_model
from edge_sdk.gallery.format.sealing import need_cryptography
from edge_sdk.gallery.key_notes import check_gallery_id, note_gallery, parse_gallery_id
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.old_names import moved_method
from edge_sdk.gallery.results import (
    Decision,
    ErasureReceipt,
    GalleryStatus,
    Identification,
    Reason,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.rules.known_time import KnownTime
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.status import problems_of, status_of
from edge_sdk.gallery.store.anchor import Anchor
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.files import FileSystem, checked_path
from edge_sdk.gallery.store.sealed_file import Environment, open_generation
from edge_sdk.gallery.subjects import ENROL_DEFAULTS, EnrolOptions, subjects_of, unix_seconds
from edge_sdk.gallery.transaction import Transaction
from edge_sdk.model.model_id import ModelId
from edge_sdk.notices import GalleryWarning
from edge_sdk.types import Float64Array


class Gallery:
    """An open gallery, returned by `Gallery.create` and `Gallery.open`.

    Every answer and every change first checks the file for a newer generation, so a revocation by another process
    takes effect at once, and an old copy that was put back is refused. Methods that only read, such as `subjects`,
    show the state of the last `refresh`. Do not share one object between threads.

    ```python
    gallery = Gallery.open("home.gallery", key=KeyFile("home.key"), model_id=model_id)
    answer = gallery.identify(embedding, threshold=0.62)
    ```

    Attributes:
        keys: The keys that open the gallery, its transform key and its anchor.
        audit: The audit log.
        attempts: The limit on failed attempts.
        exchange: Exports, imports and signed commands.
        captures: Sealed captures of enrolments, from which another network makes templates.
        migration: Change of the gallery's model.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.keys = Keys(session)
        self.audit = Audit(session)
        self.attempts = Attempts(session)
        self.exchange = Exchange(session)
        self.captures = Captures(session)
        self.migration = Migration(session)

    def __repr__(self) -> str:
        session = self._session
        return f"Gallery({str(session.environment.path)!r}, generation={session.header.generation})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return moved_method(self, name)

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
        audit: str = "all",
        networks: PinnedNetworks | None = None,
        anchor: Anchor | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Moment] = moment_of_boot,
    ) -> Gallery:
        """Create an empty gallery; it is on disk when this returns.

        Args:
            path: Path of the new gallery; must not exist.
            key: The key that seals it.
            model_id: `Embedder.model_id`, which binds the gallery to the network and its input contract; or any 32 bytes,
                such as a digest, that the program compares itself.
            dimension: Numbers per embedding, 1..65535.
            dtype: Type of the stored templates, `int8` or `float16`.
            transform: Transform of the stored templates, `shp3` or `none`.
            suite: Cipher, `aes-256-gcm`, or `chacha20-poly1305` for a CPU without AES instructions.
            audit: Content of the audit log: `all` (changes and answers), `changes`, or `off` for no log.
            networks: The detector and liveness networks that a recognizer must use; none are required by default.
            anchor: Detects an old copy that was put back; none by default.
            filesystem: The file system; a test can replace it.
            random: Source of random bytes; a test can replace it.
            clock: Returns Unix seconds; a test can replace it.
            uptime: Returns the time since boot, by which waits are measured; a test can replace it.

        Raises:
            InputError: an argument is out of range.
            GalleryError: the path exists or cannot be written, or `cryptography` is not installed.
        """
        need_cryptography()
        environment = Environment.of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        header, content = first_generation(
            key,
            path=environment.path,
            model_id=model_id,
            dimension=dimension,
            dtype=dtype,
            transform=transform,
            suite=suite,
            audit=audit,
            networks=networks,
            random=random,
            now_s=int(environment.clock()),
        )
        generation, log = write_first_generation(environment, key, header, content, audited=audit != "off")
        note_gallery(environment.path, key, header.gallery_id)
        return cls(Session(environment, key, generation, log=log, model_id=model_id, uptime=uptime))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        model_id: bytes | None = None,
        needs_model: bool = True,
        anchor: Anchor | None = None,
        anchored: bool = True,
        gallery_id: bytes | str | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Moment] = moment_of_boot,
    ) -> Gallery:
        """Open a gallery and check its file completely.

        Args:
            path: The gallery file.
            key: A key that opens it.
            model_id: `Embedder.model_id` of the model in use, or the bytes that the program gave to `create`; compared
                with the gallery's model if given.
            needs_model: False for a program that neither enrols nor compares: no warning if `model_id` is missing.
            anchor: The anchor it was created with. A gallery that was created with an anchor and is opened without it
                can be read, but gives no answers and is not changed.
            anchored: False skips the comparison with the anchor; only for `keys.reanchor` and `keys.remove_anchor`.
            gallery_id: Id that the gallery must have, 16 bytes or 32 hexadecimal digits; by default the one that the
                key file notes for this path, if any.
            filesystem: The file system; a test can replace it.
            random: Source of random bytes; a test can replace it.
            clock: Returns Unix seconds; a test can replace it.
            uptime: Returns the time since boot, by which waits are measured; a test can replace it.

        Raises:
            GalleryFormatError: the file is not a gallery of a known version, or is incomplete.
            SealError: the key is wrong, or the file was altered.
            ModelMismatchError: the gallery was made for another model.
            InputError: `gallery_id` is malformed.
            RollbackError: the gallery is older than its anchor, more than one generation ahead of it, or anchored elsewhere.
            GalleryError: the file is missing, unreadable, a symbolic link, or another gallery than `gallery_id`; or
                `cryptography` is not installed.

        Warns:
            GalleryWarning: `model_id` is missing.
        """
        need_cryptography()
        if model_id is None and needs_model:
            warnings.warn(
                "the gallery was opened without a model id: embeddings of another model would be compared; give"
                " model_id=embedder.model_id, or needs_model=False if nothing is enrolled or compared",
                GalleryWarning,
                stacklevel=2,
            )
        environment = Environment.of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        expected_id = None if gallery_id is None else parse_gallery_id(gallery_id)
        generation = open_generation(environment, key, model_id=model_id, anchored=anchored)
        check_gallery_id(environment.path, key, generation.header.gallery_id, expected_id)
        return cls(Session(environment, key, generation, model_id=model_id, uptime=uptime, anchored=anchored))

    def backup(self, path: str | os.PathLike[str], *, this_device_only: bool = False) -> BackupReceipt:
        """Write the gallery, its audit log and its attempt counter to one sealed file, which only its keys open.

        Args:
            path: Path of the backup; must not exist.
            this_device_only: Write the backup also if no key can open it on another device.

        Raises:
            GalleryError: the path exists or cannot be written, the gallery was opened without its anchor, the file would be
                over 256 MiB, or no key opens the backup on another device.
        """
        with contextlib.suppress(GalleryError):
            self.audit.flush()
        slots = self.keys.slots()
        return write_backup(self._session, checked_path(path), slots, this_device_only=this_device_only)

    @staticmethod
    def restore(
        backup: str | os.PathLike[str],
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        anchor: Anchor | None = None,
        without_anchor: bool = False,
        replace: bool = False,
        gallery_id: bytes | str | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Moment] = moment_of_boot,
    ) -> Restoration:
        """Put a backup into use, as a generation newer than every generation that the anchor has seen.

        Only an administrator should do this: everything that was changed after the backup is undone, and the audit log
        records it. At an empty path the audit log and the attempt counter of the backup are restored too; over a gallery
        its own audit log and the higher number of failed attempts are kept.

        Args:
            backup: The backup file.
            path: Path of the restored gallery.
            key: A key of the gallery.
            anchor: Its anchor, which may be a new one.
            without_anchor: Continue without an anchor although the gallery had one.
            replace: Replace a gallery at the path, or go back behind a generation that the anchor has seen.
            gallery_id: Id that the gallery must have, see `open`.
            filesystem: The file system; a test can replace it.
            random: Source of random bytes; a test can replace it.
            clock: Returns Unix seconds; a test can replace it.
            uptime: Returns the time since boot; a test can replace it.

        Raises:
            GalleryFormatError: the file is not a backup, or is cut short.
            SealError: the key is wrong, or the backup was altered.
            GalleryError: there is a gallery at the path or a newer generation in the anchor, and `replace` is False; there is
                another gallery at the path; or a step failed.
        """
        need_cryptography()
        environment = Environment.of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        return restore_backup(
            checked_path(backup),
            environment,
            key,
            replaces=replace,
            without_anchor=without_anchor,
            expected_id=None if gallery_id is None else parse_gallery_id(gallery_id),
            uptime=uptime,
        )

    def refresh(self) -> bool:
        """Load changes that another process has committed; reads only the header if nothing changed.

        Returns:
            True if anything changed.

        Raises:
            GalleryError: see `open`; or the key no longer opens the gallery, which must be opened with the new key.
        """
        return self._session.refresh()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect changes and commit them together when the block ends without an exception.

        Raises:
            GalleryChangedError: another process has committed since the block began; nothing was written.
            GalleryError: a step of the commit failed; the file holds either the old or the new content.
        """
        before, transaction = self._session.content, self._session.transaction()
        yield transaction
        if transaction.changed:
            self._session.commit(
                before, transaction.apply(), notes=transaction.notes, captures=transaction.captures
            )

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        options: EnrolOptions = ENROL_DEFAULTS,
        **fields: Any,
    ) -> None:
        """Add one subject, or pictures to a subject, in a separate commit; see `Transaction.enrol` for arguments and errors.

        ```python
        gallery.enrol("ann", embeddings, label="ground floor")
        gallery.enrol("ann", more_embeddings, add=True, look="glasses")
        ```
        """
        self._session.change(lambda transaction: transaction.enrol(subject, embeddings, options, **fields))

    def remove(self, subject: str) -> None:
        """Remove one subject in a separate commit; see `Transaction.remove`."""
        self._session.change(lambda transaction: transaction.remove(subject))

    def remove_look(self, subject: str, look: str) -> None:
        """Remove the templates of one look of a subject in a separate commit; see `Transaction.remove_look`."""
        self._session.change(lambda transaction: transaction.remove_look(subject, look))

    def revoke(self, subject: str) -> None:
        """Stop accepting one subject, in a separate commit; see `Transaction.revoke`."""
        self._session.change(lambda transaction: transaction.revoke(subject))

    def reinstate(self, subject: str) -> None:
        """Undo `revoke`, in a separate commit; see `Transaction.reinstate`."""
        self._session.change(lambda transaction: transaction.reinstate(subject))

    def change(
        self,
        subject: str,
        *,
        label: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
    ) -> None:
        """Change a subject's label or validity in a separate commit; see `Transaction.change`."""
        self._session.change(
            lambda transaction: transaction.change(
                subject, label=label, valid_from=valid_from, valid_until=valid_until
            )
        )

    def erase(self, *subjects: str, keys: Sequence[KeyProvider] = ()) -> ErasureReceipt:
        """Remove subjects, make older copies unreadable if the keys allow it, and return a receipt.

        Args:
            subjects: Names, one or more.
            keys: A key for each slot except the one in use; if all are given, a new key epoch begins.

        Raises:
            InputError: no name is given.
            SubjectUnknownError: a subject is not enrolled; no subject is erased.
            GalleryError: the commit failed.
        """
        if not subjects:
            raise InputError("expected the name of a subject to erase, found none")
        return self._session.retry(lambda: erase(self._session, subjects, keys))

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
        session = self._session
        session.refresh()
        matcher, time = session.matcher, self._validity_time(now)
        probe, limit = matcher.probe(embedding), matcher.limit(threshold)
        session.record_lower_threshold(limit)
        attempt = session.begin_attempt()
        if attempt is Reason.COUNTER and session.refresh():
            # Another process has just started a new counter.
            return self.identify(embedding, threshold=threshold, now=now)
        if isinstance(attempt, Reason):
            answer = Identification(Decision.LOCKED_OUT, None, attempt)
        else:
            answer = matcher.identify(probe, limit=limit.threshold, time=time)
            session.end_attempt(attempt, accepted=answer.accepted)
        self.audit.record_answer(answer)
        return answer

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
        session = self._session
        session.refresh()
        matcher, time = session.matcher, self._validity_time(now)
        name = matcher.known(subject)
        probe, limit = matcher.probe(embedding), matcher.limit(threshold, subject=name)
        session.record_lower_threshold(limit)
        attempt = session.begin_attempt()
        if attempt is Reason.COUNTER and session.refresh():
            # Another process has just started a new counter.
            return self.verify(embedding, subject, threshold=threshold, now=now)
        if isinstance(attempt, Reason):
            answer = Verification(Decision.LOCKED_OUT, name, attempt)
        else:
            answer = matcher.verify(probe, name, limit=limit.threshold, time=time)
            session.end_attempt(attempt, accepted=answer.accepted)
        self.audit.record_answer(answer)
        return answer

    def reject(self) -> Identification:
        """Count a failed attempt that was decided before any comparison, such as a presentation attack.

        Returns:
            Rejected or locked out; never accepted.

        Raises:
            GalleryError: see `refresh`; or the attempt could not be counted.
        """
        session = self._session
        session.refresh()
        attempt = session.begin_attempt()
        if attempt is Reason.COUNTER and session.refresh():
            # Another process has just started a new counter.
            return self.reject()
        if isinstance(attempt, Reason):
            answer = Identification(Decision.LOCKED_OUT, None, attempt)
        else:
            answer = Identification(Decision.REJECTED, None)
        self.audit.record_answer(answer)
        return answer

    def require_model(self, model_id: bytes) -> None:
        """Check that the gallery was made for a model.

        Args:
            model_id: `Embedder.model_id` of the model in use, or the bytes that the program gave to `create`.

        Raises:
            ModelMismatchError: the gallery was made for another model.
        """
        session = self._session
        require_model(session.header, session.content, model_id)
        if isinstance(model_id, ModelId):
            session.model = model_id

    def require_evidence(self, evidence: bytes) -> None:
        """Check that the gallery has stored the evidence in a model's card, before a threshold is taken from it.

        The gallery stores the digest when it is created with `Embedder.model_id`, and with `Transaction.pin_evidence`.

        Args:
            evidence: `Embedder.model_id.evidence`, 32 bytes.

        Raises:
            ModelCardError: it is another evidence.
        """
        require_evidence(self._session.header, self._session.content, evidence)

    def bind_model(self, model_id: ModelId, *, files: Sequence[bytes] = ()) -> bool:
        """Bind a gallery that is bound to a model file to the network and its input contract, in a separate commit.

        Every commit of a process that opened the gallery with `Embedder.model_id` does the same. Use it before the file
        changes, for example before `edge-convert evaluate --write-card`.

        Args:
            model_id: `Embedder.model_id` of the model in use.
            files: SHA-256 of further files, 32 bytes each, that hold the same network and the same input contract, such
                as the file before its card changed. A wrong digest here would compare embeddings that are not comparable.

        Returns:
            True if the gallery was bound, False if it was bound already.

        Raises:
            ModelMismatchError: the gallery was made for another model.
            GalleryError: the commit failed.
        """
        session = self._session
        session.refresh()
        return session.retry(lambda: session.bind_model(model_id, files))

    @property
    def networks(self) -> PinnedNetworks | None:
        """The detector and liveness networks that a recognizer must use; None if they are not pinned."""
        return self._session.matcher.networks

    @property
    def policy(self) -> DecisionPolicy | None:
        """The stored decision policy; None if each caller gives a threshold."""
        return self._session.matcher.policy

    def subjects(self) -> tuple[Subject, ...]:
        """Return the enrolled subjects, in order of enrolment."""
        return subjects_of(self._session.content)

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

    def status(self) -> GalleryStatus:
        """Return the strength of the gallery's protection and its size."""
        return status_of(self._session, self.attempts.status())

    def problems(self) -> tuple[str, ...]:
        """Check templates, audit log, file modes, attempt counter and TPM; return one sentence for each problem.

        Raises:
            GalleryError: a file cannot be read.
        """
        return problems_of(self._session, self.attempts.status())

    def time(self) -> KnownTime:
        """Return the time by which validity is judged, and by how much the clock is behind it.

        Raises:
            GalleryError: the clock gives a time outside 1970 to 9999.
        """
        return self._session.time()

    def reset_clock(self) -> None:
        """Seal the clock's present time although the gallery knows a later one, in a separate commit.

        Use it after a change was made with a clock that was wrongly ahead. Only an administrator should do this, with a
        correct clock: subjects who expired by the earlier time may become valid again. The audit log records it.

        Raises:
            GalleryError: the commit failed, or the clock gives a time outside 1970 to 9999.
        """
        session = self._session

        def step() -> None:
            before = session.content
            detail = f"from={int(session.time().now_s)},to={int(session.environment.clock())}"
            session.commit(
                before, before, events=[AuditEvent("clock-reset", detail=detail)], reset_clock=True
            )

        session.retry(step)

    def _validity_time(self, now: float | datetime | None) -> KnownTime:
        time = self._session.time(None if now is None else unix_seconds(now))
        if now is None:
            self._session.warn_of_clock(time)
        return time
