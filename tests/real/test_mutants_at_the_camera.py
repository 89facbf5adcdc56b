"""Mutated image files and frames through the capture path: refused or answered, never a crash, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
MOST_RSS_BYTES = 256_000_000
#: Each in a process of its own, so that the memory is that of the mutants.
PART = 1_500
PARTS = [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(PART, 20_000, PART))]


@pytest.mark.parametrize("first", PARTS)
def test_mutants_are_refused_or_answered(shared: Path, model_path: Path, tmp_path: Path, first: int) -> None:
    count = min(PART, 20_000 - first)
    detector = shared / "zoo" / "blazeface_short_range.tflite"
    photographs = shared / "faces" / "lfw_devtest_raw250.tar"
    done = subprocess.run(
        [sys.executable, "-m", "tests.camera_mutants"]
        + [str(one) for one in (detector, model_path, photographs, tmp_path, first, count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["crashes"] == {}
    assert sum(found["outcomes"].values()) == count
    # They reach every step, the gallery too, and do not all end at the first.
    assert min(found["outcomes"].get(one, 0) for one in ("file refused", "frame refused", "no sample")) > 50
    assert found["outcomes"]["rejected"] > 50
    assert found["peak_rss_bytes"] < MOST_RSS_BYTES
