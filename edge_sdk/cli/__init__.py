"""``edge-sdk``: enrol, verify, identify and keep the gallery, from aligned crops in image files.

One module per group of commands, each with `add_commands`; `arguments` holds what they share.
"""

from edge_sdk.cli.program import build_parser, main

__all__ = ["build_parser", "main"]
