"""Entry point of `python -m tools.products`."""

import sys

from tools.products.cli import main

if __name__ == "__main__":
    sys.exit(main())
