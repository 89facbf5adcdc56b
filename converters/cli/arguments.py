"""Arguments that commands share, and the form in which results are printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from converters.errors import ConversionError
from edge_sdk.errors import ModelCardError
from edge_sdk.escaping import escaped
from edge_sdk.model.array_contract import DTYPES, KIND, AnyContract, read_contract
from edge_sdk.model.card import COLORS

_PARTS = ("shape", "dtype", "size", "color", "mean", "scale", "range", "alignment")
_WIDTH = 90  # line width of descriptions, in characters


def add_command(
    commands: Any,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    *,
    examples: Sequence[str],
    details: str = "",
) -> argparse.ArgumentParser:
    """Add a command to ``edge-convert``.

    Args:
        commands: Result of ``add_subparsers``.
        name: Name of the command.
        summary: One line in the imperative, without capital and full stop.
        run: Does the work and returns the exit code.
        examples: Whole command lines without ``edge-convert``.
        details: Sentences to print after the summary in the command's own help.
    """
    description = summary[0].upper() + summary[1:] + "."
    lines = "\n".join(f"  edge-convert {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{description}\n\n{fill(details, _WIDTH)}" if details else description,
        epilog=f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run, parser=parser)
    return parser


def print_result(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Print a result on stdout: its JSON value with --json, otherwise its text."""
    print(escaped(json.dumps(value, indent=1, ensure_ascii=False) if arguments.json else text))


def add_targets(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the option --target with its help text."""
    parser.add_argument("--target", action="extend", type=_targets, metavar="TARGET", help=meaning)


def _targets(text: str) -> list[str]:
    from converters.pipeline.options import known_targets

    names = text.split(",")
    try:
        known_targets(names)
    except ConversionError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return names


def target(text: str) -> str:
    """Parse the name of one target."""
    names = _targets(text)
    if len(names) != 1:
        raise argparse.ArgumentTypeError(f"expected one target, found {text!r}")
    return names[0]


def add_allow_and_set(parser: argparse.ArgumentParser, *, allow: str = "") -> None:
    """Add the options --allow and --set for the rules and options of targets.

    Args:
        parser: Parser of the command.
        allow: What --allow accepts besides rules of targets, for its help.
    """
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="RULE",
        help="accept a network that this rule of a target refuses; the report still lists the violation;"
        f" {allow}may be repeated (default: accept none)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_target_option,
        metavar="TARGET.NAME=VALUE",
        help="set a target option, see docs/reference/targets.md; may be repeated",
    )


def _target_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise argparse.ArgumentTypeError(f"expected TARGET.NAME=VALUE, found {text!r}")
    return name, value


def add_contract(parser: argparse.ArgumentParser, *, required: bool = True, in_recipe: bool = False) -> None:
    """Add the options of the input contract.

    Args:
        parser: Parser of the command.
        required: The command has no other source of the contract, such as the model card of a file.
        in_recipe: A recipe file may contain the contract.
    """
    source = "required" if required else "default: the contract in the card of the file"
    if in_recipe:
        source = "default: the contract in the file of --recipe; required without one"
    group = parser.add_argument_group(
        "input contract", f"size and normalization of images, or shape and range of arrays ({source})"
    )
    group.add_argument(
        "--contract",
        type=Path,
        metavar="FILE.json",
        help='file with the input contract: {"size": [112, 112], "color": "rgb", "mean": 127.5, "scale": 128},'
        ' or {"kind": "array", "shape": [160, 40], "range": [0, 50]};'
        " options below may supply missing fields, not contradict it",
    )
    group.add_argument(
        "--shape",
        type=_shape,
        metavar="AxB",
        help="for a network that takes arrays in place of images: shape of one array without the batch, such as 160x40;"
        " needs --range, the smallest and largest value of an array",
    )
    group.add_argument("--dtype", choices=DTYPES, help="with --shape: type of the arrays (default: float32)")
    group.add_argument(
        "--size", type=size, metavar="HxW", help="input height and width in pixels, such as 112x112"
    )
    group.add_argument("--color", choices=sorted(COLORS), help="order of the color channels")
    group.add_argument(
        "--mean",
        type=_numbers,
        metavar="M[,M,M]",
        help="M in the formula (pixel - M) / S, with pixels 0..255: one number, or one per channel",
    )
    group.add_argument(
        "--scale",
        type=_numbers,
        metavar="S[,S,S]",
        help="S in the formula (pixel - M) / S, above 0: one number, or one per channel",
    )
    group.add_argument(
        "--range",
        type=_range,
        metavar="LOW..HIGH",
        help="input values of the network for the pixel values 0 and 255, such as -1..1; use it in place of --mean and --scale."
        " With --shape: smallest and largest value of an array",
    )
    group.add_argument(
        "--alignment",
        choices=("arcface",),
        help="landmark template to which the device aligns faces (default: no alignment)",
    )


def size(text: str) -> list[int]:
    """Parse HEIGHTxWIDTH in pixels."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 112x96, found {text!r}") from error
    return [height, width]


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.lower().split("x")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected AxB such as 160x40, found {text!r}") from error


