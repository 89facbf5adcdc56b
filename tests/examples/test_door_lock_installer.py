"""The door lock's installer, with every system program replaced: whenever it is interrupted, the next run completes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.face_networks import write_detector, write_liveness
from tools.device_lock import SYSTEMS

FOLDER = Path(__file__).parents[2] / "firmware_examples" / "raspberry_pi_door_lock"
REPOSITORY = FOLDER.parents[1]
# Commands of edge-sdk that the installer runs, and pip's two calls.
STEPS = (
    "require-hashes",
    "no-index",
    "gallery create",
    "gallery policy",
    "gallery limit-attempts",
    "gallery pin-networks",
    "doctor",
)


@dataclass(frozen=True)
class Board:
    """A folder that stands for a Raspberry Pi.

    Args:
        root: The folder; `bin` has the programs that stand for the system's.
    """

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "var/lib/door-lock"

    def install(self, *, cut: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the installer; end it before the first command that contains `cut`."""
        return subprocess.run(
            ["bash", self.root / "example/install.sh", self.root / "models"],
            env={
                **os.environ,
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(REPOSITORY),
                "CUT": cut,
                "LOG": str(self.root / "log"),
                "EDGE_SDK": str(REPOSITORY),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self, key: str = "home.key") -> dict[str, object]:
        """Return what `gallery status` prints."""
        return self.gallery("status", key)

    def gallery(self, command_name: str, key: str = "home.key") -> dict[str, object]:
        """Return what a command of the gallery prints."""
        files = {"gallery": "home.gallery", "key": key, "anchor": "anchor/home.anchor"}
        options = [part for name, file in files.items() for part in (f"--{name}", str(self.home / file))]
        command = [sys.executable, "-m", "edge_sdk.cli", "gallery", command_name, "--json", *options]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        values: dict[str, object] = json.loads(done.stdout)
        return values

    def digest(self, model: str) -> str:
        """Return the SHA-256 of an installed model."""
        return hashlib.sha256((self.home / f"{model}.tflite").read_bytes()).hexdigest()

    def log(self) -> str:
        """Return the commands that the installer ran, one per line."""
        return (self.root / "log").read_text()


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def board(tmp_path: Path, model_with_evidence: Path) -> Board:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(model_with_evidence, models / "face.tflite")
    write_detector(models / "detector.tflite")
    write_liveness(models / "pad_2.7.tflite")
    write_liveness(models / "pad_4.0.tflite", seed=1)
    shutil.copytree(FOLDER, tmp_path / "example")
    script = tmp_path / "example/install.sh"
    text = script.read_text()
    for path in ("/var/lib/door-lock", "/opt/door-lock", "/etc/systemd/system", "/etc/os-release"):
        text = text.replace(path, f"{tmp_path}{path}")
    script.write_text(text)
    for folder in ("etc/systemd/system", "opt", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(f"VERSION_CODENAME={SYSTEMS[0].release}\n")
    programs, cut = (
        tmp_path / "bin",
        'echo "$*" >>"$LOG"; [ -n "$CUT" ] && [[ "$*" == *"$CUT"* ]] && exit 137',
    )
    for name in ("apt-get", "useradd", "systemctl", "systemd-analyze"):
        _program(programs / name, "exit 0")
    _program(programs / "id", '[ "$1" = -u ] && echo 0; exit 0')
    _program(programs / "runuser", f'{cut}; shift 4; exec {sys.executable} -m edge_sdk.cli "$@"')
    _program(
        programs / "install",
        'args=(); while [ $# -gt 0 ]; do case $1 in -o|-g) shift 2;; *) args+=("$1"); shift;; esac; done\n'
        f'exec {shutil.which("install")} "${{args[@]}}"',
    )
    _program(tmp_path / "opt/door-lock/venv/bin/python", f"{cut}; exit 0")
    return Board(tmp_path)


@pytest.mark.parametrize("cut", STEPS)
def test_an_interrupted_installation_is_completed_by_the_next_one(board: Board, cut: str) -> None:
    first = board.install(cut=cut)
    assert (first.returncode == 0 and "installed" in first.stdout) == (cut == "doctor"), first.stderr
    second = board.install()
    assert second.returncode == 0, second.stderr
    status = board.status()
    assert status["has_policy"] and status["has_attempt_limit"]
    pinned = board.gallery("pin-networks")
    assert pinned["detector"] == board.digest("detector")
    assert pinned["liveness"] == sorted([board.digest("pad_2.7"), board.digest("pad_4.0")])


def test_an_installation_with_another_detector_pins_it(board: Board) -> None:
    assert board.install().returncode == 0
    before = board.gallery("pin-networks")["detector"]
    write_detector(board.root / "models/detector.tflite", seed=5)
    assert board.install(cut="gallery pin-networks").returncode != 0
    assert board.gallery("pin-networks")["detector"] == before
    assert board.install().returncode == 0
    assert board.gallery("pin-networks")["detector"] == board.digest("detector") != before


@pytest.mark.parametrize("cut", ["gallery create", "gallery policy"])
def test_an_installation_with_another_key_is_completed_with_that_key(board: Board, cut: str) -> None:
    key = board.home / "board.key"
    assert board.install(cut=cut, KEY=str(key)).returncode != 0
    assert board.install(KEY=str(key)).returncode == 0
    assert board.status("board.key")["has_policy"] and not (board.home / "home.key").exists()
    assert board.install().returncode != 0, "the default key opens nothing"
    assert not (board.home / "home.key").exists()


def test_a_second_installation_writes_no_generation_and_keeps_what_the_owner_changed(board: Board) -> None:
    assert board.install(FPIR="0.1").returncode == 0
    before = board.status()
    assert "FPIR 0.1," in str(before["decides"])
    assert board.install(FPIR="0.05").returncode == 0
    assert board.status() == before


def test_pip_takes_only_files_with_a_known_digest(board: Board) -> None:
    assert board.install().returncode == 0
    calls = [line for line in board.log().splitlines() if line.startswith("-m pip")]
    assert [("--require-hashes" in call, "--no-index" in call) for call in calls] == [
        (True, False),
        (False, True),
    ]
    assert "--upgrade" not in board.log()
    assert f"requirements-{SYSTEMS[0].release}.txt" in calls[0]
    assert calls[1].endswith(str(REPOSITORY)) and "--no-build-isolation" in calls[1]


def test_a_gallery_without_a_policy_is_not_called_installed(board: Board) -> None:
    """The evidence of the model does not support the rate, so no policy is set."""
    done = board.install(FPIR="1e-9")
    assert done.returncode != 0 and "installed" not in done.stdout


def test_another_system_is_refused_before_anything_is_installed(board: Board) -> None:
    (board.root / "etc/os-release").write_text("VERSION_CODENAME=sid\n")
    done = board.install()
    assert done.returncode == 1 and "expected Raspberry Pi OS Bookworm or Trixie, found sid" in done.stderr
    assert not board.home.exists() and not (board.root / "log").exists()


def test_the_installer_names_missing_files() -> None:
    script = FOLDER / "install.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "face.tflite" in done.stderr
    done = subprocess.run([script, "/nowhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "face.tflite is missing" in done.stderr


@pytest.mark.parametrize("sdk", ["edge-sdk", "/nowhere", "/nowhere/edge_sdk.whl"])
def test_the_installer_accepts_the_sdk_only_by_its_path(tmp_path: Path, sdk: str) -> None:
    """If pip installed the SDK by name, it could run a stranger's package from the public index as root."""
    for model in ("face", "detector", "pad_2.7", "pad_4.0"):
        (tmp_path / f"{model}.tflite").touch()
    done = subprocess.run(
        [FOLDER / "install.sh", tmp_path],
        env={**os.environ, "EDGE_SDK": sdk},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and f"{sdk} is neither a checkout nor a wheel" in done.stderr
