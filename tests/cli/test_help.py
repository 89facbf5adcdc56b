"""The help of every command has an example that parses, and explains each argument and default."""

import argparse
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge_sdk import cli


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield path
    for group in groups:
        for name, inner in group.choices.items():
            yield from commands(inner, (*path, name))


COMMANDS = sorted(commands(cli.build_parser()))


def test_these_are_the_commands() -> None:
    assert [" ".join(path) for path in COMMANDS] == [
        "bench",
        "doctor",
        "enrol",
        "explain",
        "face align",
        "face enrol",
        "face evidence",
        "face identify",
        "face watch",
        "gallery add-key",
        "gallery audit",
        "gallery backup",
        "gallery bind-model",
        "gallery captures",
        "gallery captures-key",
        "gallery change",
        "gallery create",
        "gallery erase",
        "gallery export",
        "gallery import",
        "gallery keys",
        "gallery limit-attempts",
        "gallery list",
        "gallery log-answers",
        "gallery migrate",
        "gallery name-key",
        "gallery obey",
        "gallery pin-networks",
        "gallery policy",
        "gallery re-anchor",
        "gallery reinstate",
        "gallery remove",
        "gallery remove-key",
        "gallery remove-look",
        "gallery renew-transform",
        "gallery reset-attempts",
        "gallery reset-clock",
        "gallery restore",
        "gallery revoke",
        "gallery rotate-key",
        "gallery sign",
        "gallery sources",
        "gallery status",
        "gallery threshold",
        "gallery verify",
        "identify",
        "setup",
        "try",
        "verify",
        "zoo list",
        "zoo path",
        "zoo pull",
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_an_example_that_parses(edge_sdk: Callable[..., Any], path: tuple[str, ...]) -> None:
    done = edge_sdk(*path, "--help")
    assert (done.code, done.err) == (0, "")
    assert "example:" in done.out
    example = done.out.split("example:\n")[1].strip()
    program, *arguments = shlex.split(example)
    assert program == "edge-sdk"
    assert tuple(arguments[: len(path)]) == path
    cli.build_parser().parse_args(arguments)


@pytest.mark.parametrize("path", [(), ("face",), ("gallery",), ("zoo",)])
def test_help_of_a_group_lists_its_commands(edge_sdk: Callable[..., Any], path: tuple[str, ...]) -> None:
    done = edge_sdk(*path, "--help")
    assert done.code == 0
    assert "example" in done.out
    for command in COMMANDS:
        if command[: len(path)] == path:
            assert command[len(path)] in done.out


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Yield every argument of a parser and of its commands, with the name of the command and the argument."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from arguments(inner)
        else:
            yield f"{parser.prog} {action.dest}", action


def test_every_argument_is_explained() -> None:
    assert [place for place, action in arguments(cli.build_parser()) if not action.help] == []


def test_every_option_with_a_value_states_its_default() -> None:
    silent = [
        place
        for place, action in arguments(cli.build_parser())
        if not (action.required or action.nargs == 0 or action.dest == "key") and action.option_strings
        if "default: " not in str(action.help)
    ]
    assert silent == []


@pytest.mark.parametrize(
    "words",
    ["alice --label keys 1.jpg 2.jpg", "alice 1.jpg --label keys 2.jpg", "--label keys alice 1.jpg 2.jpg"],
)
def test_photographs_may_follow_an_option(words: str) -> None:
    rest = "--model m --detector d --gallery g --key k"
    parsed = cli.build_parser().parse_args(shlex.split(f"face enrol {words} {rest}"))
    assert parsed.subject == "alice"
    assert [path.name for path in parsed.photographs] == ["1.jpg", "2.jpg"]
