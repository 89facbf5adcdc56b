"""A SIGKILL at any moment loses no acknowledged change of a real process on a real disk."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOOP = Path(__file__).with_name("kill_loop.py")


def run_kill_loop(folder: Path, kills: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, LOOP, folder, str(kills)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, int] = json.loads(done.stdout)
    print(f"\n{report}")
    return report


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    kills = 500
    report = run_kill_loop(tmp_path, kills)
    assert (report["kills"], report["lost"], report["intact"]) == (kills, 0, True)
    # Each kill waits for 0 to 2 acknowledged changes.
    assert report["acknowledged"] > kills / 2
    # A kill between the write of a change and its acknowledgement is what the loop is for.
    assert report["in_flight"] > 0
