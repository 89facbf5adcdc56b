"""The parser of ``edge-train`` and the calls behind its options."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import add_targets, positive, size
from converters.cli.evaluation_arguments import count
from converters.errors import ConversionError
from converters.progress import logged_stages, stage
from edge_sdk import __version__, console
from edge_sdk.escaping import escaped
from edge_sdk.extras import install_command
from edge_train.backbones import BACKBONES
from edge_train.data.augment import SETS
from edge_train.errors import PlanError
from edge_train.losses import LOSSES

if TYPE_CHECKING:
    from edge_train.run import PlanSource

PROGRAM = "edge-train"
_SETTINGS = (
    "color",
    "backbone",
    "width",
    "dimension",
    "loss",
    "augmentation",
    "seed",
    "steps",
    "minutes",
)
_EXAMPLES = """examples:
  edge-train products/ --check
  edge-train products/ --output work/mine --target cpu --minutes 10
  edge-train products/ --output work/mine --plan small.toml
  edge-train products/ --output work/tuned --start mine.keras --minutes 10
  edge-train crops/ --output work/student --teacher teacher.onnx --unlabelled --evaluate people/
  edge-train letters/ --output work/letters --size 28x28 --color gray --augmentation drawings --steps 300

exit codes: 0 success, 1 the pictures do not pass --check or a target or a file was refused, 2 wrong usage, 3 any other error;
the output folder appears when it is complete, and after an interruption the same command continues"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # TensorFlow's messages about the processor would break the progress bar.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = build_parser()
    console.enable_completion(parser)
    return console.run(PROGRAM, lambda: _run(parser, argv))


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    try:
        arguments = parser.parse_args(argv)
        with logged_stages(PROGRAM):
            return _act(parser, arguments)
    except KeyboardInterrupt as stopped:
        console.say(PROGRAM, str(stopped) or "stopped; the same command continues with the finished stages")
        return console.INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("converters", "edge_sdk", "edge_train"):
            raise
        raise ConversionError(f"{error.name} is not installed", hint=install_command("train")) from error


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command."""
    parser = console.Parser(
        prog=PROGRAM,
        description="Train an embedding network on a folder of pictures, convert it to int8, and measure it.\n\n"
        "The pictures are in one folder per subject: PICTURES/SUBJECT/IMAGE. They are checked first, and split by subject\n"
        "into training, calibration and evaluation. The output has the float network, the converted files with thresholds\n"
        "in their cards, and a page.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "pictures",
        type=Path,
        metavar="PICTURES",
        help="folder, .tar or .zip with one folder of pictures per subject",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="new folder for the results; DIR.work holds an unfinished run",
    )
    add("--name", help="name of the model (default: the name of the output folder)")
    add_targets(parser, "targets to convert for, separated by commas; may be repeated (default: cpu)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=positive,
        metavar="N",
        help="longest time of the training, above 0; conversion and measurement are extra"
        " (default: 10, or the plan's)",
    )
    length.add_argument(
        "--steps", type=count, metavar="N", help="number of training steps, at least 1 (default: --minutes)"
    )
    add(
        "--split",
        type=Path,
        metavar="FILE.csv",
        help="file with the columns subject and part: train, calibration or evaluation (default: 70, 10 and 20 %% of the subjects)",
    )
    add("--json", action="store_true", help="print the result as JSON")
    add(
        "--no-pictures",
        action="store_true",
        help="leave pictures out of the page, because they may be personal data",
    )
    add("--tensorboard", action="store_true", help="also write event files for TensorBoard")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_settings(parser)
    _add_transfer(parser)
    _add_other(parser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings", "each option replaces the setting of the plan file")
    add = group.add_argument
    add(
        "--plan",
        type=Path,
        metavar="FILE.toml",
        help="file with settings, see docs/reference/training-plan.md (default: none)",
    )
    add(
        "--size",
        type=size,
        metavar="HxW",
        help="height and width of the network's input in pixels (default: 96x96)",
    )
    add("--color", choices=("rgb", "gray"), help="colour of the network's input (default: rgb)")
    add("--backbone", choices=sorted(BACKBONES), help="kind of network (default: quantized)")
    add(
        "--width",
        type=positive,
        metavar="FACTOR",
        help="factor for the number of channels, above 0 (default: 1)",
    )
    add(
        "--dimension",
        type=count,
        metavar="N",
        help="length of the embedding, 8..1024 (default: 64, 96 or 128, by the number of subjects)",
    )
    add(
        "--loss",
        choices=sorted(LOSSES),
        metavar="LOSS",
        help=f"one of {', '.join(sorted(LOSSES))} (default: arcface)",
    )
    add(
        "--augmentation",
        choices=sorted(SETS),
        help="set of random changes of the pictures (default: products)",
    )
    add("--seed", type=count, metavar="N", help="seed of all random choices (default: 0)")


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "other networks",
        "their input contract is NAME.contract.json beside the file, or the card of a .tflite file",
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--start",
        type=Path,
        metavar="FILE.keras",
        help="tune this network; it is measured before, and kept as it was if tuning does not help",
    )
    source.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="learn the embeddings of this network (.tflite, .onnx, .keras, ...) in place of the labels",
    )
    add = group.add_argument
    add(
        "--start-layer",
        metavar="NAME",
        help="layer of --start whose output is the embedding (default: the end, without a softmax head)",
    )
    add("--contract", type=Path, metavar="FILE.json", help="input contract of --start or --teacher")
    add(
        "--unlabelled",
        action="store_true",
        help="PICTURES has no folders of subjects; only with --teacher, and without --evaluate there are no error rates",
    )
    add(
        "--evaluate",
        type=Path,
        metavar="PICTURES",
        help="with --unlabelled: folder or archive with one folder per subject, for error rates and thresholds",
    )


def _add_other(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("without training").add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="check the pictures, print the report, and end")
    group.add_argument(
        "--augment-sheet",
        type=Path,
        metavar="FILE.png",
        help="write a contact sheet of augmented pictures, and end",
    )


def _act(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.check:
        if arguments.plan is not None:
            _plan(parser, arguments)
        return _check(arguments)
    if arguments.augment_sheet is None and arguments.output is None:
        parser.error("expected --output, --check or --augment-sheet, found none")
    _check_transfer(parser, arguments)
    plan = _plan(parser, arguments)
    if arguments.augment_sheet is not None:
        return _sheet(arguments, plan)
    from edge_train.run import TrainingRequest, run

    request = TrainingRequest(
        pictures=arguments.pictures,
        output=arguments.output,
        plan=plan,
        name=arguments.name,
        split=arguments.split,
        tensorboard=arguments.tensorboard,
        show_pictures=not arguments.no_pictures,
        start=arguments.start,
        start_layer=arguments.start_layer,
        teacher=arguments.teacher,
        contract=arguments.contract,
        unlabelled=arguments.unlabelled,
        evaluation=arguments.evaluate,
    )
    result = run(request)
    _print(arguments, result.to_json(), result.to_text())
    for refusal in result.values["refusals"]:
        console.say(PROGRAM, f"error: {refusal}")
    return 0 if result.passed else console.CLEAN_NEGATIVE


def _check_transfer(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse options that would change nothing."""
    refused = {
        "--start": (arguments.start is None, {"--start-layer": arguments.start_layer}),
        "--teacher": (arguments.teacher is None, {"--unlabelled": arguments.unlabelled}),
        "--unlabelled": (not arguments.unlabelled, {"--evaluate": arguments.evaluate}),
        "--start or --teacher": (
            arguments.start is None and arguments.teacher is None,
            {"--contract": arguments.contract},
        ),
    }
    for needed, (absent, options) in refused.items():
        for option, value in options.items():
            if absent and value:
                parser.error(f"{option}: expected {needed} with it, found none")
    idle = {
        "--start": (arguments.start, {"--backbone": arguments.backbone, "--width": arguments.width}),
        "--teacher": (arguments.teacher, {"--loss": arguments.loss}),
        "--unlabelled": (arguments.unlabelled, {"--split": arguments.split}),
    }
    for present, (given, options) in idle.items():
        for option, value in options.items():
            if given and value is not None:
                parser.error(f"{option}: has no effect with {present}")


