"""The command line with a wrong clock: expired guests stay out, and the operator is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Outcome

# Runs edge-sdk with the clock set to the time in the first argument.
AT = """
import datetime, sys, time
start = datetime.datetime.fromisoformat(sys.argv[1] + "+00:00").timestamp()
now, real = time.time, time.time()
time.time = lambda: start + now() - real
from edge_sdk.cli import main
sys.exit(main(sys.argv[2:]))
"""
Run = Callable[..., Outcome]


@pytest.fixture
def at() -> Run:
    def run(when: str, *arguments: Any) -> Outcome:
        command = [sys.executable, "-c", AT, when, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert "Traceback" not in done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def test_an_expired_guest_stays_out_and_the_operator_is_told(
    at: Run, model_with_evidence: Path, products: list[Any], tmp_path: Path
) -> None:
    files = ("--gallery", tmp_path / "g", "--key", tmp_path / "k")
    model, picture = ("--model", model_with_evidence), products[0].enrol
    until = ("--valid-until", "2026-12-01T00:00:00+00:00")
    assert at("2026-11-30T09:00:00", "enrol", "guest", picture, *model, *files, *until).code == 0
    identify = ("identify", picture, *model, *files, "--threshold", "0.9")
    assert at("2026-11-30T11:00:00", *identify).code == 0
    assert at("2026-12-02T00:00:00", *identify).code == 1
    assert "\texpired\t" in at("2026-12-02T00:00:00", "gallery", "list", *files).out
    for when, behind in (("2026-11-01T00:00:00", "29 days"), ("1970-01-01T00:01:00", "57 years")):
        done = at(when, *identify)
        assert (done.code, done.out) == (1, f"{picture}: rejected\n")
        assert f"edge-sdk: warning: the clock is {behind} behind the gallery" in done.err
    wrong = "2026-11-01T00:00:00"
    status = at(wrong, "gallery", "status", *files)
    assert (status.code, "29 days behind the gallery" in status.out) == (0, True)
    assert at(wrong, "gallery", "verify", *files).code == 1
    doctor = at(wrong, "doctor", *files)
    assert (doctor.code, "29 days behind the gallery" in doctor.out) == (1, True)
    assert "perhaps expired: the clock is behind" in at(wrong, "gallery", "list", *files).out
    refused = at(wrong, "gallery", "reset-clock", *files)
    assert (refused.code, "confirm with --yes" in refused.err) == (3, True)
    assert at(wrong, "gallery", "reset-clock", "--yes", *files).code == 0
    assert (
        "sealed time set back by an administrator: from 2026-11-30"
        in at(wrong, "gallery", "audit", *files).out
    )
    assert at(wrong, *identify).code == 0
