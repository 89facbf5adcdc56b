"""``edge-sdk zoo``: models of others, with their licences."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edge_sdk.cli.arguments import add_command, tell


def add_commands(commands: Any) -> None:
    """Add the group and its commands."""
    group = commands.add_parser("zoo", help="get models of others: detectors, embedders")
    rooms = group.add_subparsers(required=True, metavar="COMMAND")
    add_command(rooms, "list", "list the models, their licences and sizes", _list, example="zoo list")
    pull = add_command(
        rooms, "pull", "download a model and check its bytes", _pull, example="zoo pull blazeface-short"
    )
    path = add_command(
        rooms,
        "path",
        "print where a model's file is, its bytes checked",
        _path,
        example="zoo path blazeface-short",
    )
    for parser in (pull, path):
        parser.add_argument("model", help="a name from zoo list")


def _list(arguments: argparse.Namespace) -> int:
    from edge_sdk.zoo import ENTRIES

    rows = [("MODEL", "TASK", "MB", "LICENCE", "INPUT")]
    rows += [(e.name, e.task, f"{e.size_bytes / 1e6:.1f}", e.licence, e.contract.describe()) for e in ENTRIES]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += ["", *(f"{e.name}: {e.licence_note}" for e in ENTRIES if e.licence_note)]
    unproven = [e.name for e in ENTRIES if not e.exercised]
    lines.append(f"listed by their published digests, bytes not yet exercised here: {', '.join(unproven)}")
    tell(arguments, [_described(e) for e in ENTRIES], "\n".join(lines))
    return 0


def _pull(arguments: argparse.Namespace) -> int:
    from edge_sdk import console
    from edge_sdk.cli.arguments import PROGRAM
    from edge_sdk.zoo import entry, pull

    wanted = entry(arguments.model)
    note = f" ({wanted.licence_note})" if wanted.licence_note else ""
    console.say(PROGRAM, f"{wanted.name}: licence {wanted.licence}{note}, from {wanted.address}")
    shown = sys.stderr.isatty()
    file = pull(wanted, progress=_show if shown else None)
    if shown:
        sys.stderr.write("\n")
    if wanted.conversion:
        command = wanted.conversion.format(file=file)
        console.say(PROGRAM, f"convert it on a workstation, the device gets what comes out: {command}")
    tell(arguments, {**_described(wanted), "path": str(file)}, str(file))
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from edge_sdk.zoo import entry, path

    file = path(entry(arguments.model))
    tell(arguments, {"path": str(file)}, str(file))
    return 0


def _show(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done / 1e6:.1f} of {total / 1e6:.1f} MB")
    sys.stderr.flush()


def _described(entry: Any) -> dict[str, Any]:
    names = ("name", "task", "method", "file", "address", "sha256", "size_bytes", "licence", "licence_note")
    values = {name: getattr(entry, name) for name in (*names, "exercised")}
    return {**values, "input": entry.contract.to_json()}
