"""Compare backbones: train each briefly and equally, convert it, and measure size, time, and the loss of int8.

python -m tools.compare_backbones --output work/backbones

Without ``--images`` the networks are trained on photographs of drawn products, and measured on the products of samples/products,
whose brands are not among them. ``--networks`` takes NAME:WIDTH. Trained files in the output folder are used again,
so other settings need another folder. ``--steps 0`` measures untrained networks: size, time, and a
linear model of the time of a layer, which ``python -m tools.compare_widths --budget time=MS --rates`` reads.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.progress import stage
from edge_sdk import console
from edge_sdk.model.card import InputContract
from edge_train.backbones import BACKBONES
from edge_train.data.subjects import Subjects
from edge_train.errors import PlanError
from edge_train.search.budget import work_of
from edge_train.search.fit import fit_rates
from tools.short_training import ShortTraining, error_rates, split_by_prefix

if TYPE_CHECKING:
    from converters.graph.network import Network
    from converters.sources.float_model import FloatModel

SCHEMA = "edge-sdk/backbone-comparison/1"
#: Widths with which the networks do nearly equal work at the default size.
NETWORKS = ("quantized:0.75", "mobilefacenet:0.3", "mobilenet_v2:0.2", "mobilenet_v3_small:0.6")
#: Recipes and short names of the measured int8 networks.
RECIPES = {"cpu_int8": "int8, float where it is faster", "full_int8": "full int8"}
_NPU_RECIPE, _ACCELERATOR = "ethos_u_int8", "ethos-u55-128"
_PRODUCTS, _PHOTOS, _CALIBRATION, _WITNESSES = 240, 8, 200, 8
_SEED = 20_261
#: Times are fitted if there are more networks than this.
_FITTED = 5


@dataclass(frozen=True)
class Precision:
    """An artefact of a network.

    Args:
        bytes: Size of the network.
        eer: EER on the evaluation subjects.
        tar: TAR at FMR 1e-2.
        cosine: Mean cosine to the float network's embeddings.
        ms: Processor time of an inference on one thread of this computer.
        ratio: This time as a share of the float network's; None if it is unreliable.
    """

    bytes: int
    eer: float
    tar: float
    cosine: float
    ms: float
    ratio: float | None


@dataclass(frozen=True)
class Row:
    """Figures of a backbone.

    Args:
        name: Backbone and width.
        parameters: Number of parameters after folding.
        macs: Multiplications of an inference.
        training_s: Processor time of the training; None if the file was trained by an earlier run.
        precisions: The float network and the int8 networks, by recipe.
        npu_ms: Estimate of vela for an Ethos-U55-128 at its default clock; None if vela is not installed.
        npu_cpu_operators: Operators that vela leaves to the CPU.
        work: Terms of a linear model of time (``edge_train.search.budget.work_of``).
    """

    name: str
    parameters: int
    macs: int
    training_s: float | None
    precisions: Mapping[str, Precision]
    npu_ms: float | None
    npu_cpu_operators: int
    work: Mapping[str, float]

    def times(self) -> dict[str, float]:
        """Return the time of each artefact in ms, that of the NPU as ``npu``."""
        times = {recipe: part.ms for recipe, part in self.precisions.items()}
        return times if self.npu_ms is None else {**times, "npu": self.npu_ms}


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network and its artefacts, before their times are measured."""

    name: str
    training_s: float | None
    model: FloatModel
    networks: Mapping[str, Network]
    npu: tuple[float, int] | None
    work: Mapping[str, float]


def train_and_convert(
    name: str, width: float, task: ShortTraining, calibration: np.ndarray, work: Path, *, seed: int
) -> Trained:
    """Train a backbone, or read it if it is trained already, and quantize it by each recipe.

    Args:
        name: Name of the backbone.
        width: Its width.
        task: Pictures and training.
        calibration: Images for the ranges of int8, shape (N, H, W, C), uint8.
        work: Folder for the trained file.
        seed: Seed of weights and batches.
    """
    import keras

    from converters.data.calibration import real_inputs
    from converters.quantize.int8 import quantize_int8
    from converters.quantize.recipe import shipped
    from converters.quantize.statistics import channel_statistics
    from converters.sources.float_model import read_float_model
    from edge_train.backbones import build_backbone
    from edge_train.backbones.channels import structure

    path = work / f"{name}-{width:g}.keras"
    if path.exists():
        backbone, seconds = keras.saving.load_model(path, compile=False), None
    else:
        backbone = build_backbone(
            name, input_shape=task.contract.shape, dimension=task.dimension, width=width, seed=seed
        )
        seconds = task.train(backbone, seed=seed) if task.steps else 0.0
        unfinished = path.with_name(f"unfinished-{path.name}")
        backbone.save(unfinished)
        unfinished.replace(path)
    with stage(f"convert {path.name}"):
        model = read_float_model(
            path, contract=task.contract, inputs=real_inputs(calibration[:_WITNESSES], task.contract)
        )
        statistics = channel_statistics(model.network, task.contract, calibration)
        networks = {
            recipe: quantize_int8(
                model.network, shipped(recipe), statistics, task.contract, calibration
            ).network
            for recipe in (*RECIPES, _NPU_RECIPE)
        }
    npu = _npu_estimate(networks.pop(_NPU_RECIPE))
    parts = structure(backbone)
    work_terms = work_of(parts.work, parts.channels)
    return Trained(
        f"{name} {width:g}", seconds, model, {"float32": model.network, **networks}, npu, work_terms
    )


