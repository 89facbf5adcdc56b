"""Training streams pictures from the disk in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[4]


@pytest.mark.slow
def test_100_000_pictures_are_trained_on_in_3_gb(tmp_path: Path) -> None:
    module = "tests.unit.edge_train.training.streamed_training"
    done = subprocess.run(
        [sys.executable, "-m", module, str(tmp_path / "pictures"), "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    report = json.loads(done.stdout)
    assert report["images"] == 100_000
    assert report["peak_mb"] < 3000
