# PYTHON_ARGCOMPLETE_OK
"""Run ``edge-sdk`` as ``python -m edge_sdk.cli``."""

import sys

from edge_sdk.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
