# PYTHON_ARGCOMPLETE_OK
"""The command line ``edge-convert``: convert, inspect, measure and compare networks.

One module per command, each with ``register``; ``arguments`` and ``evaluation_arguments`` declare shared arguments.
Exit codes: 0 success; 1 a gate is missed or a target refuses the network; 2 wrong usage; 3 any other error, with one
line on stderr.
"""

from converters.cli.arguments import add_contract, input_contract, share
from converters.cli.program import build_parser, main

__all__ = ["add_contract", "build_parser", "input_contract", "main", "share"]
