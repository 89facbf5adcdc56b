"""The comparison of runtimes converts its networks and runs every runtime; all recognize the same people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def test_every_peer_recognizes_everybody_and_the_sdk_is_quicker(shared: Path, tmp_path: Path) -> None:
    faces = shared / "faces"
    command = [sys.executable, "-m", "tools.compare_runtimes", "--json", "--rounds", "24", "--starts", "1"]
    command += ["--zoo", str(shared / "zoo"), "--cache", str(tmp_path)]
    command += ["--photographs", str(faces / "lfw_devtest_raw250.tar")]
    command += ["--calibration", str(faces / "lfw_calibration_aligned112.tar")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["not_run"] == {}
    assert [peer["right"] for peer in result["peers"]] == [24] * 9
    ours = [peer for peer in result["peers"] if peer["name"].startswith("edge-sdk")]
    others = [peer for peer in result["peers"] if not peer["name"].startswith("edge-sdk")]
    # The goal is 1.5 on an idle machine; here 1.2 is enough, because other tests may run at the same time.
    assert min(peer["ratio"] for peer in others) > 1.2
    assert max(peer["peak_rss_mb"] for peer in ours) < 200
    assert all(0 < peer["own_share"] < 1 for peer in ours)
