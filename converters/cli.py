"""``edge-convert``: convert a trained embedding network, look into a file, measure it, compare files.

Exit codes: 0 done, 1 a gate was missed or a target refuses the network, 2 usage, 3 anything else that went wrong, with one line that says what.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters import auxiliary_cli, evaluation_cli
from converters.errors import GateError, TargetError
from edge_sdk import console
from edge_sdk.errors import ModelCardError
from edge_sdk.inference.card import COLORS, InputContract

_CONVERT_EXAMPLE = """example:
  edge-convert convert mobilefacenet.onnx --target cpu --size 112x112 --color rgb --range 0..255 \\
      --calibration crops/ --output converted/

The input contract is never guessed: how pixels become the network's numbers is part of the model. Say it
with --size, --color and either --mean and --scale for (pixel - mean) / scale, or --range LOW..HIGH for what
pixels 0 and 255 become; or put it into a file: {"size": [112, 112], "color": "rgb", "mean": 127.5,
"scale": 128}. Per-channel values are separated by commas.
"""
_INSPECT_EXAMPLE = """example:
  edge-convert inspect converted/mobilefacenet.cpu_int8.tflite
"""
_LINT_EXAMPLE = """examples:
  edge-convert lint mobilefacenet_float.tflite
  edge-convert lint mobilefacenet_int8.tflite --target cpu,edgetpu

A float network is held against what converting it for a target comes to, an integer file against how the
target runs it. Exit 1 where a target refuses it.
"""
_TARGETS_EXAMPLE = """example:
  edge-convert targets --markdown > docs/targets.md
"""
_EVALUATE_EXAMPLE = """examples:
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --images people/
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --images people/ --write-card
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --enrol enrolled/ --probes visitors/

Images lie in one folder per subject. A figure at FMR f takes 3 / f comparisons of different subjects; what
the data cannot support is said, with how many comparisons it would take. Embeddings are kept for the next
run where stderr says; they are biometric data, and removing that folder deletes them.
"""
_COMPARE_EXAMPLE = """example:
  edge-convert compare converted/mobilefacenet.float32.tflite converted/mobilefacenet.cpu_int8.tflite \\
      --images people/

