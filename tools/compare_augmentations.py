"""Measure what augmentation is worth: the same training without it and with it, on held-out subjects.

``python -m tools.compare_augmentations --output work/losses --omniglot ../shared/omniglot`` makes the table of
``docs/how-to/train-on-your-pictures.md``. The pictures are those of ``tools.compare_losses``, also if its folder is given.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.progress import logged_stages, stage
from edge_sdk import console

PROGRAM = "compare-augmentations"
_LOSS, _RATE = "arcface", 1e-2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for the pictures")
    add("--omniglot", type=Path, help="folder with Omniglot's archives (default: products alone)")
    add("--only", choices=("omniglot", "products"), help="train on one data set (default: both)")
    add("--steps", type=int, default=300, help="steps of 128 images (default: %(default)s)")
    add("--seeds", type=int, default=2, help="trainings of each augmentation (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return console.run(PROGRAM, lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tools.compare_losses import datasets
    from tools.compare_losses.cells import Cell, measure_cell

    options.output.mkdir(parents=True, exist_ok=True)
    sets = []
    if options.omniglot is not None and options.only != "products":
        sets.append(datasets.omniglot(options.omniglot, options.output))
    if options.only != "omniglot":
        sets.append(datasets.products(options.output))
    print("| pictures | augmentation | seed | EER | TAR at FMR 1e-2 | one-shot, 20-way | CPU time |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with logged_stages(PROGRAM):
        for data in sets:
            for seed in range(options.seeds):
                for augmentation in ("none", data.augmentation):
                    with stage(f"{data.name}, {augmentation}, seed {seed}"):
                        row = measure_cell(
                            Cell(data.name, _LOSS, options.steps, seed, _RATE),
                            replace(data, augmentation=augmentation),
                            work=options.output,
                            int8=False,
                        )
                    print(_line(row, augmentation), flush=True)
    return 0


def _line(row: dict[str, Any], augmentation: str) -> str:
    if "error" in row:
        return f"| {row['data_set']} | {augmentation} | {row['seed']} | {row['error']} | | | |"
    rates = row["float"]
    tar = "" if rates["tar"][0] is None else f"{rates['tar'][0]:.3f}"
    return (
        f"| {row['data_set']} | {augmentation} | {row['seed']} | {rates['eer']:.3f} | {tar} |"
        f" {rates['one_shot']:.3f} | {row['cpu_s']:.0f} s |"
    )


if __name__ == "__main__":
    sys.exit(main())
