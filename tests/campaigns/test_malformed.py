"""Malformed galleries, exports, commands, counters and logs cause a refusal or an answer, never a crash."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("malformed.py")
SLOWEST_MS = 2_000
MOST_RSS_MIB = 256


@pytest.mark.parametrize(
    ("count", "seed"),
    [(5_000, 1), *(pytest.param(15_000, seed, marks=pytest.mark.slow) for seed in (2, 3, 4, 5))],
)
def test_malformed_data_with_a_valid_seal_is_refused_or_answered(count: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, CASES, str(count), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    print(f"\n{report}")
    assert sum(report["tried"].values()) == count
    assert report["slowest_ms"] < SLOWEST_MS
    assert report["rss_mib"] < MOST_RSS_MIB
    # Both results must occur, or the cases do not reach the parsers.
    for kind in ("content", "header"):
        assert 0 < report["refused"][kind] < report["tried"][kind]
