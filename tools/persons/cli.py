"""Command line of `python -m tools.persons`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from edge_sdk import console
from tools.persons.dataset import Settings, write_pictures

_EXAMPLE = """example:
  python -m tools.persons --output work/persons
      draw pictures/ (train, calibration, evaluation) and new_cameras/, and measure the baseline of colour histograms;
      a folder that exists is kept

docs/how-to/re-identify-people.md continues with training, conversion and evaluation
"""


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="tools.persons",
        description="Draw persons as six cameras see them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for the pictures and sheet.png")
    for option, default, meaning in (
        ("--seed", defaults.seed, "seed of all random choices"),
        ("--training", defaults.training, "persons to train on"),
        ("--calibration", defaults.calibration, "persons whose pictures calibrate the quantization"),
        ("--evaluation", defaults.evaluation, "persons to measure on"),
        ("--pictures", defaults.pictures, "pictures of each person at each camera"),
    ):
        add(option, type=int, default=default, help=f"{meaning} (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return console.run("tools.persons", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    from tools.persons.histogram import measure_histograms
    from tools.persons.sheet import draw_sheet

    settings = Settings(
        seed=options.seed,
        training=options.training,
        calibration=options.calibration,
        evaluation=options.evaluation,
        pictures=options.pictures,
    )
    write_pictures(settings, options.output)
    draw_sheet(settings, options.output / "sheet.png")
    measured = {"evaluation": "pictures/evaluation", "new_cameras": "new_cameras"}
    figures = {name: measure_histograms(options.output / folder) for name, folder in measured.items()}
    print(json.dumps(figures, indent=2))
    return 0
