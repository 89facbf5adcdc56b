"""Entry point of `python -m tools.train`."""

import sys

from tools.train.cli import main

if __name__ == "__main__":
    sys.exit(main())
