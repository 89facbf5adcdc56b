"""The README and the tutorials run as written, and the documents link to things that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk import __version__
from tests.pages import PAGES, ROOT
from tools import five_commands

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Section of the README that needs public networks and a camera.
DOOR = five_commands.HEADING
TUTORIALS = ("convert-your-first-model", "recognize-products")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the shell and Python blocks of a page in order, as (language, source)."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_all(sources: list[tuple[str, str]], folder: Path) -> None:
    """Run shell and Python blocks one after the other in one shell, as a reader would type them."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    environment["HOME"] = str(folder)
    environment.pop("EDGE_SDK_INSTALLATION", None)
    script = "\n".join(
        text if language == "sh" else f"python - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON"
        for language, text in sources
    )
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the samples and tools of the checkout, so that the checkout itself stays unchanged."""
    for name in ("samples", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_quick_starts_run_as_written(checkout: Path) -> None:
    before, _, door = README.partition(DOOR)
    _, heading, after = door.partition("\n## ")
    sources = blocks(before + heading + after)
    assert len(sources) >= 3
    run_all(sources, checkout)


@pytest.mark.slow
@pytest.mark.real
def test_five_commands_lead_to_an_accepted_face(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.partition(DOOR)[2].partition("\n## ")[0]
    assert "make install" in section
    assert len(five_commands.commands()) == 4
    monkeypatch.setenv("EDGE_SDK_ZOO", str(shared / "zoo"))
    photographs = shared / "faces" / "lfw_devtest_raw250.tar"
    assert five_commands.main(["--photographs", str(photographs), "--person", "Amelie_Mauresmo"]) == 0


def test_the_tutorials_run_as_written(checkout: Path) -> None:
    pages = [(ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8") for name in TUTORIALS]
    run_all([block for page in pages for block in blocks(page)], checkout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page


def test_the_documents_name_no_path_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/[a-z]", page.read_text()), page


def test_the_changelog_begins_with_this_version_and_dates_each_one() -> None:
    versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if versions[0].endswith(" - unreleased"):
        del versions[0]
    assert versions[0].split(" - ")[0] == __version__
    for version in versions:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", version)
