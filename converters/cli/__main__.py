# PYTHON_ARGCOMPLETE_OK
"""``python -m converters.cli`` is ``edge-convert``."""

import sys

from converters.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
