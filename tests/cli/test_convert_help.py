"""Help of ``edge-convert``: every command has examples that parse, every option has a help text."""

from __future__ import annotations

import argparse
import shlex

import pytest

from converters.cli import build_parser


def commands() -> dict[str, argparse.ArgumentParser]:
    groups = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(groups[0].choices)


def test_these_are_the_commands() -> None:
    assert sorted(commands()) == [
        "auxiliary",
        "compare",
        "convert",
        "evaluate",
        "finish",
        "inspect",
        "lint",
        "targets",
    ]


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_examples_parse(name: str) -> None:
    _, _, examples = commands()[name].format_help().partition("example")
    lines = examples.split(":\n", 1)[1].strip().splitlines()
    assert lines
    for line in lines:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert (program, words[0]) == ("edge-convert", name)
        assert build_parser().parse_args(words).run


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_argument_has_a_help_text(name: str) -> None:
    assert [action.dest for action in commands()[name]._actions if not action.help] == []
