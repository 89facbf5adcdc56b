"""Every package that a Raspberry Pi needs has a wheel, and the installer's lists name exactly such wheels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.device_lock import (
    BUILD,
    LOCKED_EXTRAS,
    ROOT,
    SYSTEMS,
    ResolutionError,
    System,
    Wheel,
    device_requirements,
    lock_path,
    resolve,
    wheels_of,
)

LOCKS = ROOT / "firmware_examples" / "raspberry_pi_door_lock"
_OFFLINE = (
    "NewConnectionError",
    "Temporary failure in name resolution",
    "Max retries",
    "Network is unreachable",
)
each_system = pytest.mark.parametrize("system", SYSTEMS, ids=[system.release for system in SYSTEMS])


def _skip_offline(message: str) -> None:
    if any(sign in message for sign in _OFFLINE) and not os.environ.get("CI"):
        pytest.skip("needs the package index to resolve wheels for another machine")


def _resolve(specifiers: list[str], system: System) -> list[Wheel]:
    try:
        return resolve(specifiers, system)
    except ResolutionError as error:
        _skip_offline(str(error))
        raise


def _pins(system: System) -> dict[str, str]:
    """Return the versions in a lock by package name."""
    return dict(re.findall(r"^([\w.-]+)==(\S+) \\$", lock_path(LOCKS, system).read_text(), re.MULTILINE))


@each_system
def test_every_dependency_of_the_device_has_a_wheel(system: System) -> None:
    lines = device_requirements()
    # pip evaluates markers for the Python that runs it, not for the Python given by --python-version.
    assert all("[" not in line for line in lines), "every extra must be replaced by its requirements"
    wheels = {wheel.name: wheel.filename for wheel in _resolve(lines, system)}
    assert {"numpy", "ai-edge-litert", "cryptography", "cffi", "pillow"} <= set(wheels)
    assert all(wheel.endswith(".whl") for wheel in wheels.values())
    unsuitable = [w for w in wheels.values() if not w.endswith(("_aarch64.whl", "-any.whl"))]
    assert not unsuitable
    assert "aarch64" in wheels["ai-edge-litert"]
    assert not {"tensorflow", "torch", "keras", "opencv-python"} & set(wheels), (
        "packages for workstations must not be installed"
    )


def test_a_package_without_a_wheel_for_the_device_is_noticed() -> None:
    """The test above would detect a package such as tflite-micro, which has wheels only for x86-64."""
    with pytest.raises(ResolutionError, match=r"(?i)no matching distribution"):
        _resolve(["tflite-micro"], SYSTEMS[0])


@each_system
def test_a_lock_satisfies_setup_cfg_and_pins_every_package_by_digest(system: System) -> None:
    text, pins = lock_path(LOCKS, system).read_text(), _pins(system)
    entries = re.findall(r"^[^#\n].* \\\n    --hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert len(entries) == len(pins) > 15
    assert text.count("\n") == 2 + 2 * len(pins), "every line is the head, a pin or its digest"
    for line in (*device_requirements(LOCKED_EXTRAS), *BUILD, system.numpy):
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"python_version": system.python}):
            assert requirement.specifier.contains(pins[requirement.name.lower()]), line


@each_system
def test_pip_accepts_a_lock_in_hash_checking_mode(system: System, tmp_path: Path) -> None:
    """The index has a wheel with each digest, and nothing outside the lock is needed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--require-hashes", *wheels_of(system, tmp_path), "-r", str(lock_path(LOCKS, system))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    _skip_offline(done.stderr)
    assert done.returncode == 0, done.stderr


def test_numpy_has_the_binary_interface_of_the_systems_camera_packages() -> None:
    versions = {system.release: _pins(system)["numpy"].split(".")[0] for system in SYSTEMS}
    assert versions == {"bookworm": "1", "trixie": "2"}
