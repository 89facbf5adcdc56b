"""Command line of ``python -m tools.compare_losses``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.progress import logged_stages, stage
from edge_sdk import console

PROGRAM = "tools.compare_losses"
_RESULTS = "results.jsonl"
_EXAMPLE = """examples:
  python -m tools.compare_losses --output work/losses --omniglot ../shared/omniglot
      every loss, two budgets, three seeds, on Omniglot and on drawn products
  python -m tools.compare_losses --output work/losses --losses arcface,triplet --steps 100 --seeds 1
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train every loss under the same budgets and measure it on held-out subjects.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for pictures, results and tables; it is continued")
    add("--omniglot", type=Path, help="folder with Omniglot's archives (default: products alone)")
    add("--losses", help="names of losses, separated by commas (default: all)")
    add("--steps", default="150,600", help="budgets in steps of 128 images (default: %(default)s)")
    add("--seeds", type=int, default=3, help="trainings of each loss and budget (default: %(default)s)")
    add("--rate", type=float, default=1e-2, help="peak learning rate (default: %(default)s)")
    add("--only", choices=("omniglot", "products"), help="train on one data set (default: both)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return console.run(PROGRAM, lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tools.compare_losses.tables import draw, markdown

    options.output.mkdir(parents=True, exist_ok=True)
    with logged_stages(PROGRAM):
        rows = _measured(options)
    (options.output / "tables.md").write_text(markdown(rows), encoding="utf-8")
    draw(rows, options.output / "losses.svg")
    print(markdown(rows))
    return 0


def _measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of all cells, in a fixed order; cells that are stored are not trained again."""
    from edge_train.losses import LOSSES
    from tools.compare_losses import datasets
    from tools.compare_losses.cells import Cell, measure_cell

    sets = []
    if options.omniglot is not None and options.only != "products":
        sets.append(datasets.omniglot(options.omniglot, options.output))
    if options.only != "omniglot":
        sets.append(datasets.products(options.output))
    losses = options.losses.split(",") if options.losses else list(LOSSES)
    budgets = [int(steps) for steps in options.steps.split(",")]
    path = options.output / _RESULTS
    stored = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            stored[Cell(row["data_set"], row["loss"], row["steps"], row["seed"])] = row
    cells = [
        (data, Cell(data.name, loss, steps, seed))
        for seed in range(options.seeds)
        for data in sets
        for steps in budgets
        for loss in losses
    ]
    for data, cell in cells:
        if cell in stored:
            continue
        with stage(f"{cell.data_set}, {cell.loss}, {cell.steps} steps, seed {cell.seed}"):
            row = measure_cell(
                cell,
                data,
                learning_rate=options.rate,
                work=options.output,
                int8=cell.seed == 0 and cell.steps == max(budgets),
            )
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        stored[cell] = row
    return [stored[cell] for _, cell in cells]