def _plan(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> PlanSource:
    """Return the plan file with the settings of the options in place of its own."""
    from edge_train.run import PlanSource

    settings = {name: getattr(arguments, name) for name in _SETTINGS if getattr(arguments, name) is not None}
    if arguments.size is not None:
        settings["size"] = tuple(arguments.size)
    if arguments.target:
        settings["targets"] = tuple(dict.fromkeys(arguments.target))
    try:
        PlanSource(settings=settings)
    except PlanError as error:
        parser.error(str(error))  # the options contradict each other, whatever the file contains
    return PlanSource(file=arguments.plan, settings=settings)


def _check(arguments: argparse.Namespace) -> int:
    from edge_train.data.folder_check import check_folder

    with stage("check the pictures") as progress:
        report = check_folder(arguments.pictures, progress=progress)
    _print(arguments, report.to_json(), report.to_text())
    return console.CLEAN_NEGATIVE if report.refused else 0


def _sheet(arguments: argparse.Namespace, plan: PlanSource) -> int:
    from edge_train.run.augmentation import write_sheet

    write_sheet(arguments.pictures, plan, arguments.augment_sheet)
    console.say(PROGRAM, f"contact sheet written to {arguments.augment_sheet}")
    return 0


def _print(arguments: argparse.Namespace, value: Any, text: str) -> None:
    print(escaped(json.dumps(value, indent=1, ensure_ascii=False) if arguments.json else text))
