"""Generate the man pages of edge-sdk, edge-convert and edge-train from their argument parsers.

    python -m tools.manpages --output work/man

One page per program, group and command, as in git: edge-sdk.1, edge-sdk-gallery.1, edge-sdk-gallery-export.1.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import converters.cli
import edge_sdk.cli
import edge_train.cli
from edge_sdk import __version__

_UNLIMITED_WIDTH = 1_000_000


@dataclass(frozen=True)
class Command:
    """A program, a group of commands or one command.

    Attributes:
        parser: Its parser.
        summary: One line for the section NAME.
        exit_codes: Text such as `0 done, 2 usage`, from its own help or that of the nearest group.
        parent: Title of the page one level up; empty for a program.
        children: The commands of a program or group, in the order of the help.
    """

    parser: argparse.ArgumentParser
    summary: str
    exit_codes: str
    parent: str = ""
    children: tuple[Command, ...] = ()

    @property
    def title(self) -> str:
        """Title of the page, such as `edge-sdk-gallery-export`."""
        return self.parser.prog.replace(" ", "-")


@dataclass(frozen=True)
class Epilog:
    """Parts of the text after the options in a help text.

    Attributes:
        examples: Lines after `examples:`.
        exit_codes: Text after `exit codes:`.
        notes: Other paragraphs.
    """

    examples: tuple[str, ...]
    exit_codes: str
    notes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Epilog:
        """Split an epilog at its blank lines."""
        examples: tuple[str, ...] = ()
        exit_codes, notes = "", []
        for paragraph in filter(None, map(str.rstrip, re.split(r"\n\s*\n", text))):
            heading, _, rest = paragraph.partition(":")
            if heading in ("example", "examples"):
                examples = tuple(textwrap.dedent(rest.strip("\n")).splitlines())
            elif heading == "exit codes":
                exit_codes = _join(rest)
            else:
                notes.append(_join(paragraph))
        return cls(examples, exit_codes, tuple(notes))


def describe(
    parser: argparse.ArgumentParser, summary: str = "", exit_codes: str = "", parent: str = ""
) -> Command:
    """Describe a parser and, recursively, its commands.

    Args:
        parser: Parser of a program, group or command.
        summary: Line for the section NAME; default: the first sentence of the description.
        exit_codes: Exit codes of the group, used if the parser's epilog has none.
        parent: Title of the page one level up.
    """
    description = _join((parser.description or "").partition("\n\n")[0])
    exit_codes = Epilog.parse(parser.epilog or "").exit_codes or exit_codes
    command = Command(parser, summary or description.partition(". ")[0].rstrip("."), exit_codes, parent)
    children = [
        describe(child, helps[name], exit_codes, command.title)
        for action in _subcommands(parser)
        for helps in [{choice.dest: choice.help or "" for choice in action._get_subactions()}]
        for name, child in action.choices.items()
    ]
    return replace(command, children=tuple(children))


def walk(command: Command) -> Iterator[Command]:
    """Yield a command and all commands below it."""
    yield command
    for child in command.children:
        yield from walk(child)


def render(command: Command) -> str:
    """Render the man page of a command in roff, with the man macros only."""
    epilog = Epilog.parse(command.parser.epilog or "")
    description = (command.parser.description or "").split("\n\n")
    lines = [f'.TH {_escape(command.title.upper())} 1 "" "edge\\-sdk {__version__}" "User Commands"']
    lines += [".SH NAME", f"{_escape(command.title)} \\- {_escape(command.summary)}"]
    lines += [".SH SYNOPSIS", *_synopsis(command.parser)]
    lines += [".SH DESCRIPTION", *_paragraphs([*map(_join, description), *epilog.notes])]
    lines += [".SH OPTIONS", *_options(command.parser)]
    if command.children:
        lines += [".SH COMMANDS"]
        for child in command.children:
            lines += [".TP", f"\\fB{_escape(child.parser.prog.split()[-1])}\\fR", _line(child.summary)]
    if epilog.examples:
        lines += [".SH EXAMPLES", ".nf", *map(_line, epilog.examples), ".fi"]
    if command.exit_codes:
        lines += [".SH EXIT STATUS", *_exit_status(command.exit_codes)]
    related = [*([command.parent] if command.parent else []), *(child.title for child in command.children)]
    if related:
        lines += [".SH SEE ALSO", ",\n".join(f"\\fB{_escape(title)}\\fR(1)" for title in related)]
    return "\n".join(lines) + "\n"


def write_pages(folder: Path) -> list[Path]:
    """Write the man pages of all programs.

    Args:
        folder: Folder for the files; created if it does not exist.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for parser in (edge_sdk.cli.build_parser(), converters.cli.build_parser(), edge_train.cli.build_parser()):
        for command in walk(describe(parser)):
            file = folder / f"{command.title}.1"
            file.write_text(render(command), encoding="utf-8")
            files.append(file)
    return files


def _subcommands(
    parser: argparse.ArgumentParser,
) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _formatter(parser: argparse.ArgumentParser) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(parser.prog, width=_UNLIMITED_WIDTH)


def _synopsis(parser: argparse.ArgumentParser) -> list[str]:
    formatter = _formatter(parser)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    arguments = _join(formatter.format_help()).removeprefix(parser.prog)
    return [f"\\fB{_escape(parser.prog)}\\fR{_escape(arguments)}"]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = _formatter(parser)
    standard = (parser._positionals, parser._optionals)
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS
        ]
        if not actions:
            continue
        if group not in standard:
            yield f'.SS "{_escape(group.title or "")}"'
            yield from _paragraphs([_join(group.description)] if group.description else [])
        for action in actions:
            yield ".TP"
            yield f"\\fB{_escape(formatter._format_action_invocation(action))}\\fR"
            yield _line(_join(formatter._expand_help(action)))


def _exit_status(text: str) -> Iterator[str]:
    codes, _, note = text.partition(";")
    for code, meaning in re.findall(r"(\d+) (.*?)(?=, \d+ |$)", codes):
        yield from (".TP", f"\\fB{code}\\fR", _line(meaning))
    if note.strip():
        yield from _paragraphs([note.strip()[0].upper() + note.strip()[1:] + "."])


def _paragraphs(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from (".PP", _line(text))


def _join(text: str) -> str:
    return " ".join(text.split())


def _line(text: str) -> str:
    """Escape a line of text; a dot or apostrophe at its start would begin a macro."""
    escaped = _escape(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"[^\x00-\x7f]", lambda match: f"\\[u{ord(match[0]):04X}]", escaped)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages and print their number."""
    parser = argparse.ArgumentParser(prog="python -m tools.manpages", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("work/man"),
        metavar="FOLDER",
        help="folder to write (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    print(f"wrote {len(write_pages(arguments.output))} pages to {arguments.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
