"""Command line of `python -m tools.products`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from edge_sdk import console
from tools.products.settings import Settings

_EXAMPLE = """example:
  python -m tools.products --output samples/products
      draw, photograph, train and measure all of samples/products, in less than 40 minutes on two cores;
      after an interruption the same command continues from the last checkpoint
  python -m tools.products --evaluate --output samples/products
      measure the existing network
"""


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="tools.products",
        description="Build the reference model and its sample pictures.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for the samples and model/")
    add(
        "--work",
        type=Path,
        default=Path("build/products"),
        help="folder for photos and checkpoints (default: %(default)s)",
    )
    add("--evaluate", action="store_true", help="measure the network in --output without training")
    for option, default, meaning in (
        ("--seed", defaults.seed, "seed of all random choices"),
        ("--families", defaults.families, "brands to train on, 1..800"),
        ("--photos", defaults.photos, "photos per product"),
        ("--epochs", defaults.epochs, "training epochs"),
    ):
        add(option, type=int, default=default, help=f"{meaning} (default: %(default)s)")
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that draw photos (default: number of cores)",
    )
    return parser


def _quiet_tensorflow() -> None:
    # TensorFlow's log messages about the processor would break the progress bar.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _make(settings: Settings, output: Path, work: Path, workers: int) -> dict[str, object]:
    from tools.products.dataset import training_photos
    from tools.products.publish import evaluate, publish
    from tools.products.samples import write_samples
    from tools.products.training import train

    settings.claim(work)
    write_samples(settings, output, work)
    photos = training_photos(settings, work, workers=workers)
    _quiet_tensorflow()
    publish(train(settings, photos, work), output, work)
    return evaluate(settings, output, workers=workers)


def _evaluate(settings: Settings, output: Path, _work: Path, workers: int) -> dict[str, object]:
    from tools.products.publish import NAME, evaluate

    _quiet_tensorflow()
    noted = output / "model" / f"{NAME}.evaluation.json"
    if noted.exists():  # the settings of the training determine the held-out products
        settings = Settings(**json.loads(noted.read_text(encoding="utf-8"))["settings"])
    return evaluate(settings, output, workers=workers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return console.run("tools.products", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    settings = Settings(
        seed=options.seed, families=options.families, photos=options.photos, epochs=options.epochs
    )
    act = _evaluate if options.evaluate else _make
    try:
        figures = act(settings, options.output, options.work, options.workers)
    except KeyboardInterrupt:
        console.say("tools.products", "stopped; the same command continues from the last checkpoint")
        return console.INTERRUPTED
    print(json.dumps(figures, indent=2))
    return 0
