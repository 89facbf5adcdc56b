"""Measure the time that the SDK adds to the bare interpreter, as a ratio within one run.

python -m tools.benchmark
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge_sdk import Embedder, console
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backends.litert import LiteRtBackend

ROUNDS, RUNS = 40, 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "models", nargs="*", type=Path, help="artefacts to measure (default: work/demo/*.tflite)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    return console.run("benchmark", lambda: benchmark(arguments.models, as_json=arguments.json))


def benchmark(models: Sequence[Path], *, as_json: bool) -> int:
    """Measure every model and print a table."""
    models = models or sorted(Path("work/demo").glob("*.tflite"))
    if not models:
        console.say("benchmark", "no models to measure; run make demo to build those of the reference model")
        return console.CLEAN_NEGATIVE
    rows = [measure_overhead(model) for model in models]
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'model':<44} {'invoke ms':>10} {'embed ms':>9} {'added':>7} {'of it':>7}  {'allocated':>10}")
    for row in rows:
        print(
            f"{row['model']:<44} {row['invoke_ms']:>10.3f} {row['embed_ms']:>9.3f} {row['added_ms']:>7.3f}"
            f" {100 * row['added_share']:>6.1f}%  {row['allocated_bytes']:>8} B"
        )
    print(
        "one thread, shortest of 40 rounds of 10 runs, invoke and embed alternately; aligned uint8 crops of the network's size"
    )
    return 0


def measure_overhead(model: Path) -> dict[str, float | str]:
    """Measure the time and memory that ``Embedder.embed`` adds to the bare ``invoke`` of the same network."""
    file = ModelFile.open(model)
    embedder = Embedder.open(model)
    bare = LiteRtBackend(file.data)
    crop = np.random.default_rng(0).integers(0, 256, file.card.input.shape, dtype=np.uint8)
    embedder.embed(crop)
    bare.invoke()
    invoke, embed = [], []
    for _ in range(ROUNDS):
        invoke.append(_per_run(bare.invoke))
        embed.append(_per_run(lambda: embedder.embed(crop)))
    tracemalloc.start()
    embedder.embed(crop)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Use the shortest of many rounds: other load on the machine only makes a round slower.
    invoke_ms, embed_ms = min(invoke), min(embed)
    return {
        "model": model.name,
        "invoke_ms": invoke_ms,
        "embed_ms": embed_ms,
        "added_ms": embed_ms - invoke_ms,
        "added_share": embed_ms / invoke_ms - 1,
        "allocated_bytes": peak,
    }


def _per_run(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(RUNS):
        work()
    return 1e3 * (time.perf_counter() - start) / RUNS


if __name__ == "__main__":
    sys.exit(main())
