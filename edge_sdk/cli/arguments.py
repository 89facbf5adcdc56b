"""What commands share: how a command is added and answers, and how a gallery, its key and its anchor are named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.keys import ANCHOR_HELP, KEY_HELP, anchor_named, is_file, key_named
from edge_sdk.cli.keys import PROGRAM as PROGRAM
from edge_sdk.errors import EdgeSdkError, GalleryError

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery
    from edge_sdk.vision.embedder import Embedder


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
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_gallery_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The gallery, its key and its anchor."""
    parser.add_argument(
        "--gallery", type=Path, required=required, help="the gallery file; gallery create or enrol makes it"
    )
    key = parser.add_mutually_exclusive_group(required=required)
    key.add_argument("--key", help=KEY_HELP)
    key.add_argument(
        "--passphrase", action="store_const", dest="key", const="passphrase", help="--key passphrase"
    )
    parser.add_argument("--anchor", help=ANCHOR_HELP)


def add_validity_arguments(parser: argparse.ArgumentParser) -> None:
    """From when until when a subject is let in."""
    for bound, when in (("--valid-from", "before"), ("--valid-until", "from then on")):
        parser.add_argument(
            bound,
            type=_moment,
            metavar="TIME",
            help=f"not let in {when}; with a time zone, such as 2030-01-31T18:00+01:00, or none for no bound",
        )


def _moment(text: str) -> datetime | int:
    if text == "none":
        return 0
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError("expected a time such as 2030-01-31T18:00+01:00, or none") from error
    if when.tzinfo is None:
        raise argparse.ArgumentTypeError("expected a time with its zone, such as 2030-01-31T18:00+01:00")
    return when


def counted(count: int, what: str) -> str:
    """Such as `1 subject`, `2 subjects`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def tell(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Put an answer on stdout: the value with --json, else the text."""
    if arguments.json:
        print(json.dumps(value, indent=1))
    elif text:
        print(text)


def open_gallery(
    arguments: argparse.Namespace, model_id: bytes | None = None, *, anchored: bool = True
) -> Gallery:
    """The gallery that the arguments name."""
    from edge_sdk.gallery import Gallery

    return Gallery.open(
        arguments.gallery,
        key=key_named(arguments.key),
        model_id=model_id,
        anchor=anchor_named(arguments.anchor),
        anchored=anchored,
    )


def create_gallery(
    arguments: argparse.Namespace, *, model_id: bytes, dimension: int, **options: Any
) -> Gallery:
    """A new gallery where the arguments say, with a new key file where the key is a file that is not there."""
    from edge_sdk.gallery import Gallery

    files = [arguments.gallery, arguments.anchor, arguments.key if is_file(arguments.key) else None]
    for path in (Path(file) for file in files if file is not None):
        if not path.parent.is_dir():
            raise GalleryError(f"{path}: there is no such folder to put it in", hint="make the folder first")
    anchor = anchor_named(arguments.anchor)
    new_key = is_file(arguments.key) and not Path(arguments.key).exists()
    try:
        return Gallery.create(
            arguments.gallery,
            key=key_named(arguments.key, new=True),
            model_id=model_id,
            dimension=dimension,
            anchor=anchor,
            **options,
        )
    except (OSError, EdgeSdkError) as error:
        if new_key:
            Path(arguments.key).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise GalleryError(f"{arguments.gallery}: cannot be made: {error.strerror or error}") from error
        raise


def open_or_create(arguments: argparse.Namespace, embedder: Embedder) -> Gallery:
    """The gallery that the arguments name, made for this model where there is none."""
    if arguments.gallery.exists() or arguments.gallery.is_symlink():
        return open_gallery(arguments, embedder.model_id)
    return create_gallery(arguments, model_id=embedder.model_id, dimension=embedder.dimension)
