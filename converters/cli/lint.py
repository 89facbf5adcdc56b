"""``edge-convert lint``: check a .tflite file against the rules of targets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, add_targets, print_result


def register(commands: Any) -> None:
    """Add the command ``lint``."""
    parser = add_command(
        commands,
        "lint",
        "check a .tflite file against the rules of targets",
        _run,
        examples=(
            "lint mobilefacenet_float.tflite",
            "lint mobilefacenet_int8.tflite --target cpu,edgetpu",
        ),
        details="A float network is checked as if it were to be converted, an integer file as if it ran on the target. "
        "Each finding comes with a remedy. The exit code is 1 if a target refuses the file.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.tflite", help="float network or integer file")
    add_targets(parser, "targets to check, separated by commas; may be repeated (default: all)")


def _run(arguments: argparse.Namespace) -> int:
    from converters.pipeline.options import known_targets
    from converters.targets import loadable_targets
    from converters.targets.lint import lint

    report = lint(arguments.file, known_targets(arguments.target) if arguments.target else loadable_targets())
    print_result(arguments, report.to_json(), report.to_text())
    return int(report.refused)
