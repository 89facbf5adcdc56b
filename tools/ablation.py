"""What each int8 step is worth on your own models: every recipe variant, made and measured on the same images.

python -m tools.ablation --models face.tflite other.onnx --size 112x112 --color rgb --range 0..255 \\
    --calibration crops/ --images people/

Ranges and searches see the calibration images alone; everything printed is measured on the labelled ones.
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
from converters.evaluate.metrics import AllPairs, Interval, PairedDifference, Unsupported, paired_differences
from converters.graph.graph import Graph, indices
from converters.graph.latency import time_ratio
from converters.progress import stage
from converters.quantize.budget import CosineBudget, LabelledCrops, read_labelled
from converters.quantize.int8 import make_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.search import search
from converters.quantize.statistics import channel_statistics
from converters.sources import read_source
from converters.sources.float_model import FloatModel, canonical
from edge_sdk import console
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract

SCHEMA = "edge-sdk/int8-ablation/1"
WITNESS_IMAGES = 16
#: Changes to the plain recipe, and kinds of operators that stay in float. What a search finds, and that without
#: each of its parts, comes after them.
Step = tuple[str, dict[str, Any], tuple[str, ...]]
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
    (
        "E, F, bias, least-error ranges",
        {"equalize": "all", "bias_correction": True, "ranges": "mse"},
        ("DEPTHWISE_CONV_2D", "ADD"),
    ),
)
#: The same for a recipe that leaves nothing in float, which mirrors slopes and spells PReLU out to begin with.
INTEGER_STEPS: tuple[Step, ...] = (
    *(step for step in STEPS if not step[2] and step[0] != "E, mirrored slopes"),
    (
        "E, bias, least-error ranges",
        {"equalize": "all", "bias_correction": True, "ranges": "mse"},
        (),
    ),
    ("E, slopes as they are", {"equalize": "all", "bound_slopes": False}, ()),
    ("E, every operator as it is", {"equalize": "all", "spelled": ()}, ()),
)


@dataclass(frozen=True)
class Row:
    """One variant of one model.

    Args:
        what: The variant in words.
        cosine_mean: Of an image's float and int8 embedding, over the labelled images.
        cosine_min: The least.
        difference: TAR of int8 minus TAR of float32 with its paired interval, or why there is none.
        time_ratio: Time of the fastest inference over that of float32, in turns within one run.
        float_operators: How many operators the recipe leaves in float.
        recipe: How it was made, to be replayed.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    difference: PairedDifference | Unsupported
    time_ratio: float
    float_operators: int
    recipe: Recipe

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "what": self.what,
            "cosine_mean": self.cosine_mean,
            "cosine_min": self.cosine_min,
            "difference": self.difference.to_dict(),
            "time_ratio": self.time_ratio,
            "float_operators": self.float_operators,
            "recipe": self.recipe.to_json(),
        }

    def line(self) -> str:
        """The row for a terminal; losses in points of TAR."""
        return (
            f"{self.what:<34} {self.cosine_mean:.4f} / {self.cosine_min:.4f}  {_points(self.difference):<26}"
            f" {self.time_ratio:>5.2f}x {self.float_operators:>3}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.ablation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--models", nargs="+", type=Path, required=True, help="trained models with one input contract"
    )
    parser.add_argument("--calibration", type=Path, required=True, help="crops for ranges and searches")
    parser.add_argument(
        "--images", type=Path, required=True, help="labelled crops, subject/image, to measure on"
    )
    parser.add_argument("--fmr", type=float, default=1e-3, help="where TAR is compared (default: 1e-3)")
    parser.add_argument(
        "--recipe",
        default="cpu_int8",
        choices=("cpu_int8", "full_int8"),
        help="what the variants change (default: cpu_int8)",
    )
    parser.add_argument("--min-cosine", type=share, default=0.997, help="what the search aims at")
    parser.add_argument(
        "--replicates", type=int, default=1000, help="of the interval's bootstrap (default: 1000)"
    )
    parser.add_argument("--no-search", action="store_true", help="the steps alone, without a search")
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    add_contract(parser)
    parser.set_defaults(parser=parser)
    arguments = parser.parse_args(argv)
    return console.run("ablation", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    contract, _ = input_contract(arguments)
    images = read_calibration(str(arguments.calibration), contract)
    with stage("read labelled images") as progress:
        labelled = read_labelled(arguments.images, contract, progress=progress)
    said = []
    for path in arguments.models:
        model = read_float(path, contract, images)
        rows = []
        if not arguments.json:
            print(f"{path.name}: {len(labelled)} images of {labelled.data_set}, TAR at FMR {arguments.fmr:g}")
            print(
                f"{'variant':<34} {'cosine to float':<16}  {'TAR difference, points':<26} {'time':>6} float"
            )
        for row in ablate(
            model,
            images,
            labelled,
            fmr=arguments.fmr,
            recipe=arguments.recipe,
            min_cosine=0.0 if arguments.no_search else arguments.min_cosine,
            replicates=arguments.replicates,
        ):
            rows.append(row.to_json())
            if not arguments.json:
                print(row.line(), flush=True)
        said.append({"model": path.name, "source": model.source, "rows": rows})
    if arguments.json:
        data = {"name": labelled.data_set, "sha256": labelled.sha256, "images": len(labelled)}
        value = {"schema": SCHEMA, "fmr": arguments.fmr, "data_set": data, "models": said}
        print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
    return 0


def read_float(path: Path, contract: InputContract, images: CalibrationSet) -> FloatModel:
    """The float network of a trained model, as ``edge-convert convert`` makes it."""
    inputs = real_inputs(images.held_out.pixels[:WITNESS_IMAGES], contract)
    with stage(f"convert {path.name} to float"):
        return canonical(read_source(path, contract=contract, inputs=inputs), contract, inputs)


def ablate(
    model: FloatModel,
    images: CalibrationSet,
    labelled: LabelledCrops,
    *,
    fmr: float = 1e-3,
    recipe: str = "cpu_int8",
    min_cosine: float = 0.997,
    replicates: int = 1000,
) -> Iterator[Row]:
    """Make and measure every variant of one model, one row at a time.

    Args:
        model: The float network.
        images: What ranges and the search see.
        labelled: What is measured on.
        fmr: Where TAR is compared; each network at its own threshold.
        recipe: The shipped recipe that the variants change.
        min_cosine: What a search aims at; 0 leaves the search out.
        replicates: Of the interval's bootstrap.
    """
    with stage("calibrate") as progress:
        channels = channel_statistics(model.network, model.contract, images.ranges.pixels, progress=progress)
    with stage("measure float32") as progress:
        vectors = embed_crops(model.network, model.contract, labelled.pixels, progress=progress)
    baseline = AllPairs(vectors, labelled.subjects)

    def row(what: str, recipe: Recipe) -> Row:
        with stage(what) as progress:
            network = make_int8(
                model.network,
                recipe,
                channels,
                model.contract,
                images.ranges.pixels,
                progress=progress,
            )
            found = embed_crops(network, model.contract, labelled.pixels, progress=progress)
        cosines = cosine(vectors, found)
        candidate = AllPairs(found, labelled.subjects)
        difference = paired_differences(baseline, candidate, fmrs=[fmr], replicates=replicates)[0]
        ratio = time_ratio(network, model.network, model.contract, labelled.pixels[0])
        kept = len(recipe.keep_float)
        return Row(what, float(cosines.mean()), float(cosines.min()), difference, ratio, kept, recipe)

    plain = shipped(recipe)
    for what, change, kinds in INTEGER_STEPS if plain.quantizer == "integer" else STEPS:
        yield row(what, replace(plain, **change, keep_float=_of_kind(model.network, kinds)))
    if min_cosine:
        found = search(model, images, plain, budget=CosineBudget(min_cosine)).recipe
        for what, recipe in _without_each(found):
            yield row(what, recipe)


def _without_each(found: Recipe) -> Iterator[tuple[str, Recipe]]:
    """A recipe, and the same without each of its parts."""
    yield "search", found
    if found.equalize:
        yield "search, without equalization", replace(found, equalize="")
    if found.ranges != "min_max":
        yield "search, with min/max ranges", replace(found, ranges="min_max")
    if found.bias_correction:
        yield "search, without bias correction", replace(found, bias_correction=False)
    if found.keep_float:
        yield "search, without float operators", replace(found, keep_float=())


def _of_kind(network: bytes, kinds: Sequence[str]) -> tuple[str, ...]:
    """Operators of these kinds by the name of their output; the network's own output stays int8."""
    graph = Graph.parse(network)
    outputs = [indices(op.outputs)[0] for op in graph.operators if graph.op_name(op) in kinds]
    return tuple(sorted(graph.name(output) for output in outputs if output not in graph.outputs))


def _points(found: PairedDifference | Unsupported) -> str:
    if isinstance(found, Unsupported):
        return found.reason
    text = f"{100 * found.difference:+.2f}"
    if isinstance(found.interval, Interval):
        text += f" ({100 * found.interval.low:+.2f} .. {100 * found.interval.high:+.2f})"
    return text


if __name__ == "__main__":
    sys.exit(main())
