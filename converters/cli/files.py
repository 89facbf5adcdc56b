"""``edge-convert inspect``, ``lint`` and ``targets``: what a file is, and what hardware makes of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, add_targets, tell

_INSPECT_EXAMPLE = """example:
  edge-convert inspect converted/mobilefacenet.cpu_int8.tflite
"""
_LINT_EXAMPLE = """examples:
  edge-convert lint mobilefacenet_float.tflite
  edge-convert lint mobilefacenet_int8.tflite --target cpu,edgetpu

A float network is held against what converting it for a target comes to, an integer file against how the
target runs it. Exit 1 where a target refuses it.
"""
_TARGETS_EXAMPLE = """example:
  edge-convert targets --markdown > docs/reference/targets.md
"""


def add_commands(commands: Any) -> None:
    """Add the three commands."""
    _add_inspect(commands)
    _add_lint(commands)
    _add_targets_page(commands)


def _add_inspect(commands: Any) -> None:
    parser = add_command(
        commands, "inspect", "show a .tflite's card, operators, partitions and sizes", _INSPECT_EXAMPLE
    )
    parser.add_argument("file", type=Path, help="a .tflite, with or without a card")
    parser.set_defaults(run=_inspect)


def _add_lint(commands: Any) -> None:
    parser = add_command(
        commands, "lint", "say what targets make of a .tflite, and what to do", _LINT_EXAMPLE
    )
    parser.add_argument("file", type=Path, help="a .tflite, float or integer")
    add_targets(parser, "which targets to ask, one or several separated by commas (default: all)")
    parser.set_defaults(run=_lint)


def _add_targets_page(commands: Any) -> None:
    parser = add_command(
        commands, "targets", "list targets, what they run and what they refuse", _TARGETS_EXAMPLE
    )
    parser.add_argument("--markdown", action="store_true", help="the whole of docs/reference/targets.md")
    parser.set_defaults(run=_targets)


def _inspect(arguments: argparse.Namespace) -> int:
    from converters.analyze.inspection import inspect

    found = inspect(arguments.file)
    tell(arguments, found.to_json(), found.to_text())
    return 0


def _lint(arguments: argparse.Namespace) -> int:
    from converters.pipeline.build import known_targets
    from converters.targets import targets
    from converters.targets.lint import lint

    found = lint(arguments.file, known_targets(arguments.target or list(targets())))
    tell(arguments, found.to_json(), found.to_text())
    return int(found.refused)


def _targets(arguments: argparse.Namespace) -> int:
    from converters.targets import page, targets

    values = list(targets().values())
    if arguments.markdown and not arguments.json:
        print(page.to_markdown(values), end="")
    else:
        tell(arguments, page.to_json(values), page.to_text(values))
    return 0
