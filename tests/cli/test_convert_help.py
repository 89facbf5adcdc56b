"""Help of ``edge-convert``: every command has examples that parse, every option has a help text."""

from __future__ import annotations

import argparse
import shlex

import pytest

from converters.cli import build_parser


def commands(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command by its name; commands of a group have names such as ``kit own``."""
    groups = [a for a in (parser or build_parser())._actions if isinstance(a, argparse._SubParsersAction)]
    named = {}
    for name, inner in (choice for group in groups for choice in group.choices.items()):
        nested = commands(inner)
        named |= {f"{name} {word}": command for word, command in nested.items()} or {name: inner}
    return named


def test_these_are_the_commands() -> None:
    assert sorted(commands()) == [
        "auxiliary",
        "compare",
        "convert",
        "evaluate",
        "finish",
        "inspect",
        "kit face",
        "kit own",
        "kit products",
        "lint",
        "map",
        "targets",
    ]


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_examples_parse(name: str) -> None:
    _, _, examples = commands()[name].format_help().partition("example")
    lines = examples.split(":\n", 1)[1].strip().splitlines()
    assert lines
    for line in lines:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert (program, words[: len(name.split())]) == ("edge-convert", name.split())
        assert build_parser().parse_args(words).run


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_argument_has_a_help_text(name: str) -> None:
    assert [action.dest for action in commands()[name]._actions if not action.help] == []
