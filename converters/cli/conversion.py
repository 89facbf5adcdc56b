"""``edge-convert convert``: its flags, and the options that they become."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import (
    add_allow_and_set,
    add_command,
    add_contract,
    add_targets,
    input_contract,
    positive,
    print_result,
    share,
)

if TYPE_CHECKING:
    from converters.pipeline.options import Distillation, Plain, Replay, Search

_DETAILS = """The input contract has no default, because the conversion of pixels to input values is part of the model. Give it with --size, --color and either --mean and --scale or --range, or as a file with --contract."""


def register(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "convert",
        "convert a model to files for targets and report their accuracy",
        _convert,
        examples=(
            "convert mobilefacenet.onnx --target cpu --size 112x112 --color rgb --range 0..255"
            " --calibration crops/ --output converted/",
        ),
        details=_DETAILS,
    )
    parser.add_argument(
        "model",
        type=Path,
        help="Keras .keras or .h5, SavedModel folder, ONNX, PyTorch .pt2, or float .tflite; or"
        " FILE.py:FUNCTION that returns a torch.nn.Module: that file's code is run as yours",
    )
    add_targets(parser, "what to convert for, one or several separated by commas (default: cpu)")
    add_allow_and_set(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        help="folder, .tar or .zip of crops as the device will see them",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the files; all of them or none"
    )
    parser.add_argument("--name", default=None, help="the model's name (default: the file's)")
    parser.add_argument("--version", default=None, help="the model's own version, for its card")
    parser.add_argument("--description", default=None, help="what the model is for, for its card")
    parser.add_argument("--licence", default=None, help="the model's licence, for its card")
    parser.add_argument(
        "--recipe",
        default="",
        metavar="auto|FILE",
        help="auto: search for the cheapest int8 recipe that keeps --max-fnmr-loss, or --min-cosine (0.995"
        " where not given); or a .recipe.json to replay; default: plain min/max int8",
    )
    parser.add_argument(
        "--recover",
        type=positive,
        metavar="MINUTES",
        help="train each int8 network so long, without labels, to answer as the float network does",
    )
    parser.add_argument(
        "--leaky-relu",
        type=share,
        metavar="SHARE",
        help="with --recover: replace PReLUs by LeakyReLUs, which stay in int8, for this share of what they compute",
    )
    parser.add_argument(
        "--min-cosine",
        type=share,
        help="fail with exit 1 where the mean cosine to float is below",
    )
    parser.add_argument(
        "--max-fnmr-loss",
        type=share,
        metavar="SHARE",
        help="with --recipe auto: stop at the first recipe whose FNMR on --images is at most so much above"
        " the float model's (0.01 is one point); exit 1 where there is none",
    )
    parser.add_argument(
        "--max-time-ratio",
        type=positive,
        metavar="RATIO",
        help="with --recipe auto, for a CPU: leave out recipes that take more of the float network's time on"
        " this machine (0.85 is 85 %%); exit 1 where none keeps the budget within it",
    )
    parser.add_argument(
        "--at-fmr", type=share, default=1e-3, metavar="FMR", help="FMR of --max-fnmr-loss (default: 0.001)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        help="labelled crops for --max-fnmr-loss, one folder per subject; measure the file on others",
    )
    add_contract(parser)


def _convert(arguments: argparse.Namespace) -> int:
    contract, said = input_contract(arguments)
    from converters import ConversionOptions, convert
    from converters.errors import OptionsError

    def text(flag: str, default: str) -> str:
        given = getattr(arguments, flag)
        return str(said.get(flag, default)) if given is None else str(given)

    try:
        options = ConversionOptions(
            model=arguments.model,
            contract=contract,
            calibration=arguments.calibration,
            output=arguments.output,
            targets=arguments.target or ("cpu",),
            allow=tuple(arguments.allow),
            settings=dict(arguments.set),
            name=text("name", "") or None,
            min_cosine=arguments.min_cosine or None,
            quantization=_quantization(arguments),
            distillation=_distillation(arguments),
            version=text("version", "1"),
            description=text("description", ""),
            licence=text("licence", ""),
        )
    except OptionsError as error:
        arguments.parser.error(str(error))
    report = convert(options)
    print_result(arguments, report.to_json(), f"{report.to_text()}\nwritten to {arguments.output}")
    return 0


def _quantization(arguments: argparse.Namespace) -> Plain | Replay | Search:
    """Read the flags that choose recipes; flags that belong to a search are refused without it."""
    from converters.pipeline.options import ErrorRateLimit, Plain, Replay, Search
    from converters.quantize.budget import CosineBudget

    if (arguments.max_fnmr_loss is None) != (arguments.images is None):
        arguments.parser.error("--max-fnmr-loss and --images belong together")
    if arguments.recipe != "auto":
        for flag, value in (
            ("max-fnmr-loss", arguments.images),
            ("max-time-ratio", arguments.max_time_ratio),
        ):
            if value is not None:
                arguments.parser.error(f"--{flag} takes --recipe auto")
        return Replay(Path(arguments.recipe)) if arguments.recipe else Plain()
    if arguments.images is not None:
        limit = ErrorRateLimit(arguments.images, arguments.max_fnmr_loss, arguments.at_fmr)
        return Search(limit, arguments.max_time_ratio)
    budget = CosineBudget(arguments.min_cosine) if arguments.min_cosine else CosineBudget()
    return Search(budget, arguments.max_time_ratio)


def _distillation(arguments: argparse.Namespace) -> Distillation | None:
    from converters.pipeline.options import Distillation

    if arguments.recover is not None:
        return Distillation(arguments.recover, arguments.leaky_relu or 0.0)
    if arguments.leaky_relu:
        arguments.parser.error("--leaky-relu takes --recover")
    return None
