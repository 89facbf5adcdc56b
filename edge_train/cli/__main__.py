# PYTHON_ARGCOMPLETE_OK
"""Run ``edge-train`` as ``python -m edge_train.cli``."""

import sys

from edge_train.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
