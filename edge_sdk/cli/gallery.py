"""``edge-sdk gallery``: look after the gallery."""

from __future__ import annotations

import argparse
from typing import Any

from edge_sdk.cli import policy
from edge_sdk.cli.arguments import add_command, add_gallery_arguments, open_gallery, tell

_FILES = "--gallery home.gallery --key home.key"


def add_commands(commands: Any) -> None:
    """Add the group and its commands."""
    group = commands.add_parser("gallery", help="look after the gallery")
    rooms = group.add_subparsers(required=True, metavar="COMMAND")
    listing = add_command(rooms, "list", "list who is enrolled", _list, example=f"gallery list {_FILES}")
    remove = add_command(
        rooms, "remove", "remove a subject", _remove, example=f"gallery remove alice {_FILES}"
    )
    remove.add_argument("subject", help="the name it was enrolled by")
    status = add_command(
        rooms,
        "status",
        "say how strong and how full the gallery is",
        _status,
        example=f"gallery status {_FILES} --json",
    )
    for parser in (listing, remove, status):
        add_gallery_arguments(parser)
    policy.add_commands(rooms)


def _list(arguments: argparse.Namespace) -> int:
    subjects = open_gallery(arguments, None).subjects()
    tell(
        arguments,
        [
            {"subject": s.name, "label": s.label, "templates": s.templates, "revoked": s.revoked}
            for s in subjects
        ],
        "\n".join(f"{s.name}\t{s.templates}\t{s.label}" for s in subjects),
    )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    open_gallery(arguments, None).remove(arguments.subject)
    tell(arguments, {"removed": arguments.subject}, f"removed {arguments.subject}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    status = asdict(open_gallery(arguments, None).status())
    lines = [f"{name:<12} {value}" for name, value in status.items() if name != "not_protected"]
    lines += [f"{'not_protected':<12} {gap}" for gap in status["not_protected"]]
    tell(arguments, status, "\n".join(lines))
    return 0
