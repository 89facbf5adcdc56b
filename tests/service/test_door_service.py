"""The door lock as it is installed: the real unit under a nested systemd, mock pins, a camera from photographs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.door_kit import ENROLLED, STRANGER, write_face_kit, write_photographs
from tests.service.nested_system import HERE, NestedSystem, NestingUnavailableError, nested_system, wait_for

pytestmark = pytest.mark.real

INSTALL = "/opt/edge-sdk/firmware_examples/raspberry_pi_door_lock/install.sh"
INSTALLATION = "/var/lib/door-lock"
#: The strike must be released within this time after a signal (decision 0029), seconds.
LIMIT_S = 0.1
TERMINATE = "import os, sys, time; print(time.monotonic()); os.kill(int(sys.argv[1]), 15)"
# What differs from a board: where Python finds the pins, and shorter times, so that the tests end soon.
DROP_IN = """[Service]
Environment=PYTHONPATH=/opt/exchange/board:/opt/edge-sdk PYTHONDONTWRITEBYTECODE=1
ReadWritePaths=/opt/exchange
WatchdogSec=10
RestartSec=100ms
"""


@dataclass(frozen=True)
class Door:
    """The installed door lock.

    Args:
        system: The system on which it runs.
    """

    system: NestedSystem

    def scene(self, name: str) -> None:
        """Show something to the camera."""
        place = self.system.exchange / "scene.new"
        place.write_text(name)
        place.rename(self.system.exchange / "scene")

    def changes(self) -> list[tuple[float, bool]]:
        """Return the changes of the strike's pin: time (`time.monotonic`) and state."""
        log = self.system.exchange / "pin"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(float(line.split()[0]), line.endswith(" 1")) for line in lines]

    def press(self) -> None:
        """Press the button."""
        (self.system.exchange / "press").touch()

    def opens(self) -> None:
        """Press the button and wait until the strike is open."""
        before = len(self.changes())
        self.press()
        wait_for(lambda: len(self.changes()) > before and self.changes()[-1][1], "the pulse")

    def install(self, kit: str) -> tuple[int, str]:
        """Run the installer; return its exit code and its output."""
        done = self.system.run(
            INSTALL, f"/opt/exchange/{kit}.edgekit", "--camera", "scene:/opt/exchange/scene", check=False
        )
        return done.returncode, done.stdout + done.stderr

    def pinctrl_calls(self) -> list[str]:
        """Return the arguments with which pinctrl could open its device."""
        log = self.system.exchange / "pinctrl"
        return log.read_text().splitlines() if log.exists() else []

    def active(self) -> bool:
        """Tell if the service is ready."""
        return self.system.show("ActiveState") == "active"

    def pid(self) -> int:
        """Return the process id of the program in the system."""
        return int(self.system.show("MainPID"))


