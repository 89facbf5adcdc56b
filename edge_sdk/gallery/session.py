"""An open gallery: its key, its current generation and the one path by which a change becomes the next generation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from edge_sdk.errors import ChangeCommittedError, GalleryChangedError, GalleryError, GalleryFormatError
from edge_sdk.gallery.attempt_counter import AttemptCounter, Moment
from edge_sdk.gallery.captures.files import add_parts, remove_unnamed
from edge_sdk.gallery.exchange.history import State, with_history
from edge_sdk.gallery.format.content import ANCHOR_IDENTITY, ATTEMPT_POLICY, AUDIT_SEGMENTS, Content
from edge_sdk.gallery.format.header import VERSION, Header, ModelKind, parse_header
from edge_sdk.gallery.format.model_binding import bound_to_space, require_model
from edge_sdk.gallery.format.sealing import unwrap
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.match.matcher import Matcher
from edge_sdk.gallery.migration.kept import released
from edge_sdk.gallery.own_scores_warning import warn_after_commit
from edge_sdk.gallery.results import Reason
from edge_sdk.gallery.rules.known_time import KnownTime
from edge_sdk.gallery.rules.policy import Limit
from edge_sdk.gallery.session_clock import SessionClock
from edge_sdk.gallery.store.anchor import NoAnchor, kind_name, with_anchor
from edge_sdk.gallery.store.audit_events import changes
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_report import AuditReport, changed_error, check_log, take_snapshot
from edge_sdk.gallery.store.audit_segments import LogSeal
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import audit_path, locked, read_gallery
from edge_sdk.gallery.store.sealed_file import (
    Environment,
    Generation,
    OpenSlot,
    advance_lagging,
    anchor_lags,
    authenticate,
    is_current,
    open_newer,
    read_back,
    slot_keys_of,
    with_generation,
    write_generation,
)
from edge_sdk.gallery.transaction import Transaction
from edge_sdk.model.model_id import ModelId

_T = TypeVar("_T")
_MAX_COMMIT_ATTEMPTS = 20


class Session:
    """The state that `Gallery` and its components share.

    Header, content, matcher and attempt counter always belong to the same generation.

    Args:
        environment: File, anchor, random bytes and clock.
        key: The key that opened the gallery.
        generation: The generation that was opened.
        log: The audit log; by default the one next to the gallery.
        model_id: The model id that the gallery was checked against; None if there was none.
        uptime: Returns the time since boot, by which waits are measured.
        anchored: False if the generation was not compared with the anchor; such a gallery can only be re-anchored.

    Attributes:
        environment: File, anchor, random bytes and clock.
        key: The key in use.
        uptime: Returns the time since boot.
        counter: The attempt counter; None if attempts are not limited.
        matcher: Compares probes with the current content.
        model: The model in use, which was checked against the gallery; None if it is not known. The next commit binds a
            gallery of a model file to this model's embedding space.
    """

    def __init__(
        self,
        environment: Environment,
        key: KeyProvider,
        generation: Generation,
        *,
        log: AuditLog | None = None,
        model_id: bytes | None = None,
        uptime: Callable[[], Moment],
        anchored: bool = True,
    ) -> None:
        self.environment = environment
        self.key = key
        self._anchored = anchored
        self.counter: AttemptCounter | None = None
        self.model = model_id if isinstance(model_id, ModelId) else None
        self._log = log or AuditLog(environment.files, audit_path(environment.path))
        self.uptime = uptime
        self._clock = SessionClock(environment.clock)
        self._lowest_recorded_threshold = math.inf
        self._use(generation)

    @property
    def generation(self) -> Generation:
        """The current generation: the file as it was read."""
        return self._generation

    @property
    def header(self) -> Header:
        """The authenticated header."""
        return self._generation.header

    @property
    def content(self) -> Content:
        """The opened content."""
        return self._generation.content

    @property
    def state(self) -> State:
        """The state for which a back office signs a command."""
        return State.of(self.header.generation, self._generation.head)

    @property
    def slot_index(self) -> int:
        """Number of the slot that the key opens."""
        return self._generation.slot.index

    def refresh(self) -> bool:
        """Load changes that another process committed; see `Gallery.refresh`."""
        if is_current(self.environment, self._generation):
            return False
        newer = open_newer(self.environment, self.key, self._generation)
        if self.model is not None:
            require_model(newer.header, newer.content, self.model)
        self._use(newer)
        return True

    def time(self, given_s: float | None = None) -> KnownTime:
        """Return the time by which validity is judged; it never goes back.

        Args:
            given_s: A time that the caller gives in place of the clock's, Unix seconds; it is not remembered.

        Raises:
            GalleryError: the clock gives a time outside 1970 to 9999.
        """
        return self._clock.time(self.content.committed_at_s, given_s)

    @property
    def missing_anchor(self) -> str:
        """Kind of the anchor that the gallery has sealed if it was opened without one; otherwise empty."""
        sealed = self.content.record(ANCHOR_IDENTITY)
        return kind_name(sealed) if sealed and isinstance(self.environment.anchor, NoAnchor) else ""

    def require_anchor(self) -> None:
        """Refuse an answer or a change if the gallery was not compared with the anchor that it has sealed.

        Raises:
            GalleryError: the gallery has an anchor and was opened without it.
        """
        if not self._anchored:
            raise GalleryError(
                "the gallery was opened without a comparison with its anchor: it gives no answers and is not changed",
                hint="open it with anchored=True; if the anchor does not fit, edge-sdk gallery re-anchor",
            )
        if self.missing_anchor:
            raise GalleryError(
                f"the gallery is anchored in {self.missing_anchor}, and no anchor was given: an old copy would not be noticed",
                hint="give the anchor (--anchor, or anchor= in a program); if it is lost, edge-sdk gallery re-anchor",
            )

    def now_s(self) -> int:
        """Return the time of `time` in whole Unix seconds."""
        return int(self.time().now_s)

    def warn_of_clock(self, time: KnownTime) -> None:
        """Issue a GalleryWarning, once, if the clock is behind and the validity of a subject depends on it."""
        self._clock.warn(time, matters=bool(self.content.subjects["valid_until"].any()))

    def record_lower_threshold(self, limit: Limit) -> None:
        """Record in the audit log that a caller gave a threshold below the policy's, before the answer is computed.

        A session records the first such threshold, and later ones only if they are even lower.

        Raises:
            GalleryError: the log cannot be written, or the gallery keeps no log.
        """
        if limit.policy_threshold is None or limit.threshold >= self._lowest_recorded_threshold:
            return
        if not self.content.audit.entries:
            raise GalleryError(
                "expected an audit log for a threshold below the policy's, found none",
                hint="leave the threshold out",
            )
        detail = f"policy={limit.policy_threshold:.4f},given={limit.threshold:.4f}"
        self.note(AuditEvent("threshold-override", detail=detail))
        self._lowest_recorded_threshold = limit.threshold

    def transaction(self) -> Transaction:
        """Return a new transaction on the current content."""
        return Transaction(
            self.content,
            template_type=self.header.template_type,
            transform=self.matcher.to_template_space,
            random=self.environment.random,
            now_s=self.now_s(),
            checks=self.matcher.enrolment_checks(),
            gallery_id=self.header.gallery_id,
        )

    def change(
        self,
        change: Callable[[Transaction], object],
        amend: Callable[[Content], Content] = lambda content: content,
    ) -> None:
        """Make one change and commit it; repeat it if another process commits first.

        Args:
            change: Makes the change in a transaction.
            amend: Makes changes to the content that a transaction cannot express.
        """

        def step() -> None:
            before, transaction = self.content, self.transaction()
            change(transaction)
            after = amend(transaction.apply() if transaction.changed else before)
            if after is not before:
                self.commit(before, after, notes=transaction.notes, captures=transaction.captures)

        self.retry(step)

    def retry(self, step: Callable[[], _T]) -> _T:
        """Run a step that commits; refresh and run it again if another process commits first, up to 20 times.

        Raises:
            GalleryChangedError: another process committed first at every attempt.
        """
        for _ in range(_MAX_COMMIT_ATTEMPTS - 1):
            try:
                return step()
            except GalleryChangedError:
                self.refresh()
        return step()

    def commit(
        self,
        before: Content,
        after: Content,
        *,
        header: Header | None = None,
        key: KeyProvider | None = None,
        events: Sequence[AuditEvent] | None = None,
        notes: Sequence[AuditEvent] = (),
        reset_clock: bool = False,
        reanchors: bool = False,
        captures: Sequence[tuple[bytes, bytes]] = (),
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Write a changed content as the next generation; every change of a gallery goes through here.

        Under the lock: check that the file is unchanged and fits the anchor, append to the audit log, start the counter
        of a new attempt limit, replace the file, and advance the anchor. After an error the session has the generation
        that is on disk.

        Args:
            before: The content that the change started from.
            after: The content to write.
            header: A changed header, with a slot for each slot key of `after`. Its generation is raised to the next
                one if it is lower.
            key: The key of slot 0, if it replaces the key in use; the file is then read back through slot 0.
            events: Entries for the audit log; by default the result of `audit_events.changes`.
            notes: Further entries for the audit log.
            reset_clock: Seal the clock's time even if it is before that of the last commit.
            reanchors: True to skip the comparison with the anchor.
            captures: Sealed captures to write after the gallery: subject id and bytes.
            prepare: Called under the lock before anything is written.

        Raises:
            GalleryChangedError: another process has committed since `before`.
            ChangeCommittedError: the file was replaced, and a later step failed.
            GalleryError: a step of the commit failed; the gallery was not changed, or the message says that this is not known.

        Warns:
            GalleryWarning: the scores of the gallery's own subjects show that the card's thresholds do not hold.
        """
        slot = self._generation.slot if key is None else OpenSlot(0, slot_keys_of(after)[0])
        header = header or self.header
        header = with_generation(header, max(header.generation, self.header.generation + 1))
        entries = [*(changes(before, after) if events is None else events), *notes]
        if self.header.version < VERSION:
            entries.append(AuditEvent("migrate", detail=f"from={self.header.version},to={VERSION}"))
        committed_at_s = self._clock.commit_time(self.content.committed_at_s, entries, reset=reset_clock)
        after = replace(after, committed_at_s=committed_at_s)
        after = with_history(before, after, self.state, header.generation)
        bound = bound_to_space(header, after, self.model)
        if bound is not None:
            header, after = bound
            entries.append(AuditEvent("bind-model", detail=f"space={header.model_id.hex()}"))
        after = released(after, entries, new_epoch=header.key_epoch != self.header.key_epoch)
        with locked(self.environment.files, self.environment.path):
            if before is not self.content or not is_current(self.environment, self._generation):
                raise GalleryChangedError(
                    f"{self.environment.path} was changed by another process",
                    hint="refresh or open it again, then repeat",
                )
            try:
                if not reanchors:
                    self._fit_anchor()
                if prepare is not None:
                    prepare()
                generation = self._write(before, after, header, slot, entries)
            except (GalleryError, OSError) as error:
                raise _explained(error, self._follow_file(slot, key)) from error
            except (KeyboardInterrupt, SystemExit, MemoryError):
                self._follow_file(slot, key)
                raise
            self._anchored = True
            self.key = key or self.key
            self._use(generation)
            self._write_companions(before, captures)
        warn_after_commit(before, after, stacklevel=5)

    def _write_companions(self, before: Content, captures: Sequence[tuple[bytes, bytes]]) -> None:
        """Write new captures and remove files that the committed content does not name; the caller holds the lock."""
        files, path = self.environment.files, self.environment.path
        try:
            add_parts(files, path, self.content, captures)
            remove_unnamed(files, path, before, self.content)
        except GalleryError as error:
            raise ChangeCommittedError(
                f"the change is committed; its captures are not stored or removed: {error}",
                hint="edge-sdk gallery verify lists the files that are missing or left over",
            ) from error

    def open_copy(self, file: bytes) -> Generation:
        """Open an earlier generation of this gallery and of the same key epoch, without comparison with the anchor.

        Raises:
            GalleryFormatError: the bytes are not a gallery.
            SealError: they are not of this key epoch, or were altered.
        """
        header, slot = parse_header(file), self._generation.slot
        if header.gallery_id != self.header.gallery_id or slot.index >= len(header.slots):
            raise GalleryFormatError("expected an earlier generation of this gallery, found another one")
        data_key = unwrap(header, header.slots[slot.index], slot.slot_key)
        return authenticate(file, header, data_key, slot)

    def read_file(self) -> bytes:
        """Return the bytes of the current generation's file.

        Raises:
            GalleryChangedError: another process has committed since.
        """
        data = read_gallery(self.environment.files, self.environment.path)
        if data[: len(self._generation.head)] != self._generation.head:
            raise GalleryChangedError(
                f"{self.environment.path} was changed by another process",
                hint="refresh or open it again, then repeat",
            )
        return data

    def bind_model(self, model: ModelId, files: Sequence[bytes]) -> bool:
        """Bind a gallery of a model file to an embedding space in a commit of its own; see `Gallery.bind_model`."""
        header, content = self.header, self.content
        is_file = header.model_kind is ModelKind.FILE
        known = _with_file(model, header.model_id) if is_file and header.model_id in files else model
        require_model(header, content, known)
        self.model = known
        if is_file:
            self.commit(content, replace(content, committed_at_s=self.now_s()))
        self.model = model
        return is_file

    def _fit_anchor(self) -> None:
        """Check that the current generation fits the anchor, and advance an anchor that is one generation behind."""
        self.require_anchor()
        environment, header = self.environment, self.header
        if anchor_lags(environment, self._generation, environment.anchor.read(header.gallery_id)):
            advance_lagging(environment, header)

    def _write(
        self, before: Content, after: Content, header: Header, slot: OpenSlot, entries: Sequence[AuditEvent]
    ) -> Generation:
        anchor = self.environment.anchor
        after = with_anchor(after, anchor.identity(header.gallery_id))
        if before.audit.entries:
            after = self._logged(before, after, entries, header)
        with self._new_counter(before, after), anchor.staged(header.gallery_id, header.generation):
            generation = write_generation(self.environment, header, after, slot)
            try:
                anchor.advance(header.gallery_id, header.generation)
            except (GalleryError, OSError) as error:
                raise GalleryError(
                    f"the anchor could not be advanced: {error}",
                    hint=f"{getattr(error, 'hint', None) or 'repair the anchor'}; until then the gallery does not open, "
                    "and the next command that opens it advances the anchor",
                ) from error
        return generation

    def _follow_file(self, slot: OpenSlot, key: KeyProvider | None) -> bool | None:
        """Use the generation on disk after an error during a commit; the caller holds the lock.

        Returns:
            True if the commit replaced the file, False if not, None if the file cannot be read.
        """
        try:
            if is_current(self.environment, self._generation):
                return False
            generation = read_back(self.environment, slot)
        except (GalleryError, OSError):
            return None
        self.key = key or self.key
        self._use(generation)
        return True

    def note(self, *events: AuditEvent) -> None:
        """Append entries to the audit log without a commit; do nothing if the gallery keeps no log.

        Raises:
            GalleryError: the log cannot be written.
        """
        while self.content.audit.entries:
            with locked(self.environment.files, self.environment.path):
                # Entries are written with keys of the newest generation, which may have begun a new key epoch.
                if is_current(self.environment, self._generation):
                    seal = LogSeal.of(self.header, self.content)
                    self._append_to_log(events, seal, self.header.generation, commit=False)
                    return
            self.refresh()

    def audit_report(self) -> AuditReport:
        """Check the audit log against the current generation; see `Audit.report`."""
        files, path = self.environment.files, self.environment.path
        for _ in range(_MAX_COMMIT_ATTEMPTS):
            self.refresh()
            with locked(files, path):
                if not is_current(self.environment, self._generation):
                    continue
                if not self.content.audit.entries:
                    raise GalleryError(
                        "this gallery keeps no audit log",
                        hint="create a gallery with --audit changes or --audit all",
                    )
                snapshot = take_snapshot(files, audit_path(path), LogSeal.of(self.header, self.content))
            # A log of full size takes seconds to check, so it is checked without the lock.
            with contextlib.suppress(GalleryChangedError):
                return check_log(files, snapshot, generation=self.header.generation)
        raise changed_error(audit_path(path))

    def begin_attempt(self) -> int | Reason:
        """Count an attempt as failed before it is made.

        Returns:
            The attempt's number for `end_attempt`, 0 if attempts are not limited; or the reason to refuse it.

        Raises:
            GalleryError: the counter cannot be written, or the gallery was opened without its anchor; the attempt must
                not be made.
        """
        self.require_anchor()
        if self.counter is None:
            return 0
        return self.counter.begin(is_current=lambda: is_current(self.environment, self._generation))

    def end_attempt(self, number: int, *, accepted: bool) -> None:
        """If the attempt was accepted, clear it and the failed attempts before it."""
        if accepted and self.counter is not None:
            self.counter.succeed(number)

    def _logged(
        self, before: Content, after: Content, events: Sequence[AuditEvent], header: Header
    ) -> Content:
        """Append the events of a commit to the log, and return the content with the log's new seal."""
        seal = LogSeal.of(self.header, before)
        seal = self._append_to_log(events, seal, header.generation, commit=True)
        if header.key_epoch != self.header.key_epoch or before.record(AUDIT_SEGMENTS) is None:
            seal = seal.renewed(self.environment.random)
        return seal.stored_in(after)

    def _append_to_log(
        self, events: Sequence[AuditEvent], seal: LogSeal, generation: int, *, commit: bool
    ) -> LogSeal:
        return self._log.append(
            events or [AuditEvent("commit")],
            seal,
            now_s=int(self.environment.clock()),
            generation=generation,
            commit=commit,
        )

    def _new_counter(self, before: Content, after: Content) -> contextlib.AbstractContextManager[None]:
        """Return a context for the commit, which replaces the attempt counter if its limit or its key changes."""
        counter = self._counter_of(self.header, after)
        if counter is None or (self.counter is not None and self.counter.identity == counter.identity):
            return contextlib.nullcontext()
        keep = before.record(ATTEMPT_POLICY) == after.record(ATTEMPT_POLICY)
        return counter.replacing(self.counter, keep=keep)

    def _counter_of(self, header: Header, content: Content) -> AttemptCounter | None:
        files, path = self.environment.files, self.environment.path
        return AttemptCounter.of(files, path, header.gallery_id, content, self.uptime)

    def _use(self, generation: Generation) -> None:
        matcher = Matcher(generation.header, generation.content)
        counter = self._counter_of(generation.header, generation.content)
        self._clock.follow(generation.content.committed_at_s)
        self._generation, self.matcher = generation, matcher
        # A counter remembers the newest state that it has read, so the counter of an unchanged limit is kept.
        if self.counter is None or counter is None or self.counter.identity != counter.identity:
            self.counter = counter


def _explained(error: GalleryError | OSError, committed: bool | None) -> GalleryError:
    """Return the error of a failed commit, which says if the change is committed."""
    hint = getattr(error, "hint", None)
    if committed:
        return ChangeCommittedError(f"the change is committed; {error}", hint=hint)
    if committed is None:
        return GalleryError(
            f"{error}; it is not known if the change is committed",
            hint="make the gallery readable and open it again to see what it holds",
        )
    if not isinstance(error, GalleryError):
        error = GalleryError(str(error))
    error.hint = f"{hint}; the gallery was not changed" if hint else "the gallery was not changed"
    return error


def _with_file(model: ModelId, file: bytes) -> ModelId:
    return ModelId(file, space=model.space, evidence=model.evidence)
