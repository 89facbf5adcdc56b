"""``edge-convert finish``: generate the by-products of a converted file again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_allow_and_set, add_command, print_result, target


def register(commands: Any) -> None:
    """Add the command ``finish``."""
    parser = add_command(
        commands,
        "finish",
        "write the C++ sources, compiled files and other by-products of a converted file again",
        _run,
        examples=(
            "finish converted/face.microcontroller_int8.tflite",
            "finish converted/face.edgetpu_int8.tflite --target microcontroller --output firmware/",
        ),
        details="By-products are the files that convert writes for a target in addition to FILE.tflite: C++ sources for "
        "tflite-micro, the file compiled by vela or edgetpu_compiler, the JSON file for phones. They contain the "
        "thresholds of the card and the SHA-256 of FILE.tflite, so run this command after evaluate --write-card. "
        "FILE.tflite itself does not change. Repeat the target options (--set) that were given to convert.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.tflite", help="converted file with its card")
    parser.add_argument(
        "--target",
        type=target,
        default=None,
        help="target of the by-products (default: the target in the card)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the by-products (default: the folder of the file)",
    )
    add_allow_and_set(parser)


def _run(arguments: argparse.Namespace) -> int:
    from converters.progress import stage
    from converters.targets.finishing import finish_file

    with stage(f"finish {arguments.file.name}"):
        result = finish_file(
            arguments.file,
            target=arguments.target or "",
            output=arguments.output,
            allow=tuple(arguments.allow),
            options=dict(arguments.set),
        )
    print_result(arguments, result.to_json(), result.to_text())
    return 0
