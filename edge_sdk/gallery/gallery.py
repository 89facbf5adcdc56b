"""The sealed gallery of references: create, open, enrol, verify, identify, remove."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.answers import Answers
from edge_sdk.gallery.attempt_counter import Moment, moment_of_boot
from edge_sdk.gallery.components.attempts import Attempts
from edge_sdk.gallery.components.audit import Audit
from edge_sdk.gallery.components.captures import Captures
from edge_sdk.gallery.components.keys import Keys
from edge_sdk.gallery.creation import first_generation, write_first_generation
from edge_sdk.gallery.format.model_binding import require_evidence, require_model
from edge_sdk.gallery.format.sealing import need_cryptography
from edge_sdk.gallery.key_notes import check_gallery_id, note_gallery, parse_gallery_id
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.old_names import moved_method
from edge_sdk.gallery.results import (
    GalleryStatus,
    Subject,
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
from edge_sdk.gallery.subject_commits import SubjectCommits
from edge_sdk.gallery.subjects import subjects_of
from edge_sdk.model.model_id import ModelId
from edge_sdk.notices import GalleryWarning

if TYPE_CHECKING:
    from edge_sdk.gallery.backup.receipts import BackupReceipt, Restoration
    from edge_sdk.gallery.components.exchange import Exchange
    from edge_sdk.gallery.components.migration import Migration


class Gallery(Answers, SubjectCommits):
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
        captures: Sealed captures of enrolments, from which another network makes templates.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.keys = Keys(session)
        self.audit = Audit(session)
        self.attempts = Attempts(session)
        self.captures = Captures(session)

    def __repr__(self) -> str:
        session = self._session
        return f"Gallery({str(session.environment.path)!r}, generation={session.header.generation})"

    @cached_property
    def exchange(self) -> Exchange:
        """Exports, imports and signed commands."""
        from edge_sdk.gallery.components.exchange import Exchange

        return Exchange(self._session)

    @cached_property
    def migration(self) -> Migration:
        """Change of the gallery's model."""
        from edge_sdk.gallery.components.migration import Migration

        return Migration(self._session)

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
        from edge_sdk.gallery.backup.write_backup import write_backup

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
        from edge_sdk.gallery.backup.restore_backup import restore_backup

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
