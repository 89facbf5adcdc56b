"""``edge-convert finish``: its flags, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_allow_and_set, add_command, one_target, tell

_EXAMPLE = """examples:
  edge-convert finish converted/face.microcontroller_int8.tflite
  edge-convert finish converted/face.edgetpu_int8.tflite --target microcontroller --output firmware/

Writes what convert writes beside a file: C++ sources for tflite-micro, the file that vela or edgetpu_compiler
makes, a phone's JSON. They carry the card's thresholds and the file's SHA-256, so evaluate --write-card makes
them out of date. The file itself stays as it is; settings given to convert have to be given again.
"""


def add_commands(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "finish", "write again what is made of a converted file: sources, compiled files", _EXAMPLE
    )
    parser.add_argument("file", type=Path, help="a .tflite with its card")
    parser.add_argument(
        "--target", type=one_target, default=None, help="what to finish it for (default: the card's target)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for what is made (default: the file's own)"
    )
    add_allow_and_set(parser)
    parser.set_defaults(run=_finish)


def _finish(arguments: argparse.Namespace) -> int:
    from converters.progress import stage
    from converters.targets.finishing import finish_file

    with stage(f"finish {arguments.file.name}"):
        found = finish_file(
            arguments.file,
            target=arguments.target or "",
            output=arguments.output,
            allow=tuple(arguments.allow),
            settings=dict(arguments.set),
        )
    tell(arguments, found.to_json(), found.to_text())
    return 0
