"""A headless browser. Without one, the tests are skipped on a developer's machine and fail in CI."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.patience import PATIENCE_S

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)

#: Opens a page with additional flags and returns (stdout, stderr).
Browse = Callable[..., tuple[str, str]]


@pytest.fixture(scope="session")
def browser() -> str:
    """Return the path of the browser."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        lacking("needs the browser chromium; .ci/install-system-packages installs it")
    return path


@pytest.fixture
def browse(browser: str, tmp_path: Path) -> Browse:
    """Return a function that opens a local file with a new browser profile."""

    def run(page: Path, *flags: str) -> tuple[str, str]:
        profile = tmp_path / "profile"
        done = subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        shutil.rmtree(profile, ignore_errors=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout, done.stderr

    return run
