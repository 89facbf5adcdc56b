"""Restore a backup: make its gallery the newest generation, at an empty place or over the gallery that is there.

Like every change, a restore is one commit: it appends to the audit log, writes the first state of the attempt counter, and
replaces the gallery's file by one rename. A power cut before the rename leaves the place as it was, apart from files of
the audit log that the next restore accepts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_sdk.errors import ChangeCommittedError, GalleryError, GalleryFormatError, SealError
from edge_sdk.gallery.attempt_counter import AttemptCounter, Moment
from edge_sdk.gallery.backup.backup_file import (
    ATTEMPTS,
    AUDIT,
    MAX_BACKUP_BYTES,
    Backup,
    check_path,
    open_backup,
)
from edge_sdk.gallery.backup.difference import Present, changes_to, difference_to, with_sequences
from edge_sdk.gallery.backup.receipts import Difference, Restoration
from edge_sdk.gallery.captures.files import remove_left_over
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    AUDIT_SEGMENTS,
    COMMAND_HISTORY,
    Content,
)
from edge_sdk.gallery.format.header import Header, parse_header
from edge_sdk.gallery.format.sealing import need_cryptography
from edge_sdk.gallery.key_notes import check_gallery_id, note_gallery
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.store.anchor import NoAnchor, kind_name, with_anchor
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_segments import LogSeal, next_path
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import (
    FileSystem,
    PosixFileSystem,
    audit_path,
    cannot,
    checked_path,
    locked,
    read_gallery,
    write_atomically,
)
from edge_sdk.gallery.store.sealed_file import (
    Environment,
    Generation,
    authenticate,
    unlock,
    with_generation,
    write_generation,
)


def restore_backup(
    source: str | Path,
    environment: Environment,
    key: KeyProvider,
    *,
    replaces: bool,
    without_anchor: bool,
    expected_id: bytes | None = None,
    uptime: Callable[[], Moment],
) -> Restoration:
    """Restore a backup; see `Gallery.restore`.

    Args:
        source: The backup file.
        environment: Path of the gallery, and its new anchor.
        key: A key of the gallery.
        replaces: Replace a gallery that is there, or go back behind a generation that the anchor has seen.
        without_anchor: Continue without an anchor although the gallery had one.
        expected_id: Id that the gallery must have; None for the one that the key notes for the path, if any.
        uptime: Returns the time since boot.
    """
    path = checked_path(source)
    check_path(path, environment.path)
    backup, generation = _open(environment.files, path, key)
    header, content = generation.header, generation.content
    sealed = content.record(ANCHOR_IDENTITY)
    if sealed and isinstance(environment.anchor, NoAnchor) and not without_anchor:
        raise GalleryError(
            f"the gallery was anchored in {kind_name(sealed)}, and no anchor is given: an old copy would not be noticed",
            hint="give --anchor with a new file or counter; to continue without one, give --without-anchor",
        )
    check_gallery_id(environment.path, key, header.gallery_id, expected_id)
    with locked(environment.files, environment.path):
        present = _present(environment, header.gallery_id, key)
        seen = environment.anchor.read(header.gallery_id) or 0
        difference = difference_to(generation, present, seen)
        if not replaces:
            _refuse_to_replace(environment, present, difference, seen)
        with _undone_on_error() as undo:
            log = _place_log(environment, backup, undo, replaces=replaces)
            restored = _commit(environment, backup, generation, present, seen, undo, uptime)
        _remove_left_over(environment, restored)
    note_gallery(environment.path, key, header.gallery_id)
    number = restored.header.generation
    lines = [
        f"generation {header.generation} of the backup is now generation {number}: every other copy is refused"
        if not isinstance(environment.anchor, NoAnchor)
        else f"generation {header.generation} of the backup is now generation {number}; an old copy is not noticed",
        *difference.words(),
    ]
    counter = _counter(environment, restored, uptime)
    failures = None if counter is None else counter.status().failures
    if counter is not None and failures != 0:
        lines.append(
            "the attempt counter cannot be read, so every attempt is refused until it is reset (edge-sdk gallery reset-attempts)"
            if failures is None
            else f"failed attempts in a row before the restore still count: {failures} (edge-sdk gallery reset-attempts)"
        )
    return Restoration(
        path=str(environment.path),
        gallery_id=header.gallery_id.hex(),
        from_generation=header.generation,
        generation=number,
        backed_up_at_s=backup.created_at_s,
        subjects=len(content.subjects),
        anchor=environment.anchor.kind,
        log=log if content.audit.entries else "none",
        difference=difference,
        failures=failures,
        statement="; ".join(lines),
    )


def gallery_in_backup(source: str | Path, key: KeyProvider) -> bytes:
    """Return the id of the gallery in a backup; errors as `Gallery.restore`."""
    need_cryptography()
    return _open(PosixFileSystem(), checked_path(source), key)[1].header.gallery_id


def _open(files: FileSystem, path: Path, key: KeyProvider) -> tuple[Backup, Generation]:
    try:
        return open_backup(_read_backup(files, path), key)
    except SealError as error:
        raise SealError(
            f"{path}: the {key.name} that was given does not open the backup, or the backup was altered",
            hint="give a key that the gallery had when the backup was written: --key FILE or --key passphrase",
        ) from error


def _read_backup(files: FileSystem, path: Path) -> bytes:
    try:
        return files.read(path, MAX_BACKUP_BYTES + 1)
    except FileNotFoundError as error:
        raise GalleryError(f"no backup at {path}", hint="check the path") from error
    except OSError as error:
        raise cannot("read", path, error) from error


def _present(environment: Environment, gallery_id: bytes, key: KeyProvider) -> Present | None:
    """Read the gallery that is at the place; None if there is none.

    Raises:
        GalleryError: it is another gallery, or cannot be read.
    """
    if environment.files.mode(environment.path) is None:
        return None
    data = read_gallery(environment.files, environment.path)
    try:
        header = parse_header(data)
    except GalleryFormatError:
        return Present(None, None)
    if header.gallery_id != gallery_id:
        raise GalleryError(
            f"{environment.path} is gallery {header.gallery_id.hex()}, the backup is of gallery {gallery_id.hex()}",
            hint="restore to another path, or move that gallery away",
        )
    try:
        slot, data_key = unlock(header, key)
        return Present(header, authenticate(data, header, data_key, slot))
    except GalleryError:
        return Present(header, None)


def _refuse_to_replace(
    environment: Environment, present: Present | None, difference: Difference, seen: int
) -> None:
    """Refuse to replace a gallery, or to go back, unless the caller has decided it."""
    if present is None and not difference.generations:
        return
    if present is None:
        reason = f"the anchor has seen generation {seen}, which is newer than the backup"
    else:
        reason = f"{environment.path} exists already"
    effects = "; ".join(difference.words()) or "nothing newer than the backup would be lost"
    raise GalleryError(
        f"{reason}. Restoring the backup: {effects}",
        hint="confirm with --replace (replace=True in a program)",
    )


@contextlib.contextmanager
def _undone_on_error() -> Iterator[contextlib.ExitStack]:
    """Run the registered clean-up steps if the block raises an exception."""
    with contextlib.ExitStack() as undo:
        yield undo
        undo.pop_all()


def _remove_without_gallery(environment: Environment, path: Path) -> None:
    """Remove a file of the audit log, unless the gallery is in place in spite of an error."""
    with contextlib.suppress(OSError):
        if environment.files.mode(environment.path) is None:
            environment.files.unlink(path)


def _place_log(
    environment: Environment, backup: Backup, undo: contextlib.ExitStack, *, replaces: bool
) -> str:
    """Write the audit log of the backup unless there is a log; the current file comes last.

    Returns:
        `restored` or `kept`.

    Raises:
        GalleryError: there is a log that does not continue that of the backup, and replacing was not asked for.
    """
    files, log = environment.files, audit_path(environment.path)
    saved = {name: data for name, data in backup.files.items() if name != ATTEMPTS}
    if files.mode(log) is not None or files.mode(next_path(log)) is not None:
        continues = saved.get(AUDIT, b"") == _start_of(files, log, len(saved.get(AUDIT, b"")))
        if not continues and not replaces and saved:
            raise GalleryError(
                f"{log} is another audit log than the backup's, or continues it in another file",
                hint="move it away and keep it; to continue it with this gallery, give --replace (replace=True)",
            )
        return "kept"
    for name in sorted(saved, key=lambda name: (name == AUDIT, name)):
        path = log.with_name(log.name + name.removeprefix(AUDIT))
        if files.mode(path) is None:
            undo.callback(_remove_without_gallery, environment, path)
        write_atomically(files, path, saved[name])
    return "restored"


def _start_of(files: FileSystem, path: Path, size: int) -> bytes:
    try:
        return files.read(path, size)
    except OSError:
        return b""


def _commit(
    environment: Environment,
    backup: Backup,
    generation: Generation,
    present: Present | None,
    seen: int,
    undo: contextlib.ExitStack,
    uptime: Callable[[], Moment],
) -> Generation:
    """Write the restored gallery as the newest generation; the caller holds the lock."""
    anchor, gallery_id = environment.anchor, generation.header.gallery_id
    newer = None if present is None else present.generation
    newest = max(
        generation.header.generation,
        0 if present is None or not present.header else present.header.generation,
    )
    if not seen:
        undo.callback(_abandon, environment, gallery_id)
    header = with_generation(generation.header, max(newest, anchor.prepare(gallery_id)) + 1)
    content = _content(environment, generation, newer)
    content = with_anchor(content, anchor.identity(gallery_id))
    if content.audit.entries:
        content = _logged(environment, generation, newer, content, header, seen)
    counter = _counter(environment, generation, uptime)
    current = None if newer is None else _counter(environment, newer, uptime)
    if present is None:
        # Without this, a power cut between file and anchor would leave an anchor more than one generation behind.
        anchor.advance(gallery_id, header.generation - 1)
    counting = (
        contextlib.nullcontext()
        if counter is None
        else counter.restoring(backup.files.get(ATTEMPTS, b""), current)
    )
    with counting, anchor.staged(gallery_id, header.generation):
        restored = write_generation(environment, header, content, generation.slot)
        undo.pop_all()
        try:
            anchor.advance(gallery_id, header.generation)
        except (GalleryError, OSError) as error:
            raise ChangeCommittedError(
                f"the backup is restored; the anchor could not be advanced: {error}",
                hint="the next command that opens the gallery advances it; if that is refused, edge-sdk gallery re-anchor",
            ) from error
    return restored


def _remove_left_over(environment: Environment, restored: Generation) -> None:
    """Remove captures of people who are not enrolled any more, and an earlier state that no change of the model keeps."""
    try:
        remove_left_over(environment.files, environment.path, restored.content)
    except GalleryError as error:
        raise ChangeCommittedError(
            f"the backup is restored; files of the replaced gallery are not removed: {error}",
            hint="edge-sdk gallery verify lists them",
        ) from error


def _abandon(environment: Environment, gallery_id: bytes) -> None:
    with contextlib.suppress(GalleryError, OSError):
        environment.anchor.abandon(gallery_id)


def _content(environment: Environment, generation: Generation, newer: Generation | None) -> Content:
    """Return the restored content, of a new branch: no command that was signed for another state is executed."""
    content = generation.content
    policy = tuple(record for record in content.policy if record.kind != COMMAND_HISTORY)
    known_s = max(content.committed_at_s, 0 if newer is None else newer.content.committed_at_s)
    if newer is not None:
        content = with_sequences(content, newer.content)
    return replace(content, committed_at_s=max(int(environment.clock()), known_s), policy=policy)


def _logged(
    environment: Environment,
    generation: Generation,
    newer: Generation | None,
    content: Content,
    header: Header,
    seen: int,
) -> Content:
    """Append the restore to the log, which continues the log of the replaced gallery if it can be opened."""
    source = generation if newer is None or not newer.content.audit.entries else newer
    seal = LogSeal.of(source.header, source.content)
    over = max(seen, 0 if newer is None else newer.header.generation)
    detail = f"from={generation.header.generation}" + (f",over={over}" if over else "")
    events = [AuditEvent("restore", detail=detail)]
    events += [] if newer is None else changes_to(newer.content, content)
    seal = AuditLog(environment.files, audit_path(environment.path)).append(
        events, seal, now_s=int(environment.clock()), generation=header.generation, commit=True
    )
    if source.content.record(AUDIT_SEGMENTS) is None:
        seal = seal.renewed(environment.random)
    return seal.stored_in(content)


def _counter(
    environment: Environment, generation: Generation, uptime: Callable[[], Moment]
) -> AttemptCounter | None:
    gallery_id = generation.header.gallery_id
    return AttemptCounter.of(environment.files, environment.path, gallery_id, generation.content, uptime)
