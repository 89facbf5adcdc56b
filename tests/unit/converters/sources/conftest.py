"""Fixtures: small sources of every kind, written once by a separate process, with contracts and images for them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.model.card import InputContract

SIDE = 32


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folder of the files that ``make_models.py`` writes."""
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def contract():
    return InputContract(SIDE, SIDE, "rgb", (127.5,) * 3, (128.0,) * 3)


@pytest.fixture(scope="session")
def gray():
    return InputContract(SIDE, SIDE, "gray", (127.5,), (128.0,))


@pytest.fixture(scope="session")
def images():
    """Eight different images, normalized as the contracts require."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(8, SIDE, SIDE, 3))
    return ((pixels - 127.5) / 128).astype(np.float32)
