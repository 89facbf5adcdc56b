"""The command line ``edge-convert``: its commands and their exit codes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from converters.cli import auxiliary, compare, convert, evaluate, finish, inspect, kit, lint, map, targets
from converters.errors import ConversionError, GateError, TargetError
from converters.progress import logged_stages
from edge_sdk import __version__, console
from edge_sdk.extras import install_command

PROGRAM = "edge-convert"
_COMMANDS = (convert, inspect, lint, targets, evaluate, compare, finish, auxiliary, kit, map)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    # Two OpenBLAS threads are many times slower than one on problems of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = build_parser()
    console.enable_completion(parser)
    return console.run(PROGRAM, lambda: _run(parser, argv), negatives=(GateError, TargetError))


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    try:
        # Parsing loads the target plug-ins named by --target, which can fail.
        arguments = parser.parse_args(argv)
        with logged_stages(PROGRAM):
            return int(arguments.run(arguments))
    except ModuleNotFoundError as error:
        # An installation on a device includes this command, but not the packages that it needs.
        if error.name is None or error.name.partition(".")[0] in ("converters", "edge_sdk"):
            raise
        raise ConversionError(f"{error.name} is not installed", hint=install_command("convert")) from error


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; in the parsed arguments ``run`` is the function of the command."""
    parser = console.Parser(
        prog=PROGRAM,
        description="Convert trained embedding networks to int8 files for small hardware and measure their accuracy.",
        epilog="exit codes: 0 success; 1 a gate, a budget or a rule of a target is not met; 2 wrong usage; 3 any other"
        " error. auxiliary, kit and finish write no files if the exit code is 1, 2 or 3. convert writes the files of the"
        " targets that pass; if a target or a file was refused, or a file misses its budget, the exit code is 1.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.register(commands)
    return parser
