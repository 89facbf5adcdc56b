# PYTHON_ARGCOMPLETE_OK
"""The command line ``edge-train``: parse options, call the library, print.

Exit codes: 0 success; 1 the pictures do not pass --check, or a target or a file was refused; 2 wrong usage; 3 any other error, with one line
on stderr.
"""

from edge_train.cli.program import build_parser, main

__all__ = ["build_parser", "main"]
