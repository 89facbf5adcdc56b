"""Entry point of `python -m tools.persons`."""

import sys

from tools.persons.cli import main

if __name__ == "__main__":
    sys.exit(main())