@pytest.fixture(scope="module")
def door(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Install the door lock on a nested system and enrol one person."""
    folder = tmp_path_factory.mktemp("service")
    exchange, root = folder / "exchange", folder / "root"
    root.mkdir()
    shutil.copytree(HERE / "board", exchange / "board")
    (exchange / "test.conf").write_text(DROP_IN)
    write_face_kit(exchange / "face.edgekit", shared)
    write_face_kit(exchange / "renewed.edgekit", shared, threshold=0.42)
    write_face_kit(exchange / "other.edgekit", shared, value_range=(0, 254))
    photographs = write_photographs(exchange / "enrolled", shared, ENROLLED)
    for path in photographs[4:]:
        path.unlink()
    write_photographs(exchange / "stranger", shared, STRANGER, most=1)
    (exchange / "empty").mkdir()
    exchange.chmod(0o777)
    for parent in [exchange, *exchange.parents][:4]:
        parent.chmod(parent.stat().st_mode | 0o011)
    try:
        with nested_system(root, exchange) as system:
            door = Door(system)
            door.scene("enrolled")
            code, output = door.install("face")
            assert code == 0 and "installed; enrol somebody" in output, output
            pictures = (f"/opt/exchange/enrolled/{path.name}" for path in photographs[:4])
            system.run("door-lock", "face", "enrol", "alice", *pictures)
            yield door
    except NestingUnavailableError as error:
        pytest.skip(f"no nested systemd: {error}")


@pytest.fixture
def running(door: Door) -> Door:
    """Let the service run with its strike shut; it is ready when this returns."""
    door.scene("enrolled")
    if not door.active() or (door.changes() and door.changes()[-1][1]):
        door.system.run("systemctl", "restart", "door-lock")
    assert door.active()
    return door


def test_a_press_opens_for_an_enrolled_person_and_not_for_a_stranger(running: Door) -> None:
    running.opens()
    opened = len(running.changes())
    running.scene("stranger")
    running.press()
    wait_for(lambda: "rejected not recognized" in running.system.journal(), "the rejection")
    assert len(running.changes()) - opened <= 1, "only the end of the pulse may follow"
    assert "accepted alice" in running.system.journal()


def test_systemd_knows_every_setting_of_the_unit(door: Door) -> None:
    done = door.system.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/door-lock.service")
    assert done.stdout + done.stderr == ""


def test_sigterm_in_the_pulse_releases_the_strike_at_once(running: Door) -> None:
    times_s = []
    for _ in range(3):  # a busy machine may delay one attempt
        pid = running.pid()
        running.opens()
        # The time is read in the process that sends the signal, so that its start does not count.
        sent_s = float(running.system.run("python3", "-c", TERMINATE, str(pid)).stdout)
        wait_for(lambda: not running.changes()[-1][1], "the release")
        times_s.append(running.changes()[-1][0] - sent_s)
        if times_s[-1] < LIMIT_S:
            break
        wait_for(running.active, "the restart")
    assert min(times_s) < LIMIT_S, times_s
    wait_for(lambda: "set 17 op dl" in running.pinctrl_calls(), "ExecStopPost")


def test_a_killed_program_leaves_the_pin_to_pinctrl_and_is_started_again(running: Door) -> None:
    calls, pid = len(running.pinctrl_calls()), running.pid()
    running.opens()
    running.system.run("kill", "-KILL", str(pid))
    wait_for(lambda: len(running.pinctrl_calls()) > calls, "ExecStopPost")
    assert running.changes()[-1][1], "control: the program itself released nothing"
    wait_for(lambda: running.active() and running.pid() != pid, "the restart")
    running.opens()


def test_pinctrl_needs_the_device_that_the_unit_allows(door: Door) -> None:
    def pinctrl(*properties: str) -> int:
        options = [f"--property={line}" for line in ("DevicePolicy=closed", *properties)]
        command = ["systemd-run", "--quiet", "--wait", "--collect", *options, "/usr/bin/pinctrl", "control"]
        return door.system.run(*command, check=False).returncode

    if pinctrl() == 0:
        pytest.skip("this kernel does not enforce DevicePolicy= in a nested system")
    assert pinctrl("DeviceAllow=/dev/gpiomem rw") == 0


def test_a_lost_camera_ends_the_program_until_it_is_back(running: Door) -> None:
    restarts = int(running.system.show("NRestarts"))
    running.scene("gone")
    wait_for(lambda: int(running.system.show("NRestarts")) > restarts, "a restart")
    assert "unplugged" in running.system.journal()
    assert not running.active()
    running.scene("enrolled")
    wait_for(running.active, "the restart with a camera")
    running.opens()


def test_a_camera_that_hangs_is_noticed_by_the_watchdog(running: Door) -> None:
    pid = running.pid()
    running.scene("stuck")
    wait_for(lambda: running.system.show("Result") == "watchdog" or running.pid() != pid, "the watchdog")
    running.scene("enrolled")
    wait_for(lambda: running.active() and running.pid() != pid, "the restart")


def test_an_update_with_new_evidence_restarts_the_door(running: Door) -> None:
    pid = running.pid()
    code, output = running.install("renewed")
    assert code == 0 and "installed; enrol somebody" in output, output
    assert running.active() and running.pid() != pid
    running.opens()


def test_an_update_that_the_gallery_cannot_use_leaves_the_door_as_it_was(running: Door) -> None:
    pid, files = running.pid(), _digests(running)
    code, output = running.install("other")
    assert code != 0 and "installed; enrol" not in output
    assert "has another network than the gallery" in output and "the kit was not installed" in output
    assert _digests(running) == files
    assert running.active() and running.pid() == pid
    running.opens()


def test_the_door_runs_with_a_read_only_root(running: Door) -> None:
    run = running.system.run
    run("mount", "-o", "remount,bind,ro", "/")
    try:
        assert run("touch", "/opt/x", check=False).returncode != 0
        run("systemctl", "restart", "door-lock")
        failures = _failures(running)
        running.scene("stranger")
        running.press()
        wait_for(lambda: _failures(running) == failures + 1, "the counted attempt")
        running.scene("enrolled")
        running.opens()
        wait_for(lambda: _failures(running) == 0, "the reset of the counter")
    finally:
        run("mount", "-o", "remount,bind,rw", "/")


def _digests(door: Door) -> str:
    """Digests of all files of the installation except the audit log and the attempt counter, which the door writes."""
    return door.system.run(
        "find",
        INSTALLATION,
        "-type",
        "f",
        "-not",
        "-name",
        "*.attempts",
        "-not",
        "-name",
        "*.log",
        "-exec",
        "sha256sum",
        "{}",
        "+",
    ).stdout


def _failures(door: Door) -> int:
    """Failed attempts in a row, as the attempt counter states them."""
    return int(json.loads(door.system.run("door-lock", "gallery", "status", "--json").stdout)["failures"])


def test_the_door_does_not_start_over_a_missing_partition(running: Door) -> None:
    """The last test: with a lost partition, attempts and revocations would be forgotten at every start."""
    run = running.system.run
    drop_in = running.system.exchange / "partition.conf"
    drop_in.write_text(f"[Unit]\nAssertPathIsMountPoint={INSTALLATION}\n")
    run("cp", "/opt/exchange/partition.conf", "/etc/systemd/system/door-lock.service.d/")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "door-lock")
    run("systemctl", "stop", "door-lock")
    run("umount", INSTALLATION)
    assert run("systemctl", "start", "door-lock", check=False).returncode != 0
    assert not running.active()
