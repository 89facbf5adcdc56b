"""Command line of ``python -m tools.compare_losses``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.output import replace_file
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
    add(
        "--steps",
        type=_budgets,
        default="100,400",
        help="budgets in steps of 128 images (default: %(default)s)",
    )
    add("--seeds", type=int, default=3, help="trainings of each loss and budget (default: %(default)s)")
    add("--rate", type=float, default=1e-2, help="peak learning rate (default: %(default)s)")
    add("--only", choices=("omniglot", "products"), help="train on one data set (default: both)")
    return parser


def _budgets(text: str) -> list[int]:
    return [int(steps) for steps in text.split(",")]


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
    from edge_train.losses import LOSSES, check_settings
    from tools.compare_losses import datasets
    from tools.compare_losses.cells import Cell, measure_cell

    losses = options.losses.split(",") if options.losses else list(LOSSES)
    for loss in losses:
        check_settings(loss, {})
    sets = []
    if options.omniglot is not None and options.only != "products":
        sets.append(datasets.omniglot(options.omniglot, options.output))
    if options.only != "omniglot":
        sets.append(datasets.products(options.output))
    path = options.output / _RESULTS
    stored = {Cell.of(row): row for row in stored_rows(path)}
    cells = [
        (data, Cell(data.name, loss, steps, seed, options.rate))
        for seed in range(options.seeds)
        for data in sets
        for steps in options.steps
        for loss in losses
    ]
    for data, cell in cells:
        if cell in stored:
            continue
        with stage(f"{cell.data_set}, {cell.loss}, {cell.steps} steps, seed {cell.seed}"):
            row = measure_cell(
                cell,
                data,
                work=options.output,
                int8=cell.seed == 0 and cell.steps == max(options.steps),
            )
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        stored[cell] = row
    return [stored[cell] for _, cell in cells]


def stored_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the file of results, and remove a last line that a kill cut off."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        replace_file(path, "".join(lines[:-1]).encode())
        del lines[-1]
    return [json.loads(line) for line in lines]
