"""``edge-convert convert``: convert a model to files for targets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import (
    add_allow_and_set,
    add_command,
    add_contract,
    add_targets,
    contract_of_recipe,
    input_contract,
    positive,
    print_result,
    share,
)
from edge_sdk.console import CLEAN_NEGATIVE, say

if TYPE_CHECKING:
    from converters.pipeline.options import Distillation, DrawnCalibration, Plain, Replay, Search
    from converters.refused import RefusedTarget


def register(commands: Any) -> None:
    """Add the command ``convert``."""
    parser = add_command(
        commands,
        "convert",
        "convert a model to files for targets and report their accuracy",
        _run,
        examples=(
            "convert mobilefacenet.onnx --size 112x112 --color rgb --range 0..255 --calibration crops/ --output out/",
            "convert face.tflite --target cpu --contract face.json --recipe auto --calibration crops/ --output out/",
            "convert face.tflite --recipe out/face.cpu_int8.recipe.json --output again/",
            "convert pose.tflite --task none --size 256x256 --color rgb --range 0..1 --calibration people/ --output out/",
        ),
        details="The input contract has no default, because the conversion of pixels to input values is part of the"
        " model. Give it as a file (--contract), or with --size, --color and a formula: --mean with --scale, or --range."
        " A recipe that a conversion saved contains the contract and the statistics of the calibration images, so that"
        " it can be replayed without both.",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="Keras .keras or .h5, SavedModel folder, ONNX, PyTorch .pt2 or float .tflite; or FILE.py:FUNCTION for a"
        " function that returns a torch.nn.Module; the code of FILE.py is run with your permissions",
    )
    add_targets(parser, "targets to convert for, separated by commas; may be repeated (default: cpu)")
    add_allow_and_set(
        parser,
        allow="contract accepts an input contract that the check of the contract refuses; collapse accepts a network that"
        " gives different images the same embedding; partitions accepts a network that XNNPACK splits, and integer one with"
        " further operators in float: both may be slow; ",
    )
    parser.add_argument(
        "--calibration",
        metavar="IMAGES|none",
        help="folder, .tar or .zip of calibration images: crops like those that the device will embed; or none to calibrate on"
        " drawn pictures, which costs accuracy (./none is a folder of that name). Required, except"
        " with --recipe FILE, whose recorded statistics are used if no images are given and measured again if images are"
        " given",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the files; a refused target gets none",
    )
    parser.add_argument(
        "--task",
        choices=("embedding", "none"),
        default="embedding",
        help="none converts a network of any other task, such as a pose network, with any named outputs: an ONNX file or a"
        " float .tflite. The report states the error of each output, and the exit code is 1 if one is half of its variation between images or more;"
        " the SDK does not decode them (default: embedding)",
    )
    parser.add_argument(
        "--output-name",
        metavar="NAME",
        help="output to convert, for a network with several outputs or with a classifier after the embedding: an output or any"
        " tensor of ONNX and TFLite, a layer of Keras, an output of a SavedModel, a key or number of PyTorch's outputs"
        " (default: the only output)",
    )
    parser.add_argument("--name", default=None, help="name of the model (default: the file name)")
    parser.add_argument("--version", default=None, help="version of the model for its card (default: 1)")
    parser.add_argument(
        "--description", default=None, help="purpose of the model for its card (default: empty)"
    )
    parser.add_argument("--licence", default=None, help="licence of the model for its card (default: empty)")
    _add_accuracy(parser)
    add_contract(parser, in_recipe=True)


def _add_accuracy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("accuracy of int8 files")
    group.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="auto|FILE",
        help="auto tries recipes in order of their cost on the device and takes the first within the limit:"
        " --max-fnmr-loss if given, otherwise --min-cosine, otherwise a cosine of 0.995. FILE is a .recipe.json of an"
        " earlier conversion to replay; repeat the option for several int8 files. (default: min/max quantization without a search)",
    )
    group.add_argument(
        "--min-cosine",
        type=share,
        metavar="COSINE",
        help="least mean cosine between the embeddings of a file and of the float file, 0..1; files below are not written,"
        " and the exit code is 1 (default: no limit)",
    )
    group.add_argument(
        "--max-fnmr-loss",
        type=share,
        metavar="SHARE",
        help="with --recipe auto: how much FNMR on --images may exceed that of the float model, 0..1 (0.01 is one"
        " percentage point). The increase is measured with smoothed scores, plus its standard error. The search stops at"
        " the first recipe within this limit. If no recipe meets the limit, exit with 1. (default: no limit)",
    )
    group.add_argument(
        "--at-fmr",
        type=share,
        default=1e-3,
        metavar="FMR",
        help="FMR at which --max-fnmr-loss is measured, 0..1 (default: 0.001)",
    )
    group.add_argument(
        "--images",
        type=Path,
        help="labelled crops for --max-fnmr-loss, one folder per subject; 3 / SHARE subjects with two or more images each;"
        " use other images for edge-convert evaluate",
    )
    group.add_argument(
        "--max-time-ratio",
        type=positive,
        metavar="RATIO",
        help="with --recipe auto, for CPU targets: longest inference time on this computer as a share of the float"
        " network's time, above 0 (0.85 is 85 %%). Exit with 1 if no recipe meets both limits, time and accuracy."
        " (default: no limit)",
    )
    group.add_argument(
        "--recover",
        type=positive,
        metavar="MINUTES",
        help="train each int8 network for this many minutes, above 0, to reproduce the output of the float network on"
        " unlabelled images (default: no training)",
    )
    group.add_argument(
        "--leaky-relu",
        type=share,
        metavar="SHARE",
        help="with --recover: share of the PReLU output values to compute with LeakyReLU instead, 0..1 (default: 0)",
    )


def _run(arguments: argparse.Namespace) -> int:
    contract, fields = (
        contract_of_recipe(arguments) if _recipe_files(arguments) else input_contract(arguments)
    )
    from converters import ConversionOptions, convert
    from converters.errors import OptionsError
    from converters.pipeline.replay import notes_on_sources

    def text(flag: str, default: str) -> str:
        given = getattr(arguments, flag)
        return str(fields.get(flag, default)) if given is None else str(given)

    try:
        options = ConversionOptions(
            model=arguments.model,
            contract=contract,
            calibration=_calibration(arguments.calibration),
            output=arguments.output,
            targets=arguments.target or ("cpu",),
            allow=tuple(arguments.allow),
            settings=dict(arguments.set),
            name=text("name", "") or None,
            output_name=arguments.output_name,
            min_cosine=arguments.min_cosine or None,
            quantization=_quantization(arguments),
            distillation=_distillation(arguments),
            version=text("version", "1"),
            description=text("description", ""),
            licence=text("licence", ""),
            task=arguments.task,
        )
    except OptionsError as error:
        arguments.parser.error(str(error))
    if options.task == "none":
        from converters.pipeline.any_task import convert_any_task

        outputs = convert_any_task(options)
        print_result(arguments, outputs.to_json(), f"{outputs.to_text()}\nwritten to {arguments.output}")
        _say_refusals(outputs.refused)
        for outcome in outputs.inaccurate:
            say(
                "edge-convert", f"error: {outcome.file} was written, but is too inaccurate: {outcome.problem}"
            )
        return 0 if outputs.passed else CLEAN_NEGATIVE
    for note in notes_on_sources(options):
        say("edge-convert", f"note: {note}")
    report = convert(options)
    print_result(arguments, report.to_json(), f"{report.to_text()}\nwritten to {arguments.output}")
    _say_refusals(report.refused)
    for file in report.refused_files:
        say("edge-convert", f"error: {file.error}; {file.file} was not written")
        if file.hint:
            say("edge-convert", f"hint: {file.hint}")
    for artefact in report.missed:
        say("edge-convert", f"error: {artefact.file} was written, but misses its budget: {artefact.goal}")
    return 0 if report.passed else CLEAN_NEGATIVE


def _say_refusals(refused: Sequence[RefusedTarget]) -> None:
    for target in refused:
        say("edge-convert", f"error: {target.error}; no files were written for {target.name}")
        if target.hint:
            say("edge-convert", f"hint: {target.hint}")


def _calibration(given: str | None) -> Path | DrawnCalibration | None:
    from converters.pipeline.options import DrawnCalibration

    if given is None:
        return None
    return DrawnCalibration() if given == "none" else Path(given)


def _quantization(arguments: argparse.Namespace) -> Plain | Replay | Search:
    """Return the quantization that the options select; search options without --recipe auto are a usage error."""
    from converters.pipeline.options import ErrorRateLimit, Plain, Replay, Search
    from converters.quantize.budget import CosineBudget

    if (arguments.max_fnmr_loss is None) != (arguments.images is None):
        arguments.parser.error("expected both --max-fnmr-loss and --images, found one of them")
    if "auto" in arguments.recipe and len(arguments.recipe) > 1:
        arguments.parser.error("--recipe: expected auto or recipe files, found both")
    if "auto" not in arguments.recipe:
        for flag, value in (
            ("max-fnmr-loss", arguments.images),
            ("max-time-ratio", arguments.max_time_ratio),
        ):
            if value is not None:
                arguments.parser.error(f"--{flag} requires --recipe auto")
        return Replay(_recipe_files(arguments)) if arguments.recipe else Plain()
    if arguments.images is not None:
        limit = ErrorRateLimit(arguments.images, arguments.max_fnmr_loss, arguments.at_fmr)
        return Search(limit, arguments.max_time_ratio)
    budget = CosineBudget(arguments.min_cosine) if arguments.min_cosine else CosineBudget()
    return Search(budget, arguments.max_time_ratio)


def _recipe_files(arguments: argparse.Namespace) -> tuple[Path, ...]:
    return tuple(Path(name) for name in arguments.recipe if name != "auto")


def _distillation(arguments: argparse.Namespace) -> Distillation | None:
    from converters.pipeline.options import Distillation

    if arguments.recover is not None:
        return Distillation(arguments.recover, arguments.leaky_relu or 0.0)
    if arguments.leaky_relu:
        arguments.parser.error("--leaky-relu requires --recover")
    return None
