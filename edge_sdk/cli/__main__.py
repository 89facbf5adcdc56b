"""``python -m edge_sdk.cli`` is ``edge-sdk``."""

import sys

from edge_sdk.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
