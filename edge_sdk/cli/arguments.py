"""What commands share: how a command is added and answers, and how a gallery, its key and its anchor are named."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.errors import GalleryError, InputError

if TYPE_CHECKING:
    from edge_sdk.gallery import Anchor, Gallery, KeyProvider
    from edge_sdk.perception.embedder import Embedder

PROGRAM = "edge-sdk"
_MAX_PASSPHRASE_BYTES = 4096


def add_command(
    commands: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int], *, example: str
) -> argparse.ArgumentParser:
    """Add one command.

    Args:
        commands: What `add_subparsers` gave.
        name: One word.
        summary: A line without capital and full stop.
        run: Does the work and returns the exit code.
        example: What follows `edge-sdk ` in a whole command line.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {PROGRAM} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    parser.set_defaults(run=run)
    return parser


def add_gallery_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The gallery, its key and its anchor."""
    parser.add_argument("--gallery", type=Path, required=required, help="the gallery file; enrol makes it")
    key = parser.add_mutually_exclusive_group(required=required)
    key.add_argument(
        "--key", type=Path, metavar="FILE", help="the key file; enrol makes it with a new gallery"
    )
    key.add_argument("--passphrase", action="store_true", help="ask for a passphrase")
    parser.add_argument("--anchor", type=Path, metavar="FILE", help="where the newest generation is noted")


def tell(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Put an answer on stdout: the value with --json, else the text."""
    if arguments.json:
        print(json.dumps(value, indent=1))
    elif text:
        print(text)


def _key(arguments: argparse.Namespace, *, new: bool) -> KeyProvider:
    from edge_sdk.gallery import KeyFile, Passphrase

    if not arguments.passphrase:
        if new and not arguments.key.exists():
            key = KeyFile.create(arguments.key)
            console.say(
                PROGRAM, f"made a key file {arguments.key}: keep it off the gallery's disk if you can"
            )
            return key
        return KeyFile(arguments.key)
    return Passphrase(_passphrase(new=new))


def _passphrase(*, new: bool) -> str:
    """Ask on the terminal, twice for a new one; where there is no terminal, the first line of stdin."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_MAX_PASSPHRASE_BYTES)
        if not line:
            raise InputError("expected a passphrase on the terminal or as a line of stdin, found neither")
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError("expected a passphrase in UTF-8, found other bytes on stdin") from error
    text = getpass.getpass("passphrase: ")
    if new and getpass.getpass("passphrase again: ") != text:
        raise InputError("the two passphrases differ", hint="nothing was written; try again")
    return text


def _anchor(arguments: argparse.Namespace) -> Anchor | None:
    from edge_sdk.gallery import FileAnchor

    return None if arguments.anchor is None else FileAnchor(arguments.anchor)


def open_gallery(arguments: argparse.Namespace, model_id: bytes | None) -> Gallery:
    """The gallery that the arguments name."""
    from edge_sdk.gallery import Gallery

    return Gallery.open(
        arguments.gallery, key=_key(arguments, new=False), model_id=model_id, anchor=_anchor(arguments)
    )


def open_or_create(arguments: argparse.Namespace, embedder: Embedder) -> Gallery:
    """The gallery that the arguments name, made for this model where there is none."""
    from edge_sdk.gallery import Gallery

    if arguments.gallery.exists() or arguments.gallery.is_symlink():
        return open_gallery(arguments, embedder.model_id)
    for path in (arguments.gallery, arguments.key, arguments.anchor):
        if path is not None and not path.parent.is_dir():
            raise GalleryError(f"{path}: there is no such folder to put it in", hint="make the folder first")
    try:
        return Gallery.create(
            arguments.gallery,
            key=_key(arguments, new=True),
            model_id=embedder.model_id,
            dimension=embedder.dimension,
            anchor=_anchor(arguments),
        )
    except OSError as error:
        raise GalleryError(f"{arguments.gallery}: cannot be made: {error.strerror or error}") from error
