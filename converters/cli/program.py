"""The whole command line: its commands put together, and run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from converters.cli import auxiliary, conversion, evaluation, files, finishing
from converters.errors import ConversionError, GateError, TargetError
from edge_sdk import __version__, console

PROGRAM = "edge-convert"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # Two OpenBLAS threads are many times slower than one on problems of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = build_parser()
    console.enable_completion(parser)
    arguments = parser.parse_args(argv)
    return console.run(PROGRAM, lambda: _run(arguments), negatives=(GateError, TargetError))


def _run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.run(arguments))
    except ModuleNotFoundError as error:
        # A device has this command too, and none of what a workstation needs.
        if error.name is None or error.name.partition(".")[0] in ("converters", "edge_sdk"):
            raise
        raise ConversionError(
            f"{error.name} is not installed", hint="pip install 'edge-sdk[convert]'"
        ) from error


def build_parser() -> argparse.ArgumentParser:
    """Every command with its arguments; a parsed command line carries its function as `run`."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Turn a trained embedding network into an int8 file for small hardware, and say what it is worth.",
        epilog="exit codes: 0 done, 1 a gate, a budget or a target's rule is missed, 2 usage, 3 error; nothing is written"
        " on 1 to 3",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    conversion.add_commands(commands)
    files.add_commands(commands)
    evaluation.add_commands(commands)
    finishing.add_commands(commands)
    auxiliary.add_commands(commands)
    return parser
