"""``edge-convert targets``: list the targets."""

from __future__ import annotations

import argparse
from typing import Any

from converters.cli.arguments import add_command, print_result


def register(commands: Any) -> None:
    """Add the command ``targets``."""
    parser = add_command(
        commands,
        "targets",
        "list the targets with their operators and rules",
        _run,
        examples=("targets --markdown > docs/reference/targets.md",),
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the full page docs/reference/targets.md"
    )


def _run(arguments: argparse.Namespace) -> int:
    from converters.targets import loadable_targets, page

    known = loadable_targets()
    if arguments.markdown and not arguments.json:
        print(page.to_markdown(known), end="")
    else:
        print_result(arguments, page.to_json(known), page.to_text(known))
    return 0
