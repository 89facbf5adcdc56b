"""The whole command line of ``edge-sdk``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TextIO

from edge_sdk import __version__, console
from edge_sdk.cli import bench, doctor, explain, face, gallery, recognition, setup, try_door, zoo
from edge_sdk.cli.arguments import PROGRAM
from edge_sdk.cli.installed import use_installation
from edge_sdk.escaping import escaped
from edge_sdk.notices import GalleryWarning

_EPILOG = """\
examples:
  edge-sdk setup face.edgekit --door
  edge-sdk face enrol alice --camera usb
  edge-sdk identify probe.jpg --fpir 0.01 --model face.tflite --gallery home.gallery --key home.key

a command takes what is not named from the installation that setup has made

exit codes: 0 done or match, 1 no match or a problem was found, 2 usage, 3 error; accept a person only if it is 0
EDGE_SDK_DEBUG=1 in the environment prints the traceback of an unexpected error"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name (default: those of this process).

    Returns:
        The exit code.
    """
    # Two OpenBLAS threads are many times slower than one on problems of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return console.run(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    console.enable_completion(parser)
    arguments = parser.parse_args(argv)
    with _warnings_on_stderr():
        use_installation(arguments)
        output = arguments.run(arguments)
    as_json = arguments.json and output.value is not None
    value = output.value
    if arguments.taken and isinstance(value, dict):
        value = {**value, "files": arguments.taken}
    text = json.dumps(value, indent=1) if as_json else output.text
    if text:
        print(escaped(text))
    if output.failed:
        return console.FAILED
    return 0 if output.positive else console.CLEAN_NEGATIVE


@contextlib.contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Print each GalleryWarning as a line of this program."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", GalleryWarning)
        show = warnings.showwarning

        def say(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, GalleryWarning):
                text = message.message if isinstance(message, GalleryWarning) else message
                console.say(PROGRAM, f"warning: {text}")
                if isinstance(message, GalleryWarning) and message.hint:
                    console.say(PROGRAM, f"hint: {message.hint}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = say
        yield


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; in the parsed arguments `run` is the function of the command."""
    parser = console.Parser(
        prog=PROGRAM,
        description="Enrol, verify and identify subjects with a model made by edge-convert.\n"
        "enrol, verify and identify take aligned crops; face takes photographs and cameras.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recognition.add_commands(commands)
    face.add_commands(commands)
    gallery.add_commands(commands)
    zoo.add_commands(commands)
    setup.add_commands(commands)
    try_door.add_commands(commands)
    doctor.add_commands(commands)
    bench.add_commands(commands)
    explain.add_commands(commands)
    return parser
