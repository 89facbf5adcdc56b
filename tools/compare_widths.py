"""Compare a width search with a uniform width multiplier at the same budget, over several seeds.

python -m tools.compare_widths --images omniglot/ --held-out Greek Korean Early_Aramaic --size 28x28 --color gray \\
    --range=-1..1 --augmentation drawings --backbone mobilefacenet --width 0.25 --budget macs=1.4e6 --steps 300

Every network is trained from scratch with the same settings. The search itself costs a training of a larger network, so both
networks are also trained twice as long.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.cli import add_contract, input_contract
from edge_sdk import console
from edge_sdk.model.card import InputContract
from edge_train.backbones import BACKBONES
from edge_train.errors import PlanError
from edge_train.search.budget import Budget, LayerRates
from tools.short_training import ShortTraining, split_by_prefix

if TYPE_CHECKING:
    import keras

SCHEMA = "edge-sdk/width-comparison/1"
_TWICE = ", twice the steps"
_VARIANTS = ("uniform", "searched", "uniform" + _TWICE, "searched" + _TWICE)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Settings of a comparison.

    Args:
        task: Pictures and training.
        backbone: Name of the backbone.
        width: Width of the searched network.
        budget: Budget of the compared networks.
        strength: Strength of the search's penalty.
        remain: Share of the cost that remains before the expansion.
    """

    task: ShortTraining
    backbone: str
    width: float
    budget: Budget
    strength: float
    remain: float

    def build(self, seed: int, channels: dict[str, int] | None = None) -> keras.Model:
        """Build an untrained network; None for the network that is searched."""
        from edge_train.backbones import build_backbone

        return build_backbone(
            self.backbone,
            input_shape=self.task.contract.shape,
            dimension=self.task.dimension,
            width=self.width,
            seed=seed,
            channels=channels,
        )

    def run(self, seed: int, *, longer: bool = True) -> dict[str, Any]:
        """Search, train and measure with a seed; the result is JSON values."""
        import time

        from edge_train.backbones.channels import structure
        from edge_train.search.width import search_widths, uniform_widths
        from edge_train.training.schedule import Schedule

        parts = structure(self.build(seed))
        uniform = uniform_widths(parts, self.budget)
        began = time.process_time()
        result = search_widths(
            self.build(seed),
            self.task.objective(seed),
            self.task.batches(seed),
            self.task.contract,
            Schedule(steps=self.task.steps, learning_rate=self.task.learning_rate),
            self.budget,
            strength=self.strength,
            remain=self.remain,
            augment=self.task.augment(),
            seed=seed,
        )
        row: dict[str, Any] = {
            "seed": seed,
            "search": result.to_json(),
            "search_s": time.process_time() - began,
        }
        for name in _VARIANTS:
            channels = uniform if name.startswith("uniform") else result.channels
            factor = 2.0 if name.endswith(_TWICE) else 1.0
            if factor > 1 and not longer:
                continue
            model = self.build(seed, dict(channels))
            seconds = self.task.train(model, seed=seed, factor=factor)
            row[name] = {
                "channels": dict(channels),
                "cost": float(self.budget.rates.cost(parts.work, channels)),
                "parameters": model.count_params(),
                "seconds": seconds,
                **self.task.rates(self.embed(model)),
            }
        return row

    def embed(self, model: keras.Model) -> np.ndarray:
        """Embed the evaluation images."""
        from edge_train.training.trainer import embed

        return embed(model, self.task.evaluation_pixels, self.task.contract)


