"""The wheel contains the two packages and nothing of tests and tools."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_sdk.extras import DISTRIBUTION, install_command

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


def test_it_holds_the_packages_their_data_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_sdk", "converters", "edge_train"}
    assert "edge_sdk/py.typed" in names
    assert "converters/quantize/recipes/cpu_int8.json" in names
    assert "converters/report/templates/page.html" in names
    assert "edge_train/pages/templates/training.html" in names
    for name in ("licences/apache-2.0.txt", "recipes/sface.cpu_int8.recipe.json", "evidence/face.json"):
        assert f"converters/kit/{name}" in names
    assert any(name.endswith("LICENSE") for name in names)
    wheel.close()


def test_extras_and_commands_are_what_the_readme_says() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert {"litert", "gallery", "convert", "train", "faces", "dev"} <= set(config["options.extras_require"])
    scripts = config["options.entry_points"]["console_scripts"]
    assert "edge-convert = converters.cli:main" in scripts
    assert "edge-sdk = edge_sdk.cli:main" in scripts
    assert "edge-train = edge_train.cli:main" in scripts


def _texts() -> dict[str, str]:
    """Return every text that a user may read, by its path: code, documentation and examples, without decisions."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    suffixes = (".py", ".md", ".sh", ".toml", ".cfg", ".html", "Makefile")
    folders = ("tests/unit/", "tests/test_", "docs/decisions/")
    return {
        name: (ROOT / name).read_text()
        for name in listed.stdout.splitlines()
        if name.endswith(suffixes) and not name.startswith(folders)
    }


def test_no_text_asks_pip_for_a_package_that_is_not_ours() -> None:
    """The package `edge-sdk` on the public index belongs to another project; pip would run its code."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["name"] == DISTRIBUTION
    listed = "\n".join([config["options"]["install_requires"], *config["options.extras_require"].values()])
    known = {re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0] for line in listed.splitlines()}
    known |= {DISTRIBUTION, "tflite-runtime"}
    commands = {
        (name, match[1])
        for name, text in _texts().items()
        for match in re.finditer(
            r"pip3? install((?: +(?:-\S+|'[^'\n]+'|\"[^\"\n]+\"|[\w.\[\],<>=/*{}$-]+))+)", text
        )
    }
    assert len(commands) > 10
    for name, command in commands:
        command = re.sub(r"(--constraint|--requirement|-c|-r) \S+", "", command)
        for word in re.findall(r"'[^']+'|\"[^\"]+\"|\S+", command):
            requirement = word.strip("'\"`")
            if requirement.startswith(("-", "/", "$", "{", "work/")) or requirement[0] == ".":
                continue
            package = re.split(r"[\[<>=,]", requirement, maxsplit=1)[0]
            assert package in known, f"{name}: pip install {requirement}"
    others = [name for name, text in _texts().items() if re.search(r"edge-sdk\[|\"edge-sdk[>=]", text)]
    assert not others, "these texts use the name of another project's package"


def test_the_hint_installs_an_extra_without_asking_the_index_for_the_sdk() -> None:
    """pip does not look an installed distribution up, so a hint cannot bring a stranger's package of this name."""
    requirement = install_command("gallery").removeprefix("pip install ").strip("'")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Requirement already satisfied: {requirement}" in done.stdout
