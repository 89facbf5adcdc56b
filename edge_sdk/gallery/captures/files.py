"""Files beside a gallery that its records name: captures files, and the generation before a change of the model.

A commit writes them while it holds the lock, after the gallery itself, so there are never captures of somebody who is
not enrolled. A power cut between the two steps leaves a gallery whose captures are missing; `problems` says so. Files
that no record names are removed by the next commit of a gallery with such records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.captures.sealed import MAX_CAPTURES_FILE_BYTES, authentic_parts, digest_of
from edge_sdk.gallery.format.captures_record import CapturesRecord, KeptRecord, parse_captures, parse_kept
from edge_sdk.gallery.format.content import CAPTURES, KEPT_GENERATION, Content, ids_of
from edge_sdk.gallery.format.header import MAX_FILE_BYTES
from edge_sdk.gallery.store.files import FileSystem, cannot, write_atomically

_SUFFIX = ".captures."
_MAX_FILE_NAME_BYTES = 255
_ID_DIGITS = 32
_TMP = ".tmp"


def captures_path(gallery: Path, subject: bytes) -> Path:
    """Return the path of a subject's captures file."""
    return gallery.with_name(f"{gallery.name}{_SUFFIX}{subject.hex()}")


def kept_path(gallery: Path) -> Path:
    """Return the path of the generation before a change of the model."""
    return gallery.with_name(gallery.name + ".before")


def check_name(gallery: Path) -> None:
    """Raise InputError if a captures file beside the gallery would have a name that is too long."""
    longest = len(gallery.name.encode()) + len(_SUFFIX) + _ID_DIGITS + len(_TMP)
    if longest > _MAX_FILE_NAME_BYTES:
        raise InputError(
            f"expected a gallery's name of at most {_MAX_FILE_NAME_BYTES - longest + len(gallery.name.encode())} bytes for"
            f" captures, found {len(gallery.name.encode())}",
            hint="rename the gallery",
        )


def captures_of(content: Content) -> CapturesRecord | None:
    """Return the record of stored captures, with the parts of enrolled subjects only; None if captures are off."""
    value = content.record(CAPTURES)
    return None if value is None else parse_captures(value).keeping(frozenset(ids_of(content.subjects)))


def kept_of(content: Content) -> KeptRecord | None:
    """Return the record of the generation before an unconfirmed change of the model; None if there is none."""
    value = content.record(KEPT_GENERATION)
    return None if value is None else parse_kept(value)


def read_parts(
    files: FileSystem, gallery: Path, record: CapturesRecord, subject: bytes
) -> list[bytes] | None:
    """Read the parts that the gallery stores for a subject; None if one is missing or was altered."""
    try:
        data = files.read(captures_path(gallery, subject), MAX_CAPTURES_FILE_BYTES + 1)
    except OSError:
        return None
    return None if len(data) > MAX_CAPTURES_FILE_BYTES else authentic_parts(data, record.of(subject))


def add_parts(
    files: FileSystem, gallery: Path, content: Content, parts: Sequence[tuple[bytes, bytes]]
) -> None:
    """Append parts to captures files; the caller holds the lock and has committed the parts' digests.

    Args:
        files: The file system.
        gallery: The gallery file.
        content: The committed content.
        parts: Subject id and bytes of each new part.

    Raises:
        GalleryError: a file cannot be written.
    """
    record = captures_of(content)
    for subject, part in parts:
        path = captures_path(gallery, subject)
        earlier = () if record is None else [p for p in record.of(subject) if p.digest != digest_of(part)]
        kept: list[bytes] = []
        if earlier and record is not None:
            for stored in earlier:
                kept += read_parts(files, gallery, CapturesRecord(record.recipient, (stored,)), subject) or []
        write_atomically(files, path, b"".join([*kept, part]))


def remove_unnamed(files: FileSystem, gallery: Path, before: Content, after: Content) -> None:
    """Remove files and parts that the committed content does not name; the caller holds the lock.

    Raises:
        GalleryError: a file cannot be removed or replaced.
    """
    if all(
        content.record(kind) is None for content in (before, after) for kind in (CAPTURES, KEPT_GENERATION)
    ):
        return
    _remove_parts(files, gallery, before, after)
    remove_left_over(files, gallery, after)


