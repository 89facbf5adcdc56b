"""Hooks of the documentation site: pages generated from the parsers and from files of the repository root."""

from __future__ import annotations

import argparse
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.manpages import describe, walk

ROOT = Path(__file__).resolve().parents[1]
_ROOT_PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference, the list of decisions and the pages of the repository root."""
    for name, page in _ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for program, parser in _parsers().items():
        content = command_reference(program, parser)
        files.append(File.generated(config, f"reference/{program}.md", content=content))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links to repository files into links to pages of the site, or into the file's path if it has no page."""
    source = page.file.src_uri
    names = {page: name for name, page in _ROOT_PAGES.items()}
    # Links are relative to the place of the file in the repository.
    folder = posixpath.dirname(posixpath.join("docs", source)) if source not in names else ""

    def replaced(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        site = _ROOT_PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if site is None or files.get_file_from_path(site) is None:
            return text if text.strip("`").rstrip("/") == path else f"{text} (`{path}`)"
        relative = posixpath.relpath(site, posixpath.dirname(source) or ".")
        return f"[{text}]({relative}{anchor})"

    return _LINK.sub(replaced, markdown)


def command_reference(program: str, parser: argparse.ArgumentParser) -> str:
    """Write the help text of every command as one Markdown page.

    Args:
        program: Name of the program.
        parser: Its parser.
    """
    os.environ["COLUMNS"] = "90"
    lines = [f"# {program}", "", "This page is generated from the command's own help.", ""]
    for command in walk(describe(parser)):
        help_text = command.parser.format_help().rstrip()
        lines += [f"## {command.parser.prog}", "", "```text", help_text, "```", ""]
    return "\n".join(lines)


def _parsers() -> dict[str, argparse.ArgumentParser]:
    from converters.cli.program import build_parser as edge_convert
    from edge_sdk.cli.program import build_parser as edge_sdk
    from edge_train.cli.program import build_parser as edge_train

    return {"edge-sdk": edge_sdk(), "edge-convert": edge_convert(), "edge-train": edge_train()}


def _decisions() -> str:
    lines = [
        "# Decisions",
        "",
        "Each record gives the reasons for one design decision, on about one page.",
        "",
    ]
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join([*lines, ""])
