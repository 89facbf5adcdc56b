"""``edge-sdk gallery``: export, import, and the signed commands of a back office."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import add_command, add_gallery_arguments, counted, open_gallery, tell
from edge_sdk.errors import GalleryError, InputError

_FILES = "--gallery home.gallery --key home.key"
_MAX_INPUT_BYTES = 64 * 1024 * 1024


def add_commands(rooms: Any) -> None:
    """Add the commands to the group."""
    export = add_command(
        rooms,
        "export",
        "seal subjects for another gallery of the same model; nobody else can open the file",
        _export,
        example=f"gallery export alice {_FILES} --to {'ab' * 32} --output alice.export",
    )
    export.add_argument(
        "subjects", nargs="*", metavar="subject", help="whom; everybody where nobody is named"
    )
    export.add_argument(
        "--to", type=_hex(32), required=True, metavar="HEX", help="the recipient that the other status prints"
    )
    bring = add_command(
        rooms,
        "import",
        "enrol everyone out of an export for this gallery",
        _import,
        example=f"gallery import alice.export {_FILES}",
    )
    bring.add_argument("file", type=Path, help="what gallery export wrote")
    sources = add_command(
        rooms,
        "sources",
        "list, add or remove the back offices whose signed commands are obeyed",
        _sources,
        example=f"gallery sources {_FILES} --add {'cd' * 32}",
    )
    change = sources.add_mutually_exclusive_group()
    change.add_argument(
        "--add", type=_hex(32), metavar="HEX", help="the public key of one to obey, as gallery sign prints it"
    )
    change.add_argument(
        "--remove", type=_hex(32), metavar="HEX", help="the public key of one to obey no more"
    )
    obey = add_command(
        rooms,
        "obey",
        "carry out a signed command, once",
        _obey,
        example=f"gallery obey revoke-alice.command {_FILES}",
    )
    obey.add_argument("file", type=Path, help="what gallery sign wrote")
    sign = add_command(
        rooms,
        "sign",
        "in the back office: sign a command for a gallery elsewhere",
        _sign,
        example=f"gallery sign revoke alice --source office.key --to {'ef' * 16} --output revoke-alice.command",
    )
    sign.add_argument("action", choices=["revoke", "reinstate", "erase", "enrol"], help="what is to be done")
    sign.add_argument("what", help="to whom, by name; for enrol, the file of an export to that gallery")
    sign.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="FILE",
        help="the back office's key; made where it is missing",
    )
    sign.add_argument("--to", type=_hex(16), required=True, metavar="HEX", help="the gallery's gallery_id")
    sign.add_argument(
        "--sequence", type=int, help="higher than the command before (default: Unix time in milliseconds)"
    )
    for parser in (export, sign):
        parser.add_argument("--output", type=Path, required=True, help="the file to make; must not exist")
    for parser in (export, bring, sources, obey):
        add_gallery_arguments(parser)


def _export(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    _check_free(arguments.output)
    data = gallery.export(*arguments.subjects, recipient=arguments.to)
    _write(arguments.output, data)
    count = len(set(arguments.subjects)) or gallery.status().subjects
    tell(
        arguments,
        {"exported": count, "recipient": arguments.to.hex(), "file": str(arguments.output)},
        f"{arguments.output}: {counted(count, 'subject')}, for {arguments.to.hex()[:16]} alone",
    )
    return 0


def _import(arguments: argparse.Namespace) -> int:
    names = open_gallery(arguments).import_from(_read(arguments.file))
    tell(arguments, {"imported": list(names)}, f"imported {', '.join(names) or 'nobody'}")
    return 0


def _sources(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    if arguments.add is not None:
        gallery.add_source(arguments.add)
    if arguments.remove is not None:
        gallery.remove_source(arguments.remove)
    sources = gallery.sources()
    tell(
        arguments,
        [{"source": source, "last_sequence": last} for source, last in sources.items()],
        "\n".join(f"{source}\t{last}" for source, last in sources.items()),
    )
    return 0


def _obey(arguments: argparse.Namespace) -> int:
    done = open_gallery(arguments).obey(_read(arguments.file))
    receipt = f": {done.receipt.statement}" if done.receipt else ""
    tell(
        arguments,
        asdict(done),
        f"{done.action} {', '.join(done.subjects)} (sequence {done.sequence}){receipt}",
    )
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    from edge_sdk.gallery import KeyFile
    from edge_sdk.gallery.exchange import commands
    from edge_sdk.gallery.exchange.export import MAGIC

    _check_free(arguments.output)
    enrols = arguments.action == "enrol"
    package = _read(Path(arguments.what)) if enrols else b""
    if enrols and not package.startswith(MAGIC):
        raise InputError(f"{arguments.what} is not an export of a gallery", hint="gallery export makes one")
    if not arguments.source.exists():
        KeyFile.create(arguments.source)
    private = KeyFile(arguments.source).secret(b"")
    command = commands.Command(
        source=commands.source_of(private),
        gallery_id=arguments.to,
        sequence=time.time_ns() // 1_000_000 if arguments.sequence is None else arguments.sequence,
        action=arguments.action,
        subject="" if enrols else arguments.what,
        package=package,
    )
    _write(arguments.output, commands.sign(command, private))
    tell(
        arguments,
        {"file": str(arguments.output), "source": command.source.hex(), "sequence": command.sequence},
        f"{arguments.output}: sequence {command.sequence}, signed by {command.source.hex()}",
    )
    return 0


def _hex(size_bytes: int) -> Any:
    def read(text: str) -> bytes:
        try:
            value = bytes.fromhex(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError("expected hexadecimal digits") from error
        if len(value) != size_bytes:
            raise argparse.ArgumentTypeError(
                f"expected {2 * size_bytes} hexadecimal digits, found {len(text)}"
            )
        return value

    return read


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_INPUT_BYTES + 1)
    if len(data) > _MAX_INPUT_BYTES:
        raise InputError(f"{path} is over {_MAX_INPUT_BYTES} bytes, no export or command is that large")
    return data


def _check_free(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise GalleryError(f"{path} exists already", hint="choose another name, or move it away")


def _write(path: Path, data: bytes) -> None:
    from edge_sdk.gallery.store.files import PosixFileSystem, write_atomically

    write_atomically(PosixFileSystem(), path, data)
