"""Measure what each int8 step gains on your own models: build every recipe variant and compare them on the same images.

python -m tools.ablation --models face.tflite other.onnx --size 112x112 --color rgb --range 0..255 \\
    --calibration crops/ --images people/

Ranges and searches use only the calibration images; all printed figures are measured on the labelled images.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.cli import add_contract, input_contract, share
from converters.data.calibration import CalibrationSet, read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.evaluate.metrics import (
    AllPairs,
    ScoreNoise,
    SmoothedDifference,
    Unsupported,
    pooled_difference,
    score_noise,
)
from converters.graph.graph import indices
from converters.graph.latency import time_ratio
from converters.graph.network import Network
from converters.progress import stage
from converters.quantize.budget import CosineBudget
from converters.quantize.error_rate_budget import LabelledCrops, read_labelled
from converters.quantize.int8 import quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.search import search
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel, read_float_model
from edge_sdk import console
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract

SCHEMA = "edge-sdk/int8-ablation/2"
VERIFICATION_IMAGES = 16
#: Name of a variant, its changes to the plain recipe, and kinds of operators that stay in float. After these variants,
#: the recipe found by a search is measured, complete and without each of its parts.
Step = tuple[str, dict[str, Any], tuple[str, ...]]
_ALL = {"equalize": "all", "bias_correction": True, "ranges": "mse"}
STEPS: tuple[Step, ...] = (
    ("plain", {}, ()),
    ("bias correction alone", {"bias_correction": True}, ()),
    ("least-error ranges alone", {"ranges": "mse"}, ()),
    ("equalize depthwise", {"equalize": "depthwise"}, ()),
    ("equalize all (E)", {"equalize": "all"}, ()),
    ("E, weight share 0.3", {"equalize": "all", "weight_share": 0.3}, ()),
    ("E, weight share 0.7", {"equalize": "all", "weight_share": 0.7}, ()),
    ("E, mirrored slopes", {"equalize": "all", "bound_slopes": True}, ()),
    ("E, bias correction", {"equalize": "all", "bias_correction": True}, ()),
    ("E, least-error ranges", {"equalize": "all", "ranges": "mse"}, ()),
    ("E, depthwise in float", {"equalize": "all"}, ("DEPTHWISE_CONV_2D",)),
    ("E, depthwise and additions (F)", {"equalize": "all"}, ("DEPTHWISE_CONV_2D", "ADD")),
    ("E, F, bias", {"equalize": "all", "bias_correction": True}, ("DEPTHWISE_CONV_2D", "ADD")),
    ("E, F, bias, least-error ranges", _ALL, ("DEPTHWISE_CONV_2D", "ADD")),
)
#: Variants of a recipe that leaves nothing in float, mirrors slopes and decomposes PReLU.
INTEGER_STEPS: tuple[Step, ...] = (
    *(step for step in STEPS if not step[2] and step[0] != "E, mirrored slopes"),
    ("E, bias, least-error ranges", _ALL, ()),
    ("E, slopes as they are", {"equalize": "all", "bound_slopes": False}, ()),
    ("E, every operator as it is", {"equalize": "all", "decomposed": ()}, ()),
)


def _ratio(value: float | None) -> str:
    return f"{'?':>6}" if value is None else f"{value:>5.2f}x"


@dataclass(frozen=True)
class Row:
    """Measurements of one variant of one model.

    Args:
        what: Name of the variant.
        cosine_mean: Mean cosine of an image's float and int8 embeddings, over the labelled images.
        cosine_min: Lowest of these cosines.
        noise: Noise of the scores of different subjects.
        difference: Smoothed TAR of int8 minus that of float32, pooled over FMR 1e-4..1e-2, or the reason why it is unknown.
        time_ratio: Least processor time of an inference divided by that of float32, measured alternately in one run; None if it is unreliable under the load.
        float_operators: Number of operators that the recipe leaves in float.
        recipe: The recipe, which can be replayed.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    noise: ScoreNoise
    difference: SmoothedDifference | Unsupported
    time_ratio: float | None
    float_operators: int
    recipe: Recipe

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        values = {"noise": self.noise, "difference": self.difference, "recipe": self.recipe}
        return {**vars(self), **{name: value.to_json() for name, value in values.items()}}

    def line(self) -> str:
        """Return the row as text for a terminal; differences in percentage points of TAR."""
        return (
            f"{self.what:<34} {self.cosine_mean:.4f} / {self.cosine_min:.4f}  {self.noise.sd:.4f}"
            f" {100 * self.noise.relative:>3.0f} %  {_points(self.difference):<26}"
            f" {_ratio(self.time_ratio)} {self.float_operators:>3}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.ablation", description=(__doc__ or "").split("\n")[0]
    )
    add = parser.add_argument
    add("--models", nargs="+", type=Path, required=True, help="trained models that share one input contract")
    add("--calibration", type=Path, required=True, help="folder of crops for ranges and searches")
    add("--images", type=Path, required=True, help="labelled crops to measure on, as subject/image")
    add(
        "--recipe",
        default="cpu_int8",
        choices=("cpu_int8", "full_int8"),
        help="recipe that the variants change (default: cpu_int8)",
    )
    add(
        "--min-cosine",
        type=share,
        default=0.997,
        help="mean cosine that the search aims at, 0..1 (default: 0.997)",
    )
    add("--no-search", action="store_true", help="measure only the steps, without a search")
    add("--json", action="store_true", help="print JSON instead of a table")
    add_contract(parser)
    parser.set_defaults(parser=parser)
    arguments = parser.parse_args(argv)
    return console.run("ablation", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    contract, _ = input_contract(arguments)
    images = read_calibration(str(arguments.calibration), contract)
    with stage("read labelled images") as progress:
        labelled = read_labelled(arguments.images, contract, progress=progress)
    results = []
    for path in arguments.models:
        model = read_float(path, contract, images)
        rows = []
        if not arguments.json:
            print(f"{path.name}: {len(labelled)} images of {labelled.data_set}")
            print(
                f"{'variant':<34} {'cosine to float':<15}  {'score noise':<13} {'TAR difference, points':<26} {'time':>6} float"
            )
        for row in ablate(
            model,
            images,
            labelled,
            recipe=arguments.recipe,
            min_cosine=0.0 if arguments.no_search else arguments.min_cosine,
        ):
            rows.append(row.to_json())
            if not arguments.json:
                print(row.line(), flush=True)
        results.append({"model": path.name, "source": model.source, "rows": rows})
    if arguments.json:
        data = {"name": labelled.data_set, "sha256": labelled.sha256, "images": len(labelled)}
        value = {"schema": SCHEMA, "data_set": data, "models": results}
        print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
    return 0


def read_float(path: Path, contract: InputContract, images: CalibrationSet) -> FloatModel:
    """Read a trained model as a float network, in the same way as ``edge-convert convert``."""
    inputs = real_inputs(images.held_out.pixels[:VERIFICATION_IMAGES], contract)
    with stage(f"convert {path.name} to float"):
        return read_float_model(path, contract=contract, inputs=inputs)


def ablate(
    model: FloatModel,
    images: CalibrationSet,
    labelled: LabelledCrops,
    *,
    recipe: str = "cpu_int8",
    min_cosine: float = 0.997,
) -> Iterator[Row]:
    """Build and measure every variant of one model, one row at a time.

    Args:
        model: The float network.
        images: Calibration images for ranges and the search.
        labelled: Images to measure on.
        recipe: Name of the shipped recipe that the variants change.
        min_cosine: Mean cosine that the search aims at; 0 omits the search.
    """
    with stage("calibrate") as progress:
        channels = channel_statistics(model.network, model.contract, images.ranges.pixels, progress=progress)
    with stage("measure float32") as progress:
        vectors = embed_crops(model.network, model.contract, labelled.pixels, progress=progress)
    baseline = AllPairs(vectors, labelled.subjects)

    def row(what: str, recipe: Recipe) -> Row:
        with stage(what) as progress:
            network = quantize_int8(
                model.network, recipe, channels, model.contract, images.ranges.pixels, progress=progress
            ).network
            embeddings = embed_crops(network, model.contract, labelled.pixels, progress=progress)
        cosines = cosine(vectors, embeddings)
        candidate = AllPairs(embeddings, labelled.subjects)
        difference = pooled_difference(baseline, candidate)
        noise = score_noise(vectors, embeddings, subjects=labelled.subjects)
        ratio = time_ratio(network, model.network, model.contract, labelled.pixels[0])
        kept = len(recipe.keep_float)
        return Row(
            what,
            float(cosines.mean()),
            float(cosines.min()),
            noise,
            difference,
            None if ratio.unreliable else ratio.value,
            kept,
            recipe,
        )

    plain = shipped(recipe)
    for what, change, kinds in INTEGER_STEPS if plain.quantizer == "integer" else STEPS:
        yield row(what, replace(plain, **change, keep_float=_of_kind(model.network, kinds)))
    if min_cosine:
        best = search(model, images, plain, budget=CosineBudget(min_cosine)).recipe
        for what, recipe in _without_each_part(best):
            yield row(what, recipe)


def _without_each_part(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield a recipe, then one variant for each of its parts that lacks this part."""
    yield "search", recipe
    for what, change in (
        ("without equalization", {"equalize": ""}),
        ("with min/max ranges", {"ranges": "min_max"}),
        ("without bias correction", {"bias_correction": False}),
        ("without float operators", {"keep_float": ()}),
    ):
        simpler = replace(recipe, **change)
        if simpler != recipe:
            yield f"search, {what}", simpler


def _of_kind(network: Network, kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the output names of operators of these kinds, without the outputs of the network, which stay int8."""
    graph = network.graph
    outputs = [indices(op.outputs)[0] for op in graph.operators if graph.op_name(op) in kinds]
    return tuple(sorted(graph.name(output) for output in outputs if output not in graph.outputs))


def _points(difference: SmoothedDifference | Unsupported) -> str:
    if isinstance(difference, Unsupported):
        return difference.reason
    low, high = difference.interval.low, difference.interval.high
    return f"{100 * difference.difference:+.2f} ({100 * low:+.2f} .. {100 * high:+.2f})"


if __name__ == "__main__":
    sys.exit(main())
