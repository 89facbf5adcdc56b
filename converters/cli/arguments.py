"""What commands share: how one is added, targets, numbers, and the input contract from flags and file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, TargetPluginError
from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import COLORS, InputContract


def add_command(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Add one command.

    Args:
        commands: What ``add_subparsers`` gave.
        name: One word.
        summary: A line without capital and full stop.
        example: Whole command lines, and what else there is to say.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    return parser


def tell(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Put an answer on stdout: the value with --json, else the text."""
    print(json.dumps(value, indent=1, ensure_ascii=False) if arguments.json else text)


def add_targets(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the flag that names targets."""
    parser.add_argument("--target", action="extend", type=_targets, metavar="TARGET", help=meaning)


def _targets(text: str) -> list[str]:
    from converters.pipeline.build import known_targets

    names = text.split(",")
    try:
        known_targets(names)
    except TargetPluginError:
        raise
    except ConversionError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return names


def one_target(text: str) -> str:
    """A target's name from a flag."""
    names = _targets(text)
    if len(names) != 1:
        raise argparse.ArgumentTypeError(f"expected one target, found {text!r}")
    return names[0]


def add_allow_and_set(parser: argparse.ArgumentParser) -> None:
    """Add the flags that talk to a target: which refusals to take, and its settings."""
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
        help="tell a target something; docs/reference/targets.md lists what",
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise argparse.ArgumentTypeError(f"expected TARGET.NAME=VALUE, found {text!r}")
    return name, value


def add_contract(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how pixels become the network's numbers."""
    group = parser.add_argument_group("input contract", "how pixels become the network's numbers")
    group.add_argument("--contract", type=Path, metavar="FILE.json", help="a file that says all of it")
    group.add_argument("--size", type=size, metavar="HxW", help="input height and width, such as 112x112")
    group.add_argument("--color", choices=sorted(COLORS), help="channel order")
    group.add_argument("--mean", type=_numbers, metavar="M[,M,M]", help="for (pixel - mean) / scale")
    group.add_argument("--scale", type=_numbers, metavar="S[,S,S]", help="for (pixel - mean) / scale")
    group.add_argument("--range", type=_range, metavar="LOW..HIGH", help="what pixels 0 and 255 become")
    group.add_argument(
        "--alignment",
        choices=("arcface",),
        help="which template crops of faces are aligned to; the device aligns to it",
    )


def size(text: str) -> list[int]:
    """HEIGHTxWIDTH from a flag."""
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


def optional_contract(arguments: argparse.Namespace) -> InputContract | None:
    """The input contract that flags and file say; None where they say nothing."""
    said = _contract_file(arguments)
    return InputContract.from_json(said) if said else None
