"""Every package that a Raspberry Pi needs has a wheel, so that nothing is compiled on the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm.emulation import requirements

#: Extras that a device may install; setup.cfg contains their requirements.
EXTRAS = ("litert", "gallery", "images", "faces", "fast")
_OFFLINE = (
    "NewConnectionError",
    "Temporary failure in name resolution",
    "Max retries",
    "Network is unreachable",
)


def _requirements(extra: str) -> list[str]:
    """Return the requirements of an extra; extras among them are replaced by their own requirements."""
    lines = []
    for line in requirements(f"[{extra}]"):
        if line.startswith("edge-sdk["):
            inner = line.split("[")[1].split("]")[0].split(",")
            lines += [requirement for name in inner for requirement in _requirements(name.strip())]
        else:
            lines.append(line)
    return lines


def _resolve(specifiers: list[str], *, python: str, glibc: int, folder: Path) -> dict[str, str]:
    """Resolve what pip would install on 64-bit ARM, without installing it: wheel names by package."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", str(report), "--target", str(folder), "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp"]
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(glibc, 16, -1)]
    command += [part for tag in (*tags, "manylinux2014_aarch64", "any") for part in ("--platform", tag)]
    done = subprocess.run([*command, *specifiers], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and any(sign in done.stderr for sign in _OFFLINE) and not os.environ.get("CI"):
        pytest.skip("needs the package index to resolve wheels for another machine")
    assert done.returncode == 0, done.stderr
    installs = json.loads(report.read_text())["install"]
    return {entry["metadata"]["name"].lower(): Path(entry["download_info"]["url"]).name for entry in installs}


@pytest.mark.parametrize(
    ("python", "glibc"), [("3.11", 36), ("3.13", 41)], ids=["Bookworm, 3.11", "Trixie, 3.13"]
)
def test_every_dependency_of_the_device_has_a_wheel(python: str, glibc: int, tmp_path: Path) -> None:
    lines = list(dict.fromkeys([*requirements("[]"), *(r for e in EXTRAS for r in _requirements(e))]))
    # pip evaluates markers for the Python that runs it, not for the Python given by --python-version.
    assert all("[" not in line for line in lines), "every extra must be replaced by its requirements"
    resolved = _resolve(lines, python=python, glibc=glibc, folder=tmp_path)
    assert {"numpy", "ai-edge-litert", "cryptography", "cffi", "pillow"} <= set(resolved)
    assert all(wheel.endswith(".whl") for wheel in resolved.values())
    unsuitable = [w for w in resolved.values() if not w.endswith(("_aarch64.whl", "-any.whl"))]
    assert not unsuitable
    assert "aarch64" in resolved["ai-edge-litert"]
    assert not {"tensorflow", "torch", "keras", "opencv-python"} & set(resolved), (
        "packages for workstations must not be installed"
    )


def test_a_package_without_a_wheel_for_the_device_is_noticed(tmp_path: Path) -> None:
    """The test above would detect a package such as tflite-micro, which has wheels only for x86-64."""
    with pytest.raises(AssertionError, match=r"(?i)no matching distribution"):
        _resolve(["tflite-micro"], python="3.11", glibc=36, folder=tmp_path)