def remove_left_over(files: FileSystem, gallery: Path, content: Content) -> None:
    """Remove whole files that a content does not name; the caller holds the lock.

    Raises:
        GalleryError: a file cannot be removed.
    """
    removed = False
    for path in unnamed(files, gallery, content):
        try:
            files.unlink(path)
            removed = True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise cannot("remove", path, error) from error
    if removed:
        try:
            files.fsync_directory(gallery.parent)
        except OSError as error:
            raise cannot("sync", gallery.parent, error) from error


def _remove_parts(files: FileSystem, gallery: Path, before: Content, after: Content) -> None:
    """Replace the files of subjects who lost some of their parts, such as those of a removed look."""
    old, new = captures_of(before), captures_of(after)
    if old is None or new is None:
        return
    lost = {part.subject for part in set(old.parts) - set(new.parts)}
    for subject in sorted(lost & {part.subject for part in new.parts}):
        parts = read_parts(files, gallery, new, subject)
        if parts is not None:
            write_atomically(files, captures_path(gallery, subject), b"".join(parts))


def unnamed(files: FileSystem, gallery: Path, content: Content) -> Iterator[Path]:
    """Yield captures files and a kept generation that the content does not name."""
    record = captures_of(content)
    named = set() if record is None else {captures_path(gallery, p.subject).name for p in record.parts}
    if kept_of(content) is not None:
        named.add(kept_path(gallery).name)
    pattern = re.compile(re.escape(gallery.name) + r"(\.captures\.[0-9a-f]{32}|\.before)(\.tmp)?")
    try:
        names = sorted(files.names(gallery.parent))
    except OSError as error:
        raise cannot("list", gallery.parent, error) from error
    for name in names:
        if pattern.fullmatch(name) and name not in named:
            yield gallery.with_name(name)


def problems(files: FileSystem, gallery: Path, content: Content) -> Iterator[str]:
    """Check captures files and the kept generation; yield one sentence for each problem."""
    record, kept = captures_of(content), kept_of(content)
    names = dict(zip(ids_of(content.subjects), content.names, strict=True))
    if record is not None:
        for subject in dict.fromkeys(part.subject for part in record.parts):
            path = captures_path(gallery, subject)
            if read_parts(files, gallery, record, subject) is None:
                yield (
                    f"the captures of {names[subject]!r} are missing, incomplete or altered: put {path.name} back, or"
                    f" remove them with edge-sdk gallery captures --remove {names[subject]}"
                )
            yield from _mode_problem(files, path)
    if kept is not None:
        if read_kept(files, gallery, kept) is None:
            yield (
                f"{kept_path(gallery)}, the gallery before the change of the model, is missing or was altered: the change"
                " cannot be undone; confirm it with edge-sdk gallery migrate --confirm"
            )
        yield from _mode_problem(files, kept_path(gallery))
    for path in unnamed(files, gallery, content):
        yield f"{path} does not belong to this gallery's content: a crash or an earlier gallery left it; delete it"


def read_kept(files: FileSystem, gallery: Path, kept: KeptRecord) -> bytes | None:
    """Read the kept generation; None if it is missing or was altered."""
    try:
        data = files.read(kept_path(gallery), MAX_FILE_BYTES + 1)
    except OSError:
        return None
    return data if digest_of(data) == kept.digest else None


def write_kept(files: FileSystem, gallery: Path, data: bytes) -> None:
    """Write the generation before a change of the model; the caller holds the lock.

    Raises:
        GalleryError: the file cannot be written.
    """
    write_atomically(files, kept_path(gallery), data)


def _mode_problem(files: FileSystem, path: Path) -> Iterator[str]:
    mode = files.mode(path)
    if mode is not None and mode & 0o077:
        yield f"{path} has mode {mode:04o}, expected 0600"


def require_captures(content: Content) -> CapturesRecord:
    """Return the record of stored captures.

    Raises:
        GalleryError: the gallery does not store captures.
    """
    record = captures_of(content)
    if record is None:
        raise GalleryError(
            "this gallery does not store captures",
            hint="switch it on first: edge-sdk gallery captures --recipient captures.key.pub",
        )
    return record
