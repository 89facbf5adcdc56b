"""The wheel contains the two packages and nothing of tests and tools."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy, so that no build folder is left in the checkout."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if name.startswith(("samples/", "docs/")) or not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    output = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(output.glob("*.whl")))


def test_it_holds_the_two_packages_their_data_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_sdk", "converters"}
    assert "edge_sdk/py.typed" in names
    assert "converters/quantize/recipes/cpu_int8.json" in names
    assert "converters/report/templates/page.html" in names
    assert any(name.endswith("LICENSE") for name in names)
    wheel.close()


def test_extras_and_commands_are_what_the_readme_says() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert {"litert", "gallery", "convert", "faces", "dev"} <= set(config["options.extras_require"])
    scripts = config["options.entry_points"]["console_scripts"]
    assert "edge-convert = converters.cli:main" in scripts
    assert "edge-sdk = edge_sdk.cli:main" in scripts
