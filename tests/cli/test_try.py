"""`edge-sdk try` runs the door lock's program: presses from the terminal or a pipe, the strike drawn, one attempt per press."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.door.installation import Installation
from edge_sdk.door.setup import SetupOptions, set_up
from edge_sdk.kit import KitFile
from edge_sdk.vision.images import read_image
from tests.conftest import Outcome
from tests.door_kit import ENROLLED, STRANGER, write_face_kit, write_photographs
from tests.kits import make_kit, proven_points
from tests.patience import PATIENCE_S

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def door(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installation in `door`, and scenes of the enrolled person, a stranger and nobody."""
    folder = tmp_path_factory.mktemp("try")
    kit = KitFile.open(write_face_kit(folder / "face.edgekit", shared))
    done = set_up(kit, SetupOptions(folder=folder / "door", door=True), accept=lambda _: True)
    for person, name in ((ENROLLED, "alice"), (STRANGER, "stranger")):
        photographs = write_photographs(folder / name, shared, person, most=4 if name == "alice" else 1)
        if name == "alice":
            done.installation.open_recognizer().enrol(map(read_image, photographs), "alice")
        for number in range(1, 3):
            shutil.copy(photographs[0], folder / name / f"{number}.jpg")
        (folder / name / "3.jpg").unlink(missing_ok=True)
    (folder / "nobody").mkdir()
    shutil.copy(Path(__file__).parents[2] / "samples/products/calibration/001.jpg", folder / "nobody/0.jpg")
    return folder


def run(door: Path, scene: str, *options: str, presses: str | None = "") -> Outcome:
    """Run the trial; if `presses` is None, its stdin is closed."""
    command = [sys.executable, "-m", "edge_sdk.cli", "try", "--installation", str(door / "door")]
    done = subprocess.run(
        [*command, "--camera", str(door / scene), *options],
        input=presses,
        preexec_fn=(lambda: os.close(0)) if presses is None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.real
def test_an_enrolled_person_opens_the_door(door: Path) -> None:
    done = run(door, "alice")
    assert (done.code, done.err) == (0, "")
    assert [line.split(";")[0] for line in done.out.splitlines()] == [
        "waiting for a press",
        "pressed: look at the camera",
        "accepted: alice",
        "strike OPEN",
        "waiting for a press",
        "strike shut",
    ]


@pytest.mark.real
def test_each_press_of_a_stranger_is_one_attempt(door: Path) -> None:
    Installation.read(door / "door").open_recognizer().gallery.attempts.reset()
    done = run(door, "stranger", "--json", presses="\n\n")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert [event["attempts_before_wait"] for event in events if event["event"] == "waiting"] == [5, 4, 3, 2]
    answers = [event for event in events if event["event"] == "answer"]
    assert (
        answers
        == [{"event": "answer", "decision": "rejected", "subject": None, "reason": "not recognized"}] * 3
    )
    assert not [event for event in events if event["event"] == "strike"]


@pytest.mark.real
def test_a_look_at_nobody_is_no_attempt(door: Path) -> None:
    done = run(door, "nobody", presses=None)
    assert done.code == 1 and "no attempt: no good picture of a face" in done.out
    waiting = [line for line in done.out.splitlines() if line.startswith("waiting")]
    assert len(waiting) == 2 and waiting[0] == waiting[1], "the number of attempts left stays the same"


@pytest.mark.real
def test_enter_presses_the_button_on_a_terminal(door: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge_sdk.cli", "try", "--installation", str(door / "door")]
    process = subprocess.Popen(
        [*command, "--camera", str(door / "alice")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "30"},
    )
    os.close(theirs)
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 4096)

    wait_for(b"[strike shut]  Enter: press t\r")
    assert b"accepted" not in shown, "nothing happens before Enter"
    os.write(ours, b"\n")
    wait_for(b"accepted: alice")
    wait_for(b"s left]")
    os.write(ours, b"q\n")
    wait_for(b"strike shut\r\n")
    assert process.wait(PATIENCE_S) == 0
    os.close(ours)


@pytest.mark.real
@pytest.mark.parametrize("way", ["seconds", "interrupt"])
def test_the_trial_ends_in_time_and_at_an_interrupt(door: Path, way: str) -> None:
    command = [sys.executable, "-m", "edge_sdk.cli", "try", "--installation", str(door / "door")]
    command += ["--camera", str(door / "alice"), *(["--seconds", "3"] if way == "seconds" else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert any("strike OPEN" in line for line in process.stdout)
        if way == "interrupt":
            process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.stderr.read() == ""
    assert "strike shut" in rest and process.returncode == 0


@pytest.mark.real
def test_a_signal_before_the_door_was_opened_gives_the_code_of_a_door_that_stays_shut(door: Path) -> None:
    command = [sys.executable, "-m", "edge_sdk.cli", "try", "--installation", str(door / "door")]
    with subprocess.Popen(
        [*command, "--camera", str(door / "nobody")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NOTIFY_SOCKET": "/nowhere"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiting")
        process.terminate()
        process.stdout.read()
    assert process.returncode == 1


def test_a_kit_without_a_detector_is_refused(
    edge_sdk: Run,
    tmp_path: Path,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
) -> None:
    kit = make_kit(
        tmp_path / "products.edgekit",
        make_model(operating_points=proven_points(make_evidence)),
        name="products",
        detector=False,
        liveness=0,
        licence="",
    )
    set_up(kit, SetupOptions(folder=tmp_path / "door"), accept=lambda _: True)
    done = edge_sdk("try", "--installation", tmp_path / "door")
    assert (
        done.code == 3 and "expected a kit with a face detector, found kit products without one" in done.err
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_that_is_not_above_0_is_refused(edge_sdk: Run, seconds: str) -> None:
    done = edge_sdk("try", "--seconds", seconds)
    assert done.code == 3 and "expected a time above 0 s" in done.err


def test_without_an_installation_it_says_what_to_do(edge_sdk: Run, tmp_path: Path) -> None:
    done = edge_sdk("try", "--installation", tmp_path)
    assert done.code == 3 and "install a kit: edge-sdk setup KIT" in done.err
