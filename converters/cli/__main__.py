# PYTHON_ARGCOMPLETE_OK
"""Run ``edge-convert`` as ``python -m converters.cli``."""

import sys

from converters.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
