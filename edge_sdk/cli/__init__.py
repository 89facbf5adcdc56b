# PYTHON_ARGCOMPLETE_OK
"""``edge-sdk``: enrol, verify and identify subjects, and manage the gallery.

Each group of commands is one module with `add_commands`. `arguments` declares the arguments that commands share,
and `opening` opens the objects that they name.
"""

from edge_sdk.cli.program import build_parser, main

__all__ = ["build_parser", "main"]
