"""Convert the reference model for the tests of clients in other languages.

    python -m tools.client_networks --output work/clients

Writes the files of the targets cpu and mobile. Their cards contain golden vectors, with which a client checks its runtime.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_sdk import console
from tools.demo import convert_model

TARGETS = ("cpu", "mobile")


def main(argv: Sequence[str] | None = None) -> int:
    """Convert the reference model."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.client_networks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the files; made if it is missing"
    )
    arguments = parser.parse_args(argv)
    return console.run("client_networks", lambda: write(arguments.output))


def write(folder: Path) -> int:
    """Convert the reference model into a folder and return the exit code."""
    convert_model(folder, TARGETS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
