"""Write Omniglot (Lake et al. 2015) as a folder for ``edge-train``, with a split that holds whole alphabets out.

    python -m tools.omniglot ../shared/omniglot --output work/omniglot
    edge-train work/omniglot/characters --split work/omniglot/split.csv --output work/letters \\
        --size 28x28 --color gray --augmentation drawings --steps 400
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from converters.output import replace_file
from edge_sdk import console
from tools.compare_losses.datasets import characters, held_out

#: Every such character of the other alphabets draws the curves and calibrates int8.
_CALIBRATION_EVERY = 12


def write_characters(source: Path, output: Path) -> dict[str, str]:
    """Write ``characters/ALPHABET.CHARACTER/IMAGE`` and ``split.csv``.

    Args:
        source: Folder with the published archives ``images_background*.zip``.
        output: Folder to write to.

    Returns:
        The part of each character: train, calibration or evaluation.

    Raises:
        InputError: There is no such archive.
    """
    names = set()
    for name, file, content in characters(source):
        folder = output / "characters" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
        names.add(name)
    measured = sorted(filter(held_out, names))
    others = sorted(names.difference(measured))
    parts = dict.fromkeys(measured, "evaluation")
    for place, name in enumerate(others):
        parts[name] = "calibration" if place % _CALIBRATION_EVERY == 0 else "train"
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(("subject", "part"))
    writer.writerows(sorted(parts.items()))
    replace_file(output / "split.csv", rows.getvalue().encode())
    return parts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.omniglot", description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder with images_background*.zip")
    parser.add_argument("--output", type=Path, required=True, help="folder for the characters and split.csv")
    arguments = parser.parse_args(argv)
    return console.run("tools.omniglot", lambda: _write(arguments))


def _write(arguments: argparse.Namespace) -> int:
    parts = list(write_characters(arguments.source, arguments.output).values())
    sizes = ", ".join(f"{parts.count(part)} {part}" for part in ("train", "calibration", "evaluation"))
    print(f"wrote {len(parts)} characters to {arguments.output / 'characters'}: {sizes}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
