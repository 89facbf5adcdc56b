# PYTHON_ARGCOMPLETE_OK
"""``edge-convert``: convert a trained network, look into a file, measure it, compare files.

One module per group of commands, each with ``add_commands``; ``arguments`` holds what they share. Exit codes: 0 done, 1 a
gate was missed or a target refuses the network, 2 usage, 3 anything else that went wrong, with one line that says what.
"""

from converters.cli.arguments import add_contract, input_contract, share
from converters.cli.program import build_parser, main

__all__ = ["add_contract", "build_parser", "input_contract", "main", "share"]
