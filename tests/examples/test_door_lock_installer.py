"""The door lock's installer, with every system program replaced: it ends with "installed" only if the door runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kits import make_kit, proven_points
from tools.device_lock import SYSTEMS

FOLDER = Path(__file__).parents[2] / "firmware_examples" / "raspberry_pi_door_lock"
REPOSITORY = FOLDER.parents[1]


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

    def install(
        self, *options: str, kit: str = "face", cut: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the installer; its first command that contains `cut` fails."""
        return subprocess.run(
            ["bash", self.root / "example/install.sh", self.root / f"{kit}.edgekit", *options],
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

    def status(self) -> dict[str, Any]:
        """Return what `gallery status` prints."""
        command = [sys.executable, "-m", "edge_sdk.cli", "gallery", "status", "--json"]
        command += ["--installation", str(self.home)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        values: dict[str, Any] = json.loads(done.stdout)
        return values

    def log(self) -> str:
        """Return the commands that the installer ran, one per line."""
        return (self.root / "log").read_text()


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def kits(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
) -> Path:
    """A folder with a kit, and one without evidence."""
    folder = tmp_path_factory.mktemp("kits")
    make_kit(folder / "face.edgekit", make_model(operating_points=proven_points(make_evidence)))
    make_kit(folder / "bare.edgekit", make_model())
    return folder


@pytest.fixture
def board(tmp_path: Path, kits: Path) -> Board:
    for kit in kits.glob("*.edgekit"):
        shutil.copy(kit, tmp_path)
    shutil.copytree(FOLDER, tmp_path / "example")
    script = tmp_path / "example/install.sh"
    text = script.read_text()
    for path in (
        "/var/lib/door-lock",
        "/opt/door-lock",
        "/etc/systemd/system",
        "/etc/os-release",
        "/usr/bin/pinctrl",
        "/usr/local/sbin",
    ):
        text = text.replace(path, f"{tmp_path}{path}")
    script.write_text(text)
    for folder in ("etc/systemd/system", "opt", "var/lib", "usr/local/sbin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(f"VERSION_CODENAME={SYSTEMS[0].release}\n")
    programs = tmp_path / "bin"
    cut = 'echo "$*" >>"$LOG"; [ -n "$CUT" ] && [[ "$*" == *"$CUT"* ]] && exit 137'
    _program(tmp_path / "usr/bin/pinctrl", "exit 0")
    for name in ("apt-get", "useradd", "systemd-analyze"):
        _program(programs / name, "exit 0")
    _program(programs / "systemctl", f"{cut}; exit 0")
    _program(programs / "id", '[ "$1" = -u ] && echo 0; exit 0')
    _program(programs / "runuser", f'{cut}; shift 4; exec {sys.executable} -m edge_sdk.cli "$@"')
    _program(
        programs / "install",
        'args=(); while [ $# -gt 0 ]; do case $1 in -o|-g) shift 2;; *) args+=("$1"); shift;; esac; done\n'
        f'exec {shutil.which("install")} "${{args[@]}}"',
    )
    _program(tmp_path / "opt/door-lock/venv/bin/python", f"{cut}; exit 0")
    return Board(tmp_path)


@pytest.mark.parametrize("cut", ["require-hashes", "no-index", "import lgpio", "setup", "restart"])
def test_a_step_that_fails_is_completed_by_the_next_installation(board: Board, cut: str) -> None:
    first = board.install(cut=cut)
    assert first.returncode != 0 and "installed; enrol" not in first.stdout, first.stdout
    second = board.install()
    assert second.returncode == 0 and "installed; enrol" in second.stdout, second.stderr
    status = board.status()
    assert status["has_policy"] and status["has_attempt_limit"]


def test_a_kit_that_cannot_be_installed_does_not_touch_the_service(board: Board) -> None:
    done = board.install(kit="bare")
    assert done.returncode == 1 and "the kit was not installed" in done.stderr
    assert "restart" not in board.log() and not (board.root / "etc/systemd/system/door-lock.service").exists()


def test_options_go_to_setup(board: Board) -> None:
    assert board.install("--fpir", "0.1", "--camera", "usb:1", "--rotate", "180").returncode == 0
    installation = json.loads((board.home / "installation.json").read_text())
    assert (installation["camera"], installation["rotate"]) == ("usb:1", 180)
    assert "FPIR 0.1," in str(board.status()["decides"])


def test_a_second_installation_keeps_what_the_owner_changed_and_restarts(board: Board) -> None:
    assert board.install("--fpir", "0.1").returncode == 0
    before = board.status()
    assert board.install().returncode == 0
    assert board.status() == before
    assert board.log().count("restart door-lock") == 2


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


def test_another_system_is_refused_before_anything_is_installed(board: Board) -> None:
    (board.root / "etc/os-release").write_text("VERSION_CODENAME=sid\n")
    done = board.install()
    assert done.returncode == 1 and "expected Raspberry Pi OS Bookworm or Trixie, found sid" in done.stderr
    assert not board.home.exists() and not (board.root / "log").exists()


@pytest.mark.parametrize("variable", ["KEY", "FPIR"])
def test_variables_of_an_earlier_version_are_refused(board: Board, variable: str) -> None:
    done = board.install(**{variable: "pi-otp"})
    assert done.returncode == 1 and "give --key and --fpir" in done.stderr
    assert not board.home.exists()


def test_a_board_without_pinctrl_is_refused(board: Board) -> None:
    (board.root / "usr/bin/pinctrl").unlink()
    done = board.install()
    assert done.returncode == 1 and "raspi-utils" in done.stderr
    assert not board.home.exists()


def test_the_installer_names_what_is_missing() -> None:
    script = FOLDER / "install.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "KIT.edgekit" in done.stderr
    done = subprocess.run([script, "/nowhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "edge-convert kit face" in done.stderr


@pytest.mark.parametrize("sdk", ["edge-sdk", "/nowhere", "/nowhere/edge_sdk.whl"])
def test_the_installer_accepts_the_sdk_only_by_its_path(tmp_path: Path, sdk: str) -> None:
    """If pip installed the SDK by name, it could run a stranger's package from the public index as root."""
    kit = tmp_path / "face.edgekit"
    kit.touch()
    done = subprocess.run(
        [FOLDER / "install.sh", kit],
        env={**os.environ, "EDGE_SDK": sdk},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and f"{sdk} is neither a checkout nor a wheel" in done.stderr