def table(rows: Sequence[dict[str, Any]], budget: Budget) -> str:
    """Return the rows as Markdown: each seed, then the means."""
    lines = [
        f"| seed | network | {budget.rates.unit} | parameters | EER | TAR at FMR 1e-2 | training, s |",
        "|---|---|---|---|---|---|---|",
    ]
    variants = [name for name in _VARIANTS if name in rows[0]]
    for row in rows:
        for name in variants:
            part = row[name]
            lines.append(
                f"| {row['seed']} | {name} | {_cost(part['cost'])} | {part['parameters']:,} | {part['eer']:.4f} |"
                f" {part['tar']:.4f} | {part['seconds']:.0f} |"
            )
    for name in variants:
        eer, tar = (np.array([row[name][key] for row in rows]) for key in ("eer", "tar"))
        lines.append(
            f"| mean of {len(rows)} | {name} | | | {eer.mean():.4f} ({eer.min():.4f} .. {eer.max():.4f}) |"
            f" {tar.mean():.4f} ({tar.min():.4f} .. {tar.max():.4f}) | |"
        )
    return "\n".join(lines)


def _cost(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.compare_widths",
        description=(__doc__ or "").split("\n")[0],
        epilog="\n".join((__doc__ or "").split("\n")[2:5]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--images", type=Path, required=True, help="labelled pictures, as subject/image")
    add("--held-out", nargs="+", required=True, help="beginnings of the names of the subjects to measure")
    add("--backbone", default="mobilefacenet", choices=BACKBONES, help="backbone (default: %(default)s)")
    add(
        "--width",
        type=float,
        default=0.25,
        help="width of the network that is searched (default: %(default)s)",
    )
    add("--budget", required=True, help="macs=NUMBER, size=BYTES of int8 weights, or time=MILLISECONDS")
    add(
        "--rates",
        metavar="FILE:TARGET",
        help="for time: backbones.json of tools.compare_backbones, and float32, cpu_int8, full_int8 or npu",
    )
    add("--steps", type=int, default=300, help="steps of each training (default: %(default)s)")
    add("--seeds", type=int, default=3, help="number of seeds (default: %(default)s)")
    add("--learning-rate", type=float, default=1e-2, help="peak learning rate (default: %(default)s)")
    add("--augmentation", default="none", help="set of augmentations (default: %(default)s)")
    add("--dimension", type=int, default=64, help="length of the embedding (default: %(default)s)")
    add("--strength", type=float, default=4.0, help="strength of the search's penalty (default: %(default)s)")
    add(
        "--remain",
        type=float,
        default=0.5,
        help="share of the cost before the expansion (default: %(default)s)",
    )
    add("--no-longer", action="store_true", help="leave out the trainings with twice the steps")
    add("--json", action="store_true", help="print JSON instead of a table")
    add_contract(parser)
    parser.set_defaults(parser=parser)
    arguments = parser.parse_args(argv)
    return console.run("compare_widths", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    contract, _ = input_contract(arguments)
    if not isinstance(contract, InputContract):
        arguments.parser.error("expected an input contract of images")
    budget = Budget.parse(arguments.budget, time=_rates(arguments.rates))
    training, evaluation = split_by_prefix(arguments.images, arguments.held_out)
    task = ShortTraining(
        training,
        evaluation,
        contract,
        arguments.dimension,
        arguments.steps,
        arguments.learning_rate,
        arguments.augmentation,
    )
    comparison = Comparison(
        task, arguments.backbone, arguments.width, budget, arguments.strength, arguments.remain
    )
    rows = []
    for seed in range(1, arguments.seeds + 1):
        rows.append(comparison.run(seed, longer=not arguments.no_longer))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if arguments.json:
        settings = {
            name: value
            for name, value in vars(arguments).items()
            if isinstance(value, str | int | float | list) and name != "json"
        }
        print(json.dumps({"schema": SCHEMA, "settings": settings, "rows": rows}, indent=1))
    else:
        print(table(rows, budget))
    return 0


def _rates(place: str | None) -> LayerRates | None:
    if place is None:
        return None
    path, _, target = place.rpartition(":")
    models = json.loads(Path(path).read_text(encoding="utf-8")).get("time_models", {})
    if target not in models:
        raise PlanError(f"--rates: expected FILE:TARGET with a target of {sorted(models)}, found {place!r}")
    return LayerRates(**models[target]["rates"])


if __name__ == "__main__":
    sys.exit(main())
