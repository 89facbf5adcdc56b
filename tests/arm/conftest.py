"""Fixtures with emulated machines. If a machine cannot be created, its tests are skipped, or fail in CI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arm.emulation import (
    AARCH64,
    ARMV7L,
    REPOSITORY,
    Emulation,
    EmulationUnavailableError,
    Machine,
    prepare,
)
from tests.conftest import lacking


def _prepared(machine: Machine) -> Emulation:
    try:
        return prepare(machine)
    except EmulationUnavailableError as error:
        lacking(f"no emulated {machine.name}: {error}")


@pytest.fixture(scope="session")
def aarch64() -> Emulation:
    """Emulated 64-bit ARM machine, such as a Raspberry Pi with a 64-bit system."""
    return _prepared(AARCH64)


@pytest.fixture(scope="session")
def armv7l() -> Emulation:
    """Emulated 32-bit ARM machine."""
    return _prepared(ARMV7L)


@pytest.fixture(scope="session")
def reference_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert the reference model and return the folder with its float32, float16 and int8 files."""
    folder = tmp_path_factory.mktemp("converted")
    samples = REPOSITORY / "samples" / "products"
    command = ["convert", samples / "model" / "products.keras", "--target", "cpu"]
    command += ["--contract", samples / "model" / "products.contract.json"]
    command += ["--calibration", samples / "calibration", "--output", folder]
    program = Path(sys.executable).with_name("edge-convert")
    done = subprocess.run([program, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory, products: list[Any]) -> Path:
    """Save ten photos of five products as an array of shape (10, 96, 96, 3) and return the file's path."""
    from edge_sdk.vision.images import read_image

    images = [read_image(path) for product in products[:5] for path in (product.enrol, product.probes[0])]
    path = tmp_path_factory.mktemp("probes") / "images.npy"
    np.save(path, np.stack(images))
    return path
