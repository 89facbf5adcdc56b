"""Mutated image files and frames are refused or processed by the capture path, without a crash, in limited memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
MOST_RSS_BYTES = 256_000_000
#: Mutants per process. A separate process is used, so that its peak memory is caused only by these mutants.
PART = 1_500
PARTS = [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(PART, 20_000, PART))]


@pytest.mark.parametrize("first", PARTS)
def test_mutants_are_refused_or_answered(shared: Path, model_path: Path, tmp_path: Path, first: int) -> None:
    count = min(PART, 20_000 - first)
    detector = shared / "zoo" / "blazeface_short_range.tflite"
    photographs = shared / "faces" / "lfw_devtest_raw250.tar"
    done = subprocess.run(
        [sys.executable, "-m", "tests.camera_mutants"]
        + [str(argument) for argument in (detector, model_path, photographs, tmp_path, first, count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["crashes"] == {}
    assert sum(result["outcomes"].values()) == count
    # The mutants must reach every step, including the gallery.
    assert (
        min(result["outcomes"].get(name, 0) for name in ("file refused", "frame refused", "no sample")) > 50
    )
    assert result["outcomes"]["rejected"] > 50
    assert result["peak_rss_bytes"] < MOST_RSS_BYTES
