"""``edge-sdk gallery backup`` and ``restore``: a gallery with its log and counter in one sealed file."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import Output, add_gallery_command, format_count
from edge_sdk.cli.installed import installation_of
from edge_sdk.cli.opening import open_gallery, read_passphrase, resolve_anchor, resolve_key

if TYPE_CHECKING:
    from edge_sdk.door.restore import InstalledRestoration
    from edge_sdk.gallery import Restoration


def add_commands(commands: Any) -> None:
    """Add `backup` and `restore` to the group `gallery`."""
    add = partial(add_gallery_command, commands)
    backup = add(
        "backup",
        "write the gallery, its audit log and its attempt counter to one sealed file",
        _backup,
        "home.backup",
        details="Only the gallery's keys open the file, and no key is in it. It holds the templates of people also after they are\n"
        "erased from the gallery: delete it then.",
    )
    backup.add_argument("file", type=Path, help="backup to write; must not exist")
    backup.add_argument(
        "--this-device-only",
        action="store_true",
        help="write the backup even if no key of the gallery can open it on another device",
    )
    restore = add(
        "restore",
        "put a backup into use, on this device or on a new one",
        _restore,
        "home.backup --anchor home.anchor",
        details="In an installation, an empty gallery of setup is set aside with its key, anchor and log, and the installation\n"
        "uses the key that is given; a key file from elsewhere is copied into it.\n\n"
        "The restored gallery is newer than every generation that the anchor has seen, so all other copies are refused.\n"
        "Changes made after the backup are undone: people who were enrolled since are missing, people who were revoked or\n"
        "erased since are accepted again. The command lists them. The audit log records the restore.",
    )
    restore.add_argument("file", type=Path, help="backup, written by gallery backup")
    restore.add_argument(
        "--replace",
        action="store_true",
        help="replace the gallery that is there, or go back behind a generation that the anchor has seen; without it the"
        " command only reports what would be undone",
    )
    restore.add_argument(
        "--without-anchor",
        action="store_true",
        help="continue without an anchor although the gallery had one: give no --anchor; an old copy is no longer noticed",
    )


def _backup(arguments: argparse.Namespace) -> Output:
    receipt = open_gallery(arguments).backup(arguments.file, this_device_only=arguments.this_device_only)
    value = asdict(receipt)
    for slots in ("keys", "opens_elsewhere"):
        value[slots] = [slot.index for slot in getattr(receipt, slots)]
    return Output(
        value,
        f"{receipt.path}: generation {receipt.generation}, {format_count(receipt.subjects, 'subject')},"
        f" {format_count(receipt.log_files, 'file')} of the audit log, {receipt.size_bytes} bytes\n{receipt.statement}",
    )


def _restore(arguments: argparse.Namespace) -> Output:
    from edge_sdk.door.restore import restore_into
    from edge_sdk.gallery import Gallery

    if arguments.without_anchor and arguments.anchor is not None:
        if "anchor" not in arguments.taken:
            arguments.parser.error("give either --anchor or --without-anchor, found both")
        arguments.anchor = None
    installation = installation_of(arguments)
    if installation is not None:
        installed = restore_into(
            installation,
            arguments.file,
            key_word=arguments.key,
            anchor_word=arguments.anchor,
            passphrase=lambda prompt: read_passphrase(prompt, twice=False),
            without_anchor=arguments.without_anchor,
            replace=arguments.replace,
            gallery_id=arguments.gallery_id,
        )
        return _installed(installed)
    result = Gallery.restore(
        arguments.file,
        arguments.gallery,
        key=resolve_key(arguments.key),
        anchor=resolve_anchor(arguments.anchor),
        without_anchor=arguments.without_anchor,
        replace=arguments.replace,
        gallery_id=arguments.gallery_id,
    )
    return Output(asdict(result), _in_words(result))


def _installed(result: InstalledRestoration) -> Output:
    lines = [_in_words(result.restoration)]
    if result.earlier is not None:
        lines.append(f"the empty gallery that was there is in {result.earlier}, with its key, anchor and log")
    copied = ", a copy of the key that was given" if result.key_copied else ""
    lines += [f"the installation opens its gallery with {result.key_word}{copied}", "next: edge-sdk doctor"]
    value = {
        **asdict(result.restoration),
        "earlier": None if result.earlier is None else str(result.earlier),
        "key": result.key_word,
        "key_copied": result.key_copied,
    }
    return Output(value, "\n".join(lines))


def _in_words(result: Restoration) -> str:
    return (
        f"{result.path}: {format_count(result.subjects, 'subject')}, audit log {result.log}, anchor: {result.anchor}\n"
        f"{result.statement}"
    )
