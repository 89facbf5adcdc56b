"""Report pages in a real browser: an empty console, no requests, no overflow."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.report.page import render_page
from tests import report_samples as samples

Browse = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write pages of each kind, with names that are hostile or very long."""
    folder = tmp_path_factory.mktemp("pages")
    every = samples.everything(name=samples.HOSTILE)
    long = samples.everything(name="a_very_long_model_name_without_a_single_space_" * 3)
    contents = {
        "conversion": render_page(title="door", conversion=samples.report(), layers=samples.layers()),
        "everything": render_page(**every, thumbnails={}),
        "long": render_page(
            **long, thumbnails={long["comparison"].candidates[0].worst[0][0]: samples.pixels()}
        ),
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(content, encoding="utf-8")
    return paths


def console(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "CONSOLE" in line]


def test_the_browser_reports_errors_of_a_page(browse: Browse, tmp_path: Path) -> None:
    """Check that the tests below would notice a broken page."""
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><title>x</title><script>nothing.there()</script>")
    _, stderr = browse(page, "--dump-dom")
    assert console(stderr)


@pytest.mark.parametrize("name", ["conversion", "everything", "long"])
def test_the_console_stays_empty(browse: Browse, pages: dict[str, Path], name: str) -> None:
    dom, stderr = browse(pages[name], "--dump-dom")
    assert console(stderr) == []
    heading = re.search(r"<h1>(.*?)</h1>", dom)
    assert heading is not None and html.unescape(heading[1]).endswith(".")
    assert dom.index("<h1>") < dom.index("<h2")
    assert dom.count("<script") == 1
    outside = [
        link for link in re.findall(r'(?:src|href)="([^"]*)"', dom) if not link.startswith(("#", "data:"))
    ]
    assert outside == []


@pytest.mark.parametrize("width", [390, 800, 1280])
@pytest.mark.parametrize("name", ["conversion", "everything", "long"])
def test_nothing_overflows(
    browse: Browse, pages: dict[str, Path], tmp_path: Path, name: str, width: int
) -> None:
    """Show the page in a frame of this width and measure it from the parent page."""
    content = html.escape(pages[name].read_text(encoding="utf-8"), quote=True)
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe srcdoc="{content}" style="width:{width}px;height:800px;border:0">'
        "</iframe><script>onload = () => { const page = document.querySelector('iframe').contentDocument;"
        "const root = page.documentElement; const out = [...page.querySelectorAll('body *')].filter(e =>"
        " !e.closest('.plot') && e.getBoundingClientRect().right > root.clientWidth + 1);"
        "document.body.dataset.overflow = root.scrollWidth + ' ' + out.map(e => e.tagName + '.' + e.className).join(' ');"
        "}</script>",
        encoding="utf-8",
    )
    dom, _ = browse(outer, "--dump-dom", "--window-size=1400,900")
    overflow = re.search(r'data-overflow="(\d+) ([^"]*)"', dom)
    assert overflow is not None
    assert (int(overflow[1]), overflow[2]) == (width, "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_light_and_dark(
    browse: Browse, pages: dict[str, Path], tmp_path: Path, scheme: str
) -> None:
    picture = tmp_path / f"{scheme}.png"
    flags = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(pages["conversion"], f"--screenshot={picture}", "--window-size=1280,2400", *flags)
    grey = np.asarray(Image.open(picture).convert("L"), np.float64)
    paper = float(np.median(grey))
    assert paper < 60 if scheme == "dark" else paper > 220
    # Text and lines differ clearly from the background.
    assert (np.abs(grey - paper) > 120).mean() > 0.005


def test_the_page_prints(browse: Browse, pages: dict[str, Path], tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    browse(pages["everything"], f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    data = paper.read_bytes()
    assert data.startswith(b"%PDF") and len(data) > 20_000
