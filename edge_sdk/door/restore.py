"""Restore a backup into an installation: a new device gets the gallery of the earlier one.

The gallery that `edge-sdk setup` created there is empty. It is set aside with its key, anchor and log; nothing is deleted.
If the restore fails, everything is moved back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.door.folder import give_to_owner, sync
from edge_sdk.door.installation import Installation
from edge_sdk.door.installed_parts import KEY_FILE, LOCK
from edge_sdk.door.named import anchor_named, key_named
from edge_sdk.door.provision import set_aside
from edge_sdk.door.words import names_anchor_file, names_key_file
from edge_sdk.errors import ChangeCommittedError, EdgeSdkError, GalleryError
from edge_sdk.gallery import FileAnchor, Gallery, KeyFile, Restoration
from edge_sdk.gallery.backup.restore_backup import gallery_in_backup
from edge_sdk.gallery.format.header import parse_header
from edge_sdk.gallery.store.files import PosixFileSystem, locked, read_head, write_atomically


@dataclass(frozen=True)
class InstalledRestoration:
    """Result of a restore into an installation.

    Args:
        restoration: Result of the restore.
        key_word: Key that the installation uses from now on, as a word of the command line.
        key_copied: True if the key file was copied into the installation.
        earlier: Folder with the files of the empty gallery that was there; None if nothing was set aside.
    """

    restoration: Restoration
    key_word: str
    key_copied: bool
    earlier: Path | None


def restore_into(
    installation: Installation,
    backup: Path,
    *,
    key_word: str,
    anchor_word: str | None,
    passphrase: Callable[[str], str],
    without_anchor: bool = False,
    replace: bool = False,
    gallery_id: str | None = None,
) -> InstalledRestoration:
    """Restore a backup over the gallery of an installation; an empty gallery of another id is set aside.

    Args:
        installation: The installation.
        backup: The backup file.
        key_word: Key that opens the backup, as a word of the command line. A key file outside the installation's folder is
            copied into it if there is no other one.
        anchor_word: Anchor of the restored gallery, as a word of the command line; None for none.
        passphrase: Asks for a passphrase with the given prompt.
        without_anchor: See `Gallery.restore`.
        replace: See `Gallery.restore`.
        gallery_id: See `Gallery.restore`.

    Raises:
        SealError: The key does not open the backup.
        GalleryError: Another gallery is there that is not empty or cannot be opened, or as `Gallery.restore`.
    """
    key = key_named(key_word, passphrase=lambda: passphrase("passphrase of the backup"))
    identity = gallery_in_backup(backup, key)
    with locked(PosixFileSystem(), installation.folder / LOCK), contextlib.ExitStack() as undo:
        earlier = _set_empty_gallery_aside(installation, identity, anchor_word, passphrase, undo)
        own = _copied_key(installation, key_word, undo)
        if own is not None:
            key, key_word = KeyFile(own), str(own)
        try:
            restoration = Gallery.restore(
                backup,
                installation.gallery,
                key=key,
                anchor=anchor_named(anchor_word),
                without_anchor=without_anchor,
                replace=replace,
                gallery_id=gallery_id,
            )
        except ChangeCommittedError:
            undo.pop_all()
            _record(installation, identity, key_word, anchor_word)
            raise
        undo.pop_all()
        word = _record(installation, identity, key_word, anchor_word)
        return InstalledRestoration(restoration, word, own is not None, earlier)


def _set_empty_gallery_aside(
    installation: Installation,
    identity: bytes,
    anchor_word: str | None,
    passphrase: Callable[[str], str],
    undo: contextlib.ExitStack,
) -> Path | None:
    """Set aside an empty gallery of another id, or what an interrupted move of one has left.

    Returns:
        The folder, from which `undo` moves everything back; None if nothing was set aside.
    """
    path = installation.gallery
    own_anchor = _file_of(anchor_word) if anchor_word == installation.anchor else None
    if path.exists():
        is_other = parse_header(read_head(PosixFileSystem(), path)).gallery_id != identity
        if is_other:
            _require_empty(installation, passphrase)
    else:
        is_other = own_anchor is not None and _is_of_another(own_anchor, identity)
    if not is_other:
        return None
    key = Path(installation.key) if names_key_file(installation.key) else None
    if key is not None and key.exists():
        noted = KeyFile(key).galleries().get(os.path.realpath(path))
        key = None if noted == identity else key
    place = set_aside(path, own_anchor, key, folder=installation.folder)
    if place is not None:
        undo.callback(_move_back, place, path.parent, own_anchor)
    return place


def _require_empty(installation: Installation, passphrase: Callable[[str], str]) -> None:
    """Refuse to set aside a gallery with people, or one that may have some; errors as `restore_into`."""
    elsewhere = "restore to another path with --gallery FILE --key KEY --anchor FILE"
    try:
        key = key_named(
            installation.key, passphrase=lambda: passphrase(f"passphrase of {installation.gallery}")
        )
        gallery = installation.open_gallery(model_id=None, key=key)
    except EdgeSdkError as error:
        raise GalleryError(
            f"{installation.gallery} is another gallery than the backup's, and the installation's key"
            f" {installation.key} does not open it, so it is not known to be empty: {error}",
            hint=f"put its own key back; or {elsewhere}",
        ) from error
    subjects = len(gallery.subjects())
    if subjects:
        raise GalleryError(
            f"{installation.gallery} is another gallery than the backup's; enrolled in it: {subjects}",
            hint=f"{elsewhere}; or remove these people first: an empty gallery is set aside",
        )


def _is_of_another(anchor: Path, identity: bytes) -> bool:
    if not anchor.exists():
        return False
    try:
        FileAnchor(anchor).read(identity)
    except GalleryError:
        return True
    return False


def _copied_key(installation: Installation, word: str, undo: contextlib.ExitStack) -> Path | None:
    """Copy a key file from outside the folder into it, if there is none.

    Returns:
        The copy, which `undo` removes; None if the key is used as it is named.
    """
    own = installation.folder / KEY_FILE
    source = _file_of(word) if names_key_file(word) else None
    if source is None or own.exists() or source.resolve().is_relative_to(installation.folder.resolve()):
        return None
    KeyFile(source).galleries()  # checks that it is a key file that only its owner can read
    try:
        data = source.read_bytes()
    except OSError as error:
        raise GalleryError(f"cannot read the key file {source}: {error.strerror}") from error
    undo.callback(own.unlink, missing_ok=True)
    write_atomically(PosixFileSystem(), own, data)
    give_to_owner(own)
    return own


def _record(installation: Installation, identity: bytes, key_word: str, anchor_word: str | None) -> str:
    """Store key and anchor of the restored gallery in the installation, and return the key's word."""
    word = installation.key if _opens(installation, identity) else key_word
    if word != installation.key or anchor_word != installation.anchor:
        installation.with_key(word).with_anchor(anchor_word).write()
    return word


def _opens(installation: Installation, identity: bytes) -> bool:
    """Tell if the installation's key opens the restored gallery; a passphrase is not asked for again."""
    with contextlib.suppress(EdgeSdkError):
        gallery = Gallery.open(
            installation.gallery, key=key_named(installation.key), needs_model=False, gallery_id=identity
        )
        return gallery is not None
    return False


def _file_of(word: str | None) -> Path | None:
    return Path(word) if word is not None and names_anchor_file(word) else None


def _move_back(place: Path, folder: Path, anchor: Path | None) -> None:
    for path in place.iterdir():
        target = anchor if anchor is not None and path.name == anchor.name else folder / path.name
        path.replace(target)
    place.rmdir()
    sync(folder)
