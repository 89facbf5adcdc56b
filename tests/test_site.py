"""The documentation site builds strictly, without a network, and lists every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.site_hooks import command_reference

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        assert not re.search(r"<(?:script|img|iframe)[^>]+src=\"https?:", page.read_text()), page
        assert not re.search(r"<link[^>]+rel=\"(?:stylesheet|preconnect)\"[^>]+https?:", page.read_text()), (
            page
        )


def test_every_link_of_the_site_leads_to_a_file(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in re.findall(r"<a [^>]*href=\"([^\"#?]+)", page.read_text()):
            if not re.match(r"[a-z]+:|/", target):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_is_on_the_site(site: Path) -> None:
    from converters.cli.program import build_parser as edge_convert
    from edge_sdk.cli.program import build_parser as edge_sdk

    for program, parser in (("edge-sdk", edge_sdk()), ("edge-convert", edge_convert())):
        page = (site / "reference" / f"{program}.html").read_text()
        for heading in re.findall(r"^## (.+)$", command_reference(program, parser), re.MULTILINE):
            assert f">{heading}<" in page