Images in one folder per subject give error rates, their differences and the decisions that change; loose
images give the cosine of each image's embeddings alone.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # Two OpenBLAS threads are many times slower than one on problems of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = _parser()
    arguments = parser.parse_args(argv)
    return console.run(
        "edge-convert", lambda: int(arguments.run(arguments)), negatives=(GateError, TargetError)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-convert",
        description="Turn a trained embedding network into an int8 file for small hardware, and say what it is worth.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_convert(commands)
    _add_inspect(commands)
    _add_lint(commands)
    _add_targets_page(commands)
    _add_evaluate(commands)
    _add_compare(commands)
    _add_auxiliary(commands)
    return parser


def _command(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    return parser


def _add_convert(commands: Any) -> None:
    parser = _command(commands, "convert", "convert a model and report on what came out", _CONVERT_EXAMPLE)
    parser.add_argument(
        "model",
        type=Path,
        help="Keras .keras or .h5, SavedModel folder, ONNX, PyTorch .pt2, or float .tflite; or"
        " FILE.py:FUNCTION that returns a torch.nn.Module: that file's code is run as yours",
    )
    add_targets(parser, "what to convert for, one or several separated by commas (default: cpu)")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="RULE",
        help="take what a target refuses by this rule as it is; the report keeps it",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="TARGET.NAME=VALUE",
        help="tell a target something; docs/targets.md lists what",
    )
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
        default=0.0,
        metavar="MINUTES",
        help="train each int8 network so long, without labels, to answer as the float network does",
    )
    parser.add_argument(
        "--leaky-relu",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="with --recover: replace PReLUs by LeakyReLUs, which stay in int8, for this share of what they compute",
    )
    parser.add_argument(
        "--min-cosine",
        type=share,
        default=0.0,
        help="fail with exit 1 where the mean cosine to float is below",
    )
    parser.add_argument(
        "--max-fnmr-loss",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="with --recipe auto: stop at the first recipe whose FNMR on --images is at most so much above"
        " the float model's (0.01 is one point); exit 1 where there is none",
    )
    parser.add_argument(
        "--max-time-ratio",
        type=_ratio,
        default=0.0,
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
    parser.set_defaults(run=_convert, parser=parser)


def _add_inspect(commands: Any) -> None:
    parser = _command(
        commands, "inspect", "show a .tflite's card, operators, partitions and sizes", _INSPECT_EXAMPLE
    )
    parser.add_argument("file", type=Path, help="a .tflite, with or without a card")
    parser.set_defaults(run=_inspect)


def _add_lint(commands: Any) -> None:
    parser = _command(commands, "lint", "say what targets make of a .tflite, and what to do", _LINT_EXAMPLE)
    parser.add_argument("file", type=Path, help="a .tflite, float or integer")
    add_targets(parser, "which targets to ask, one or several separated by commas (default: all)")
    parser.set_defaults(run=_lint)


def _add_targets_page(commands: Any) -> None:
    parser = _command(
        commands, "targets", "list targets, what they run and what they refuse", _TARGETS_EXAMPLE
    )
    parser.add_argument("--markdown", action="store_true", help="the whole of docs/targets.md")
    parser.set_defaults(run=_targets)


def add_targets(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the flag that names targets."""
    parser.add_argument(
        "--target", action="extend", type=lambda text: text.split(","), metavar="TARGET", help=meaning
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise argparse.ArgumentTypeError(f"expected TARGET.NAME=VALUE, found {text!r}")
    return name, value


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands, "evaluate", "measure a file's error rates on labelled images", _EVALUATE_EXAMPLE
    )
    evaluation_cli.add_evaluate(parser)
    add_contract(parser)
    parser.set_defaults(run=_evaluate, parser=parser)


def _add_compare(commands: Any) -> None:
    parser = _command(commands, "compare", "compare files of one model on the same images", _COMPARE_EXAMPLE)
    evaluation_cli.add_compare(parser)
    add_contract(parser)
    parser.set_defaults(run=_compare, parser=parser)


def _add_auxiliary(commands: Any) -> None:
    parser = _command(
        commands,
        "auxiliary",
        "convert a face detector or a presentation attack detector",
        auxiliary_cli.EXAMPLE,
    )
    auxiliary_cli.add_auxiliary(parser, size=_size)
    parser.set_defaults(run=auxiliary_cli.auxiliary)


def add_contract(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how pixels become the network's numbers."""
    group = parser.add_argument_group("input contract", "how pixels become the network's numbers")
    group.add_argument("--contract", type=Path, metavar="FILE.json", help="a file that says all of it")
    group.add_argument("--size", type=_size, metavar="HxW", help="input height and width, such as 112x112")
    group.add_argument("--color", choices=sorted(COLORS), help="channel order")
    group.add_argument("--mean", type=_numbers, metavar="M[,M,M]", help="for (pixel - mean) / scale")
    group.add_argument("--scale", type=_numbers, metavar="S[,S,S]", help="for (pixel - mean) / scale")
    group.add_argument("--range", type=_range, metavar="LOW..HIGH", help="what pixels 0 and 255 become")
    group.add_argument(
        "--alignment",
        choices=("arcface",),
        help="which template crops of faces are aligned to; the device aligns to it",
    )


def _size(text: str) -> list[int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 112x96, found {text!r}") from error
    return [height, width]


def _numbers(text: str) -> float | list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number or one per channel, found {text!r}") from error
    return values[0] if len(values) == 1 else values


def _range(text: str) -> list[float]:
    try:
        low, high = (float(part) for part in text.split(".."))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected LOW..HIGH such as 0..255, found {text!r}") from error
    return [low, high]


def positive(text: str) -> float:
    """A number above zero from a flag."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """A number in 0..1 from a flag."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in 0..1, found {text!r}")
    return value


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def _contract_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("size", "color", "mean", "scale", "range", "alignment")
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _contract_file(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a contract file says, with what flags say on top."""
    flags = _contract_flags(arguments)
    if arguments.contract is None:
        return flags
    try:
        value = json.loads(arguments.contract.read_bytes())
    except OSError as error:
        raise ModelCardError(f"{arguments.contract}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelCardError(f"{arguments.contract}: expected JSON, found {error}") from error
    if not isinstance(value, dict):
        raise ModelCardError(f"{arguments.contract}: expected a JSON object, found {type(value).__name__}")
    for name in ("name", "version", "description", "licence"):
        if not isinstance(value.get(name, ""), str):
            raise ModelCardError(f"{arguments.contract}: {name}: expected text, found {value[name]!r}")
    contradicted = [name for name in flags if name in value and value[name] != flags[name]]
    if contradicted:
        name = contradicted[0]
        raise ModelCardError(
            f"--{name} says {flags[name]}, {arguments.contract} says {value[name]}: expected one answer"
        )
    return {**value, **flags}


def input_contract(arguments: argparse.Namespace) -> tuple[InputContract, dict[str, Any]]:
    """The input contract that flags and file say, and all that they say; missing parts are a usage error."""
    value = _contract_file(arguments)
    missing = [] if "size" in value or "height" in value else ["--size"]
    missing += [] if "color" in value else ["--color"]
    missing += (
        []
        if "range" in value or ("mean" in value and "scale" in value)
        else ["--mean and --scale, or --range"]
    )
    if missing:
        arguments.parser.error(
            f"the input contract is required and never guessed; missing: {'; '.join(missing)} (or --contract FILE.json)"
        )
    return InputContract.from_json(value), value


def _convert(arguments: argparse.Namespace) -> int:
    contract, said = input_contract(arguments)
    from converters.pipeline import Request, convert

    if bool(arguments.max_fnmr_loss) != (arguments.images is not None):
        arguments.parser.error("--max-fnmr-loss and --images belong together")
    if arguments.images is not None and arguments.recipe != "auto":
        arguments.parser.error("--max-fnmr-loss takes --recipe auto")
    if arguments.leaky_relu and not arguments.recover:
        arguments.parser.error("--leaky-relu takes --recover")
    if arguments.max_time_ratio and arguments.recipe != "auto":
        arguments.parser.error("--max-time-ratio takes --recipe auto")

    def text(flag: str, default: str) -> str:
        given = getattr(arguments, flag)
        return str(said.get(flag, default)) if given is None else str(given)

    request = Request(
        model=arguments.model,
        contract=contract,
        calibration=arguments.calibration,
        output=arguments.output,
        targets=arguments.target or ("cpu",),
        allow=tuple(arguments.allow),
        settings=dict(arguments.set),
        name=text("name", ""),
        min_cosine=arguments.min_cosine,
        recipe=arguments.recipe,
        recover=arguments.recover,
        leaky_share=arguments.leaky_relu,
        max_fnmr_loss=arguments.max_fnmr_loss,
        max_time_ratio=arguments.max_time_ratio,
        at_fmr=arguments.at_fmr,
        images=arguments.images,
        version=text("version", "1"),
        description=text("description", ""),
        licence=text("licence", ""),
    )
    report = convert(request)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    else:
        print(report.to_text())
        print(f"written to {arguments.output}")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from converters.inspection import inspect

    found = inspect(arguments.file)
    print(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if arguments.json else found.to_text())
    return 0


def _lint(arguments: argparse.Namespace) -> int:
    from converters.production import known_targets
    from converters.targets import TARGETS
    from converters.targets.lint import lint

    found = lint(arguments.file, known_targets(arguments.target or list(TARGETS)))
    print(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if arguments.json else found.to_text())
    return int(found.refused)


def _targets(arguments: argparse.Namespace) -> int:
    from converters.targets import TARGETS, page

    if arguments.json:
        print(json.dumps(page.to_json(TARGETS.values()), indent=1, ensure_ascii=False))
    elif arguments.markdown:
        print(page.to_markdown(TARGETS.values()), end="")
    else:
        print(page.to_text(TARGETS.values()))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    return evaluation_cli.evaluate(arguments, _optional_contract(arguments))


def _compare(arguments: argparse.Namespace) -> int:
    return evaluation_cli.compare(arguments, _optional_contract(arguments))


def _optional_contract(arguments: argparse.Namespace) -> InputContract | None:
    said = _contract_file(arguments)
    return InputContract.from_json(said) if said else None


if __name__ == "__main__":
    sys.exit(main())
