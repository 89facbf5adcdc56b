"""Entry point of ``python -m tools.compare_losses``."""

import sys

from tools.compare_losses.cli import main

if __name__ == "__main__":
    sys.exit(main())
