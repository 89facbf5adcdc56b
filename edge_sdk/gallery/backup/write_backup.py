"""Write a backup of an open gallery."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempt_counter import MAX_FILE_BYTES, counter_path
from edge_sdk.gallery.backup.backup_file import (
    ATTEMPTS,
    AUDIT,
    MAX_BACKUP_BYTES,
    Backup,
    check_path,
    open_backup,
    seal_backup,
)
from edge_sdk.gallery.backup.receipts import BackupReceipt
from edge_sdk.gallery.format.content import CAPTURES, KEPT_GENERATION, Content
from edge_sdk.gallery.keys.provider import opens_elsewhere
from edge_sdk.gallery.results import KeySlot
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_log import MAX_LINE_BYTES, AuditEvent
from edge_sdk.gallery.store.audit_segments import LogSeal, closed_path, next_path
from edge_sdk.gallery.store.files import (
    FileSystem,
    audit_path,
    cannot,
    checked_path,
    locked,
    read_gallery,
    write_atomically,
)
from edge_sdk.gallery.store.sealed_file import Environment, Generation, is_current


def write_backup(
    session: Session, target: str | Path, keys: Sequence[KeySlot], *, this_device_only: bool
) -> BackupReceipt:
    """Write the gallery, its audit log and its attempt counter as one sealed file; see `Gallery.backup`.

    Args:
        session: The open gallery.
        target: The file to write.
        keys: The gallery's key slots.
        this_device_only: Write the backup even if no key can open it on another device.
    """
    environment, path = session.environment, checked_path(target)
    session.require_anchor()
    check_path(path, environment.path)
    elsewhere = tuple(slot for slot in keys if opens_elsewhere(slot.type))
    bound = [slot for slot in keys if opens_elsewhere(slot.type) is False]
    if len(bound) == len(keys) and not this_device_only:
        raise GalleryError(
            f"no key of the gallery opens the backup on another device: {_named(bound)}",
            hint="add a key for recovery first: edge-sdk gallery add-key passphrase --role recovery; for a backup that"
            " opens on this device only, give --this-device-only",
        )
    if environment.files.mode(path) is not None:
        raise GalleryError(f"{path} exists already", hint="choose another name, or move the file away")
    session.note(AuditEvent("backup", detail=f"generation={session.header.generation}"))
    backup, generation = _collected(session)
    data = seal_backup(backup, generation, random=environment.random)
    write_atomically(environment.files, path, data, check=lambda written: _check(written, session))
    content = generation.content
    return BackupReceipt(
        path=str(path),
        gallery_id=generation.header.gallery_id.hex(),
        generation=generation.header.generation,
        created_at_s=backup.created_at_s,
        size_bytes=len(data),
        subjects=len(content.subjects),
        log_files=sum(name != ATTEMPTS for name in backup.files),
        keys=tuple(keys),
        opens_elsewhere=elsewhere,
        statement=_statement(content, keys, elsewhere),
    )


def _check(data: bytes, session: Session) -> None:
    open_backup(data, session.key)


def _collected(session: Session) -> tuple[Backup, Generation]:
    """Read all files of one generation, under the lock."""
    environment = session.environment
    while True:
        with locked(environment.files, environment.path):
            if is_current(environment, session.generation):
                return _read(environment, session)
        session.refresh()


def _read(environment: Environment, session: Session) -> tuple[Backup, Generation]:
    files, path = environment.files, environment.path
    gallery = read_gallery(files, path)
    current = session.generation
    anchored = environment.anchor.read(current.header.gallery_id) or 0
    companions: dict[str, bytes] = {}
    if current.content.audit.entries:
        log = audit_path(path)
        seal = LogSeal.of(current.header, current.content)
        for name, part in _log_files(files, log, seal):
            companions |= _file(files, name, part, MAX_BACKUP_BYTES)
    if session.counter is not None:
        with locked(files, counter_path(path)):
            companions |= _file(files, ATTEMPTS, counter_path(path), MAX_FILE_BYTES + 1)
    return Backup(gallery, session.now_s(), anchored, companions), current


def _log_files(files: FileSystem, log: Path, seal: LogSeal) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths of the files of the audit log that may exist, the current one last."""
    front = _file(files, AUDIT, log, MAX_LINE_BYTES) or _file(files, AUDIT, next_path(log), MAX_LINE_BYTES)
    start = seal.start_of(front.get(AUDIT, b"").partition(b"\n")[0])
    oldest, current = seal.segments[0].index, seal.last.index
    if start is not None:
        oldest, current = start.oldest, start.segment.index
    for index in range(oldest, current + 1):
        yield f"{AUDIT}.{index:06d}", closed_path(log, index)
    yield f"{AUDIT}.next", next_path(log)
    yield AUDIT, log


def _file(files: FileSystem, name: str, path: Path, most: int) -> dict[str, bytes]:
    with contextlib.suppress(FileNotFoundError):
        try:
            return {name: files.read(path, most)}
        except FileNotFoundError:
            raise
        except OSError as error:
            raise cannot("read", path, error) from error
    return {}


def _named(slots: Sequence[KeySlot]) -> str:
    return ", ".join(f"{slot.given_name or slot.name} (slot {slot.index})" for slot in slots)


def _statement(content: Content, keys: Sequence[KeySlot], elsewhere: Sequence[KeySlot]) -> str:
    here = [slot for slot in keys if opens_elsewhere(slot.type) is False]
    unknown = [slot for slot in keys if opens_elsewhere(slot.type) is None]
    subjects = len(content.subjects)
    parts = [
        f"it holds the templates of {subjects} subject{'s' * (subjects != 1)}, also after they are erased from the gallery:"
        " delete it then"
    ]
    if elsewhere:
        parts.append(
            f"it opens on another device with: {_named(elsewhere)}; the key is not in it, keep it elsewhere"
        )
    if here:
        parts.append(f"it opens on this device only with: {_named(here)}")
    if unknown:
        parts.append(f"it is not known if another device can open it with: {_named(unknown)}")
    if content.record(CAPTURES) is not None:
        parts.append("stored captures are not in it: copy the files that end in .captures. and an id as well")
    if content.record(KEPT_GENERATION) is not None:
        parts.append("the change of the model is not confirmed, and cannot be undone after a restore")
    return "; ".join(parts)
