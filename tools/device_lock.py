"""Write the hash-checked list of packages that the door lock's installer puts on a Raspberry Pi.

    python -m tools.device_lock --output firmware_examples/raspberry_pi_door_lock

One file per release of Raspberry Pi OS: `requirements-bookworm.txt` and `requirements-trixie.txt`, in the format of pip's
hash-checking mode. pip resolves the requirements of setup.cfg for 64-bit ARM without installing anything. Versions come
from constraints.txt if it names the package, otherwise the newest ones.
"""

from __future__ import annotations

import argparse
import configparser
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.extras import DISTRIBUTION

ROOT = Path(__file__).resolve().parents[1]
#: Extras that a device may install.
EXTRAS = ("litert", "gallery", "images", "faces", "photos", "fast")
#: The lock's own extras and what builds the SDK from a checkout without another download.
LOCKED_EXTRAS = ("faces", "fast")
BUILD = ("setuptools>=77",)


class ResolutionError(Exception):
    """pip cannot resolve the requirements; the message is pip's."""


@dataclass(frozen=True)
class System:
    """A release of Raspberry Pi OS, 64 bit.

    Args:
        release: Code name, as in /etc/os-release.
        python: Version of its Python.
        glibc: Minor version of its glibc 2.
        numpy: Requirement that keeps numpy's binary interface equal to that of the system's camera packages.
    """

    release: str
    python: str
    glibc: int
    numpy: str


SYSTEMS = (
    # Bookworm's picamera2 and simplejpeg are compiled for numpy 1, Trixie's for numpy 2.
    System("bookworm", "3.11", 36, "numpy<2"),
    System("trixie", "3.13", 41, "numpy>=2"),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel that pip chose.

    Args:
        name: Name of the package, lower case.
        version: Its version.
        sha256: Digest of the file, 64 hexadecimal digits.
        filename: Name of the file.
    """

    name: str
    version: str
    sha256: str
    filename: str


def device_requirements(extras: Sequence[str] = EXTRAS) -> list[str]:
    """Return the requirements of the SDK and of extras in setup.cfg, each once, extras of its own expanded."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = _lines(config["options"]["install_requires"])
    for extra in extras:
        for line in _lines(config["options.extras_require"][extra]):
            if line.startswith(f"{DISTRIBUTION}["):
                lines += device_requirements([name.strip() for name in line.split("[")[1][:-1].split(",")])
            else:
                lines.append(line)
    return list(dict.fromkeys(lines))


def resolve(specifiers: Sequence[str], system: System, *, constraints: Sequence[str] = ()) -> list[Wheel]:
    """Let pip choose the wheels for a system, without installing them.

    Args:
        specifiers: Requirements.
        system: The system to resolve for.
        constraints: Lines of a constraint file.

    Raises:
        ResolutionError: A requirement has no wheel for the system, or the package index does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, limits = Path(folder) / "report.json", Path(folder) / "constraints.txt"
        limits.write_text("".join(f"{line}\n" for line in constraints))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", str(report), "--constraint", str(limits), *wheels_of(system, Path(folder))]
        done = subprocess.run([*command, *specifiers], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ResolutionError(done.stderr)
        installs = json.loads(report.read_text())["install"]
    return sorted((_wheel(entry) for entry in installs), key=lambda wheel: wheel.name)


def wheels_of(system: System, target: Path) -> list[str]:
    """Return the options with which pip takes only wheels of a system."""
    options = ["--target", str(target), "--only-binary=:all:", "--implementation", "cp"]
    options += ["--python-version", system.python]
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(system.glibc, 16, -1)]
    return options + [part for tag in (*tags, "manylinux2014_aarch64", "any") for part in ("--platform", tag)]


def lock(system: System) -> str:
    """Return the text of the lock of one system."""
    constraints = [
        line
        for line in _lines((ROOT / "constraints.txt").read_text())
        if not re.match(r"(numpy|ml.dtypes)\b", line)  # their versions depend on the system
    ]
    wheels = resolve(
        [system.numpy, *device_requirements(LOCKED_EXTRAS), *BUILD], system, constraints=constraints
    )
    head = (
        f"# Packages of the door lock on Raspberry Pi OS {system.release.capitalize()}, 64 bit, Python {system.python}.\n"
        "# Made by python -m tools.device_lock; install.sh installs exactly these files.\n"
    )
    entries = (f"{wheel.name}=={wheel.version} \\\n    --hash=sha256:{wheel.sha256}\n" for wheel in wheels)
    return head + "".join(entries)


def lock_path(folder: Path, system: System) -> Path:
    """Return the file name of a system's lock in a folder."""
    return folder / f"requirements-{system.release}.txt"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _wheel(entry: dict[str, Any]) -> Wheel:
    metadata, download = entry["metadata"], entry["download_info"]
    digest = download["archive_info"]["hashes"]["sha256"]
    return Wheel(metadata["name"].lower(), metadata["version"], digest, download["url"].rsplit("/", 1)[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one lock per system."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="folder to write the files to"
    )
    options = parser.parse_args(arguments)
    for system in SYSTEMS:
        try:
            text = lock(system)
        except ResolutionError as error:
            print(f"device_lock: error: {error}", file=sys.stderr)
            return 3
        lock_path(options.output, system).write_text(text)
        print(lock_path(options.output, system))
    return 0


if __name__ == "__main__":
    sys.exit(main())
