"""``edge-sdk gallery backup`` and ``restore``: a gallery with its log and counter in one sealed file."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import Output, add_gallery_command, format_count
from edge_sdk.cli.opening import open_gallery, resolve_anchor, resolve_key


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
        details="The restored gallery is newer than every generation that the anchor has seen, so all other copies are refused.\n"
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
    from edge_sdk.gallery import Gallery

    if arguments.without_anchor and arguments.anchor is not None:
        arguments.parser.error("give either --anchor or --without-anchor, found both")
    result = Gallery.restore(
        arguments.file,
        arguments.gallery,
        key=resolve_key(arguments.key),
        anchor=resolve_anchor(arguments.anchor),
        without_anchor=arguments.without_anchor,
        replace=arguments.replace,
        gallery_id=arguments.gallery_id,
    )
    return Output(
        asdict(result),
        f"{result.path}: {format_count(result.subjects, 'subject')}, audit log {result.log}, anchor: {result.anchor}\n"
        f"{result.statement}",
    )