def _numbers(text: str) -> float | list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected one number or one per channel, found {text!r}") from error
    return values[0] if len(values) == 1 else values


def _range(text: str) -> list[float]:
    try:
        low, high = (float(part) for part in text.split(".."))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected LOW..HIGH such as 0..255, found {text!r}") from error
    return [low, high]


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """Parse a number in 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in 0..1, found {text!r}")
    return value


def _contract_options(arguments: argparse.Namespace) -> dict[str, Any]:
    fields = {name: getattr(arguments, name) for name in _PARTS if getattr(arguments, name) is not None}
    arrays = [f"--{name}" for name in fields if name in ("shape", "dtype")]
    images = [f"--{name}" for name in fields if name in ("size", "color", "mean", "scale", "alignment")]
    if arrays and images:
        arguments.parser.error(
            f"{arrays[0]} describes arrays and {images[0]} describes images: expected options of one kind"
        )
    return {"kind": KIND, **fields} if "shape" in fields else fields


def _contract_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Merge the contract file with the options; a contradiction is an error."""
    options = _contract_options(arguments)
    if arguments.contract is None:
        return options
    try:
        value = json.loads(arguments.contract.read_bytes())
    except OSError as error:
        raise ModelCardError(f"{arguments.contract}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelCardError(f"{arguments.contract}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelCardError(f"{arguments.contract}: expected a JSON object, found {type(value).__name__}")
    for name in ("name", "version", "description", "licence"):
        if not isinstance(value.get(name, ""), str):
            raise ModelCardError(f"{arguments.contract}: {name}: expected text, found {value[name]!r}")
    for name, option in options.items():
        if name in value and value[name] != option:
            raise ModelCardError(
                f"--{name} is {option}, but {arguments.contract} has {value[name]}",
                hint="remove one of them",
            )
    return {**value, **options}


def input_contract(arguments: argparse.Namespace) -> tuple[AnyContract, dict[str, Any]]:
    """Return the input contract and all fields of options and file; an incomplete contract is a usage error."""
    return _complete_contract(arguments, _contract_fields(arguments))


def _complete_contract(
    arguments: argparse.Namespace, fields: dict[str, Any]
) -> tuple[AnyContract, dict[str, Any]]:
    if fields.get("kind") == KIND:
        if "range" not in fields or "shape" not in fields:
            arguments.parser.error("a contract of arrays needs --shape and --range (or --contract FILE.json)")
        return read_contract(fields), fields
    missing = [] if "size" in fields or "height" in fields else ["--size"]
    missing += [] if "color" in fields else ["--color"]
    if "range" not in fields and not ("mean" in fields and "scale" in fields):
        missing.append("--mean and --scale, or --range")
    if missing:
        arguments.parser.error(
            "the input contract is required and never guessed; missing:"
            f" {'; '.join(missing)} (or --contract FILE.json)"
        )
    return read_contract(fields), fields


def contract_of_recipe(arguments: argparse.Namespace) -> tuple[AnyContract | None, dict[str, Any]]:
    """Return the input contract and all fields as ``input_contract`` does; None if none of its fields is given."""
    fields = _contract_fields(arguments)
    given = any(part in fields for part in ("kind", "height", "width", *_PARTS))
    return _complete_contract(arguments, fields) if given else (None, fields)


def optional_contract(arguments: argparse.Namespace) -> AnyContract | None:
    """Return the input contract from options and file; None if neither is given."""
    fields = _contract_fields(arguments)
    return read_contract(fields) if fields else None
