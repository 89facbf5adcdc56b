"""``edge-sdk zoo``: list and download models published by others."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import PROGRAM, Output, add_command, show_progress

if TYPE_CHECKING:
    from edge_sdk.zoo import ZooEntry


def add_commands(commands: Any) -> None:
    """Add the group `zoo` and its commands."""
    group = commands.add_parser(
        "zoo",
        help="list and download models published by others: detectors, embedders",
        description="List and download models published by others, with their licences.",
        epilog=f"example:\n  {PROGRAM} zoo pull blazeface-short",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    add_command(
        inner, "list", "list the models with task, size, licence and input", _list, example="zoo list"
    )
    pull = add_command(
        inner,
        "pull",
        "download a model, check its SHA-256 and print its path",
        _pull,
        example="zoo pull blazeface-short",
    )
    path = add_command(
        inner,
        "path",
        "check the SHA-256 of a downloaded model and print its path",
        _path,
        example="zoo path blazeface-short",
    )
    for parser in (pull, path):
        parser.add_argument("model", help="name of the model, as printed by zoo list")


def _list(arguments: argparse.Namespace) -> Output:
    from edge_sdk.zoo import ENTRIES

    rows = [("MODEL", "TASK", "MB", "LICENCE", "INPUT")]
    rows += [(e.name, e.task, f"{e.size_bytes / 1e6:.1f}", e.licence, e.contract.describe()) for e in ENTRIES]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += ["", *(f"{e.name}: {e.licence_note}" for e in ENTRIES if e.licence_note)]
    untested = [e.name for e in ENTRIES if not e.exercised]
    lines.append(
        f"checked against their published digests, but not yet tested with this SDK: {', '.join(untested)}"
    )
    return Output([_entry_to_json(e) for e in ENTRIES], "\n".join(lines))


def _pull(arguments: argparse.Namespace) -> Output:
    from edge_sdk.zoo import entry, pull
    from edge_sdk.zoo.mirror import mirror_folder

    model = entry(arguments.model)
    place = mirror_folder() or model.address or "no public address"
    note = f" ({model.licence_note})" if model.licence_note else ""
    console.say(PROGRAM, f"{model.name}: licence {model.licence}{note}, from {place}")
    with show_progress("{done:.1f} of {total:.1f} MB", unit=1e6) as progress:
        file = pull(model, progress=progress)
    if model.conversion:
        command = model.conversion.format(file=file)
        console.say(PROGRAM, f"convert it on a workstation and copy the result to the device: {command}")
    return Output({**_entry_to_json(model), "path": str(file)}, str(file))


def _path(arguments: argparse.Namespace) -> Output:
    from edge_sdk.zoo import entry, path

    file = path(entry(arguments.model))
    return Output({"path": str(file)}, str(file))


def _entry_to_json(entry: ZooEntry) -> dict[str, Any]:
    names = ("name", "task", "method", "file", "address", "sha256", "size_bytes", "licence", "licence_note")
    values = {name: getattr(entry, name) for name in (*names, "exercised")}
    return {**values, "input": entry.contract.to_json()}
