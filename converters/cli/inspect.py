"""``edge-convert inspect``: show the contents of a .tflite file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, print_result


def register(commands: Any) -> None:
    """Add the command ``inspect``."""
    parser = add_command(
        commands,
        "inspect",
        "show the card, operators, partitions and sizes of a .tflite file",
        _run,
        examples=("inspect converted/mobilefacenet.cpu_int8.tflite",),
    )
    parser.add_argument("file", type=Path, metavar="FILE.tflite", help="file with or without a model card")


def _run(arguments: argparse.Namespace) -> int:
    from converters.analyze.inspection import inspect

    inspection = inspect(arguments.file)
    print_result(arguments, inspection.to_json(), inspection.to_text())
    return 0
