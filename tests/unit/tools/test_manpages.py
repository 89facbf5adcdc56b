"""The man pages cover every command and option, and groff renders them without warnings."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

import converters.cli
import edge_sdk.cli
import edge_train.cli
from tools.manpages import Command, Epilog, describe, render, walk, write_pages

COMMANDS = [
    command
    for build in (edge_sdk.cli.build_parser, converters.cli.build_parser, edge_train.cli.build_parser)
    for command in walk(describe(build()))
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {file.stem: file for file in write_pages(tmp_path_factory.mktemp("man"))}


def test_every_command_has_a_page(pages: dict[str, Path]) -> None:
    assert set(pages) == {command.title for command in COMMANDS}
    assert {
        "edge-sdk",
        "edge-convert",
        "edge-sdk-gallery-limit-attempts",
        "edge-convert-convert",
        "edge-train",
    } <= set(pages)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.title)
def test_a_page_has_every_section_and_option(command: Command) -> None:
    page = render(command)
    sections = [line.removeprefix(".SH ") for line in page.splitlines() if line.startswith(".SH ")]
    expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", *(["COMMANDS"] if command.children else [])]
    assert [name for name in sections if name not in ("EXAMPLES", "SEE ALSO")] == [*expected, "EXIT STATUS"]
    if not command.children:
        assert "EXAMPLES" in sections
    text = page.replace("\\-", "-")
    for action in command.parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            for name in action.option_strings or [str(action.metavar or action.dest)]:
                assert name in text.partition(".SH OPTIONS")[2], name
    for child in command.children:
        assert f"\\fB{child.title}\\fR(1)" in text


def test_groff_renders_every_page_without_a_warning(pages: dict[str, Path]) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    for file in pages.values():
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", file], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr.decode()) == (0, ""), file.name
        assert b"SYNOPSIS" in done.stdout


def test_text_cannot_become_a_roff_request() -> None:
    parser = argparse.ArgumentParser(prog="tool", description=".SH is a \\macro – 'quoted'.\n\n'T", epilog="")
    page = render(describe(parser, summary="-x"))
    assert "\n\\&.SH is a \\emacro \\[u2013] 'quoted'.\n.PP\n\\&'T\n" in page
    assert "tool \\- \\-x\n" in page


def test_an_epilog_is_split_into_examples_exit_codes_and_notes() -> None:
    epilog = Epilog.parse(
        "examples:\n  a \\\n      b\n  c\n\nA note\nof two lines.\n\nexit codes: 0 done, 2 usage"
    )
    assert epilog.examples == ("a \\", "    b", "c")
    assert (epilog.exit_codes, epilog.notes) == ("0 done, 2 usage", ("A note of two lines.",))