def _npu_estimate(network: Network) -> tuple[float, int] | None:
    from converters.targets.ethos_u.compiler import Configuration, compile_network, installed

    if not installed():
        return None
    compiled = compile_network(network, Configuration(_ACCELERATOR))
    return compiled.milliseconds, len(compiled.cpu_operators)


def measure(trained: Sequence[Trained], task: ShortTraining) -> tuple[list[Row], str]:
    """Measure accuracy and time of all networks; the times of all of them are measured in turns.

    Returns:
        The rows and the conditions of the measurement of times.
    """
    from converters.data.embedding import embed_crops
    from converters.graph.latency import measure as measure_times
    from converters.graph.latency import network_calls
    from converters.graph.multiplications import multiplications
    from edge_sdk.matching import cosine

    pixels = task.evaluation_pixels
    everything = [network for item in trained for network in item.networks.values()]
    calls = network_calls(everything, task.contract, pixels[0])
    with stage("measure times"):
        times = measure_times(calls)
    rows = []
    for item in trained:
        reference = item.networks["float32"]
        with stage(f"measure {item.name}"):
            baseline = embed_crops(reference, task.contract, pixels)
        precisions = {}
        for recipe, network in item.networks.items():
            vectors = baseline if network is reference else embed_crops(network, task.contract, pixels)
            ratio = times.ratio(network, reference)
            precisions[recipe] = Precision(
                bytes=len(network.data),
                cosine=float(cosine(baseline, vectors).mean()),
                ms=times.calls[network].processor_ms,
                ratio=None if ratio.unreliable else ratio.value,
                **error_rates(vectors, task.evaluation.labels),
            )
        graph = item.model.network.graph
        rows.append(
            Row(
                item.name,
                sum(int(np.prod(graph.shape(index))) for index in _constants(graph)),
                sum(multiplications(graph).values()),
                item.training_s,
                precisions,
                None if item.npu is None else item.npu[0],
                0 if item.npu is None else item.npu[1],
                item.work,
            )
        )
    return rows, times.describe()


def _constants(graph: Any) -> list[int]:
    """Return the float constants of a network, each once."""
    from converters.graph.graph import indices

    used = {index for operator in graph.operators for index in indices(operator.inputs)}
    return [
        index
        for index in sorted(used)
        if graph.constant(index) is not None and graph.dtype_name(index) == "float32"
    ]


