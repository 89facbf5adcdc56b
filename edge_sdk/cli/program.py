"""The whole command line: its commands put together, and run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from edge_sdk import __version__, console
from edge_sdk.cli import bench, doctor, face, gallery, recognition, zoo
from edge_sdk.cli.arguments import PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = build_parser().parse_args(argv)
    return console.run(PROGRAM, lambda: int(arguments.run(arguments)))


def build_parser() -> argparse.ArgumentParser:
    """Every command with its arguments; a parsed command line carries its function as `run`."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Recognize someone with a model that edge-convert made: from aligned crops, or from photographs and"
        " cameras (face).",
        epilog="exit codes: 0 done or match, 1 no match or a problem found, 2 usage, 3 error; nothing opens on an error",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recognition.add_commands(commands)
    face.add_commands(commands)
    gallery.add_commands(commands)
    zoo.add_commands(commands)
    doctor.add_commands(commands)
    bench.add_commands(commands)
    return parser
