"""``edge-sdk gallery``: exports, imports, and signed commands of a back office."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import Output, add_command, add_gallery_command, format_count
from edge_sdk.cli.opening import open_gallery
from edge_sdk.errors import GalleryError, InputError

_MAX_INPUT_BYTES = 64 * 1024 * 1024


def add_commands(commands: Any) -> None:
    """Add `export`, `import`, `sources`, `obey` and `sign` to the group `gallery`."""
    add = partial(add_gallery_command, commands)
    export = add(
        "export",
        "export subjects to a file that only one other gallery can open",
        _export,
        f"alice --to {'ab' * 32} --output alice.export",
        details="Both galleries must be made for the same model.",
    )
    export.add_argument("subjects", nargs="*", metavar="subject", help="subjects to export (default: all)")
    export.add_argument(
        "--to",
        type=_hex(32),
        required=True,
        metavar="HEX",
        help="public key of the other gallery, 64 hexadecimal digits; edge-sdk gallery status prints it there as recipient",
    )
    import_ = add(
        "import",
        "enrol the subjects of an export that this gallery does not have",
        _import,
        "alice.export",
        details="Subjects that the gallery has already, by id or by name and templates, are skipped. A subject that cannot be\n"
        "imported is refused with the reason, and the others are imported; the exit code is then 1.",
    )
    import_.add_argument("file", type=Path, help="export, written by gallery export")
    import_.add_argument(
        "--replace",
        action="store_true",
        help="replace templates, label and validity of subjects that the gallery has already, if the new templates are like"
        " the stored ones; a revoked subject stays revoked",
    )
    sources = add(
        "sources",
        "list, add or remove the back offices whose signed commands are accepted",
        _sources,
        f"--add {'cd' * 32}",
        details="Print one line per back office: public key, sequence number of its last command.",
    )
    change = sources.add_mutually_exclusive_group()
    for option, verb in (("--add", "accept"), ("--remove", "no longer accept")):
        change.add_argument(
            option,
            type=_hex(32),
            metavar="HEX",
            help=f"{verb} commands signed with this public key, 64 hexadecimal digits, printed by gallery sign"
            " (default: none)",
        )
    obey = add(
        "obey",
        "check and execute a signed command; a command is executed only once",
        _obey,
        "revoke-alice.command",
        details="The command must be signed for a state of this gallery. It is refused after it has expired, and if somebody else\n"
        "has changed its subject since that state. The result as JSON contains the gallery's new state.",
    )
    obey.add_argument("file", type=Path, help="signed command, written by gallery sign")
    sign = add_command(
        commands,
        "sign",
        "sign a command for a gallery on another device (run in the back office)",
        _sign,
        example=f"gallery sign revoke alice --source office.key --to {'ef' * 16} --state 12-{'ab' * 16} --output revoke-alice.command",
        details="A command is for one gallery and one of its states, both printed by edge-sdk gallery status on its device. The\n"
        "gallery refuses it if somebody else has changed its subject since that state, and after it has expired.",
    )
    sign.add_argument(
        "action", choices=["revoke", "reinstate", "erase", "enrol"], help="action of the command"
    )
    sign.add_argument("what", help="subject name; for enrol: an export file made for that gallery")
    sign.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="FILE",
        help="private key file of the back office; created if it does not exist",
    )
    sign.add_argument(
        "--to",
        type=_hex(16),
        required=True,
        metavar="HEX",
        help="id of the gallery, 32 hexadecimal digits, as printed by edge-sdk gallery status on its device",
    )
    sign.add_argument(
        "--state",
        required=True,
        metavar="STATE",
        help="state of the gallery, as printed by edge-sdk gallery status on its device, or by gallery obey after a command",
    )
    sign.add_argument(
        "--expires-in",
        type=float,
        default=7.0,
        metavar="DAYS",
        help="days until the command expires, above 0 and at most 90 (default: %(default)g)",
    )
    sign.add_argument(
        "--last-generation",
        type=int,
        metavar="N",
        help="last generation of the gallery that may execute the command (default: 500 after that of --state)",
    )
    sign.add_argument(
        "--sequence",
        type=int,
        metavar="N",
        help="sequence number, 1..2^63-1, greater than that of the last command (default: Unix time in milliseconds)",
    )
    for parser in (export, sign):
        parser.add_argument(
            "--output", type=Path, required=True, metavar="FILE", help="file to write; must not exist"
        )


def _export(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    _require_absent(arguments.output)
    data = gallery.exchange.export(*arguments.subjects, recipient=arguments.to)
    _write(arguments.output, data)
    count = len(set(arguments.subjects)) or gallery.status().subjects
    return Output(
        {"exported": count, "recipient": arguments.to.hex(), "file": str(arguments.output)},
        f"{arguments.output}: {format_count(count, 'subject')}, sealed for {arguments.to.hex()[:16]}",
    )


def _import(arguments: argparse.Namespace) -> Output:
    result = open_gallery(arguments).exchange.merge_package(_read(arguments.file), replace=arguments.replace)
    lines = [f"imported {', '.join(result.imported) or 'no subject'}"]
    if result.replaced:
        lines.append(f"replaced {', '.join(result.replaced)}")
    if result.skipped:
        lines.append(f"skipped {', '.join(result.skipped)}: enrolled already")
    refused = [*result.refused, *result.refused_looks]
    lines += [f"refused {subject.name}: {subject.reason}" for subject in refused]
    return Output(asdict(result), "\n".join(lines), not refused)


def _sources(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    if arguments.add is not None:
        gallery.exchange.add_source(arguments.add)
    if arguments.remove is not None:
        gallery.exchange.remove_source(arguments.remove)
    sources = gallery.exchange.sources()
    return Output(
        [{"source": source, "last_sequence": last} for source, last in sources.items()],
        "\n".join(f"{source}\t{last}" for source, last in sources.items()),
    )


def _obey(arguments: argparse.Namespace) -> Output:
    obeyed = open_gallery(arguments).exchange.execute(_read(arguments.file))
    receipt = f": {obeyed.receipt.statement}" if obeyed.receipt else ""
    return Output(
        asdict(obeyed), f"{obeyed.action} {', '.join(obeyed.subjects)} (sequence {obeyed.sequence}){receipt}"
    )


def _sign(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery import KeyFile
    from edge_sdk.gallery.exchange import commands
    from edge_sdk.gallery.exchange.export import check_export
    from edge_sdk.gallery.rules.known_time import format_time

    _require_absent(arguments.output)
    enrols = arguments.action == "enrol"
    package = _read(Path(arguments.what)) if enrols else b""
    if enrols:
        # Everything is checked before the back office's key is created, so that an error leaves no new files.
        check_export(package)
    unsigned = commands.Command.for_state(
        arguments.state,
        now_s=time.time(),
        lifetime_s=arguments.expires_in * 86_400,
        last_generation=arguments.last_generation,
        source=bytes(commands.KEY_BYTES),
        gallery_id=arguments.to,
        sequence=time.time_ns() // 1_000_000 if arguments.sequence is None else arguments.sequence,
        action=arguments.action,
        subject="" if enrols else arguments.what,
        package=package,
    )
    if not arguments.source.exists():
        KeyFile.create(arguments.source)
    private_key = KeyFile(arguments.source).secret(b"")
    command = replace(unsigned, source=commands.source_of(private_key))
    _write(arguments.output, commands.sign(command, private_key))
    return Output(
        {
            "file": str(arguments.output),
            "source": command.source.hex(),
            "sequence": command.sequence,
            "expires_s": command.expires_s,
            "last_generation": command.last_generation,
        },
        f"{arguments.output}: sequence {command.sequence}, signed by {command.source.hex()},"
        f" expires {format_time(command.expires_s)}",
    )


def _hex(size_bytes: int) -> Callable[[str], bytes]:
    def parse(text: str) -> bytes:
        try:
            value = bytes.fromhex(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError("expected hexadecimal digits") from error
        if len(value) != size_bytes:
            raise argparse.ArgumentTypeError(
                f"expected {2 * size_bytes} hexadecimal digits, found {len(text)}"
            )
        return value

    return parse


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_INPUT_BYTES + 1)
    if len(data) > _MAX_INPUT_BYTES:
        raise InputError(
            f"expected an export or command of at most {_MAX_INPUT_BYTES} bytes, found more in {path}"
        )
    return data


def _require_absent(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise GalleryError(f"{path} exists already", hint="choose another name, or move the file away")


def _write(path: Path, data: bytes) -> None:
    from edge_sdk.gallery.store.files import PosixFileSystem, write_atomically

    write_atomically(PosixFileSystem(), path, data)