def time_models(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Fit the rates of a layer for each artefact, with the largest relative error of networks left out of the fit."""
    models = {}
    for target in rows[0].times():
        samples = [(row.work, row.times()[target]) for row in rows]
        errors = []
        for place, (work, time_ms) in enumerate(samples):
            predicted = fit_rates([*samples[:place], *samples[place + 1 :]]).of_terms(work)
            errors.append(abs(predicted / time_ms - 1))
        models[target] = {"rates": asdict(fit_rates(samples)), "largest_error": max(errors)}
    return models


def table(rows: Sequence[Row], *, accuracy: bool = True) -> str:
    """Return the rows as Markdown tables: work, size and time; accuracy in float and in int8 if the networks are trained."""
    lines = [
        "| backbone | parameters | multiplications | float, KB | int8, KB | float, ms | int8, ms | full int8, ms"
        " | Ethos-U55-128, ms (vela) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        exact, mixed, whole = (row.precisions[name] for name in ("float32", *RECIPES))
        lines.append(
            f"| {row.name} | {row.parameters:,} | {row.macs / 1e6:.1f} M | {exact.bytes / 1e3:,.0f} |"
            f" {whole.bytes / 1e3:,.0f} | {exact.ms:.2f} | {_time(mixed)} | {_time(whole)} | {_npu(row)} |"
        )
    if not accuracy:
        return "\n".join(lines)
    lines += [
        "",
        "| backbone | EER float | EER int8 | EER full int8 | TAR float | TAR int8 | TAR full int8 | cosine int8"
        " | cosine full int8 | training, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        parts = [row.precisions[name] for name in ("float32", *RECIPES)]
        figures = [f"{part.eer:.4f}" for part in parts] + [f"{part.tar:.4f}" for part in parts]
        figures += [f"{part.cosine:.4f}" for part in parts[1:]]
        seconds = "" if row.training_s is None else f"{row.training_s:.0f}"
        lines.append(f"| {row.name} | {' | '.join(figures)} | {seconds} |")
    return "\n".join(lines)


def _time(part: Precision) -> str:
    return f"{part.ms:.2f} ({'?' if part.ratio is None else f'{part.ratio:.2f}x'})"


def _npu(row: Row) -> str:
    if row.npu_ms is None:
        return ""
    outside = f", {row.npu_cpu_operators} operators on the CPU" if row.npu_cpu_operators else ""
    return f"{row.npu_ms:.2f}{outside}"


def draw_products(folder: Path) -> None:
    """Draw photographs of products for the training into ``folder/SUBJECT/IMAGE``; those that exist stay."""
    from tools.products.catalogue import product
    from tools.products.photos import take_photo

    with stage("draw photographs") as progress:
        for number in range(_PRODUCTS):
            subject = folder / f"product{number:04}"
            subject.mkdir(parents=True, exist_ok=True)
            for photo in range(_PHOTOS):
                path = subject / f"{photo}.jpg"
                if not path.exists():
                    path.write_bytes(take_photo(product(_SEED, number // 2, number % 2), photo))
            progress(number + 1, _PRODUCTS)


def _subjects(arguments: argparse.Namespace) -> tuple[Subjects, Subjects]:
    from converters.data.samples import open_samples

    if arguments.images is not None:
        if not arguments.held_out:
            arguments.parser.error("--images needs --held-out")
        return split_by_prefix(arguments.images, arguments.held_out)
    folder = arguments.output / "photographs"
    draw_products(folder)
    root = Path(__file__).resolve().parents[1]
    return (
        Subjects.of(open_samples(folder)),
        Subjects.of(open_samples(root / "samples" / "products" / "evaluation")),
    )


def _networks(texts: Sequence[str]) -> list[tuple[str, float]]:
    networks = []
    for text in texts:
        name, _, width = text.partition(":")
        try:
            networks.append((name, float(width or 1)))
        except ValueError as error:
            raise PlanError(f"networks: expected NAME:WIDTH, found {text!r}") from error
        if name not in BACKBONES:
            raise PlanError(f"networks: expected one of {', '.join(BACKBONES)}, found {name!r}")
    return networks


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.compare_backbones", description=(__doc__ or "").split("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for photographs, trained files and tables")
    add("--images", type=Path, help="labelled pictures, as subject/image (default: drawn products)")
    add("--held-out", nargs="+", help="beginnings of the names of the subjects to measure")
    add("--networks", nargs="+", default=NETWORKS, metavar="NAME:WIDTH", help="default: %(default)s")
    add("--size", type=int, default=64, help="side of the input in pixels (default: %(default)s)")
    add("--color", default="rgb", choices=("rgb", "gray"), help="default: %(default)s")
    add("--dimension", type=int, default=96, help="length of the embedding (default: %(default)s)")
    add("--steps", type=int, default=300, help="steps of each training, 0 for none (default: %(default)s)")
    add("--learning-rate", type=float, default=5e-3, help="peak learning rate (default: %(default)s)")
    add("--augmentation", default="none", help="set of augmentations (default: %(default)s)")
    add("--seed", type=int, default=1, help="seed of weights and batches (default: %(default)s)")
    parser.set_defaults(parser=parser)
    arguments = parser.parse_args(argv)
    return console.run("compare_backbones", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    networks = _networks(arguments.networks)
    arguments.output.mkdir(parents=True, exist_ok=True)
    training, evaluation = _subjects(arguments)
    channels = 3 if arguments.color == "rgb" else 1
    task = ShortTraining(
        training,
        evaluation,
        InputContract(
            arguments.size, arguments.size, arguments.color, (127.5,) * channels, (128.0,) * channels
        ),
        arguments.dimension,
        arguments.steps,
        arguments.learning_rate,
        arguments.augmentation,
    )
    step = max(1, len(training.flat) // _CALIBRATION)
    calibration = np.stack(
        [training.samples.at_size(sample, task.contract) for sample in training.flat[::step]]
    )
    trained = []
    for name, width in networks:
        trained.append(
            train_and_convert(name, width, task, calibration, arguments.output, seed=arguments.seed)
        )
        print(f"{time.strftime('%H:%M:%S')} {trained[-1].name}", file=sys.stderr, flush=True)
    rows, conditions = measure(trained, task)
    text = table(rows, accuracy=arguments.steps > 0)
    models = time_models(rows) if len(rows) > _FITTED else {}
    for target, model in models.items():
        text += f"\n\nlinear model of the time of {target}: off by up to {model['largest_error']:.0%} for a network left out"
    (arguments.output / "backbones.md").write_text(text + "\n", encoding="utf-8")
    value = {
        "schema": SCHEMA,
        "conditions": conditions,
        "rows": [asdict(row) for row in rows],
        "time_models": models,
    }
    (arguments.output / "backbones.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    print(text)
    print(f"\n{conditions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
