"""`edge-sdk setup` installs a kit, says what its limits mean, and runs doctor."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.door.installation import ENVIRONMENT, FILE_NAME
from tests.conftest import ROOT, Outcome
from tests.kits import make_kit, proven_points
from tests.patience import PATIENCE_S

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def kit(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
) -> Path:
    model = make_model(golden=True, operating_points=proven_points(make_evidence))
    return make_kit(tmp_path_factory.mktemp("kit") / "face.edgekit", model).path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "door"
    monkeypatch.setenv(ENVIRONMENT, str(folder))
    return folder


def test_a_door_is_set_up_and_used_without_naming_a_file(
    edge_sdk: Run, kit: Path, folder: Path, products: list[Any]
) -> None:
    done = edge_sdk("setup", kit, "--door", "--accept-licences", "--camera", ROOT / "samples")
    assert done.code == 0, done.out
    assert f"kit face 1 is installed in {folder}" in done.out
    assert "of 100 strangers who press the button once, at most about 1 gets in" in done.out
    assert "after 10 failed presses in a row everybody waits 30 s between presses; after 100" in done.out
    assert "not measured on your camera" in done.out
    assert "next: edge-sdk face enrol NAME, then edge-sdk try" in done.out
    assert re.search(r"doctor: \d+ of \d+ checks passed", done.out)
    assert "\n  warn  gallery's key  " in done.out
    assert "\n  ok " not in done.out
    assert "face.tflite: Apache-2.0" in done.err
    assert edge_sdk("enrol", "alice", products[0].enrol).code == 0
    assert edge_sdk("identify", products[0].enrol).out.endswith("accepted as alice\n")
    again = edge_sdk("setup", kit, "--door", "--json")
    value = json.loads(again.out)
    assert (value["changes"], value["healthy"], value["door"]) == ([], True, True)
    assert value["files"]["gallery"] == str(folder / "home.gallery")
    assert again.err == ""


def test_a_folder_may_be_named(edge_sdk: Run, kit: Path, folder: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    done = edge_sdk("setup", kit, "--door", "--accept-licences", "--installation", named)
    assert done.code == 0, done.err
    assert (named / FILE_NAME).exists() and not folder.exists()


def test_licences_have_to_be_accepted(edge_sdk: Run, kit: Path, folder: Path) -> None:
    done = edge_sdk("setup", kit, "--door")
    assert done.code == 3
    assert "accept them with --accept-licences" in done.err
    assert not folder.exists()


def test_doctor_compares_the_networks_with_those_that_the_gallery_pins(
    edge_sdk: Run, kit: Path, folder: Path
) -> None:
    edge_sdk("setup", kit, "--door", "--accept-licences")
    value = json.loads((folder / FILE_NAME).read_bytes())
    value["liveness"] = []
    (folder / FILE_NAME).write_text(json.dumps(value))
    done = edge_sdk("doctor")
    assert (done.code, "expected the liveness networks that the gallery pins" in done.out) == (1, True)


@pytest.mark.parametrize(("answers", "code"), [(b"text\nyes\n", 0), (b"no\n", 1)])
def test_licences_are_accepted_on_the_terminal(kit: Path, folder: Path, answers: bytes, code: int) -> None:
    leader, terminal = pty.openpty()
    os.write(leader, answers)
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli", "setup", str(kit)],
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        timeout=PATIENCE_S,
        check=False,
    )
    shown = os.read(leader, 65_536)
    os.close(leader)
    os.close(terminal)
    assert done.returncode == code, shown
    assert b"accept these licences?" in shown
    assert (b"You may use it." in shown) == (code == 0)
    assert (folder / FILE_NAME).exists() == (code == 0)


def test_licences_that_are_redirected_to_a_file_are_not_accepted(kit: Path, folder: Path) -> None:
    leader, terminal = pty.openpty()
    os.write(leader, b"yes\n")
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli", "setup", str(kit)],
        stdin=terminal,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(leader)
    os.close(terminal)
    assert (done.returncode, folder.exists()) == (3, False)
    assert b"accept them with --accept-licences" in done.stderr


def test_a_damaged_kit_installs_nothing(edge_sdk: Run, kit: Path, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.edgekit"
    data = bytearray(kit.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = edge_sdk("setup", damaged, "--door", "--accept-licences")
    assert (done.code, folder.exists()) == (3, False)
    assert "copy it again" in done.err


def test_a_passphrase_is_read_once(kit: Path, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli", "setup", str(kit), "--accept-licences", "--key", "passphrase"],
        input=b"seven quiet words of a long phrase\n",
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "home.key").exists()
    assert b"key: passphrase" in done.stdout


def test_a_problem_found_by_doctor_is_exit_code_1(
    edge_sdk: Run, kit: Path, folder: Path, make_model: Callable[..., bytes], tmp_path: Path
) -> None:
    plain = make_kit(tmp_path / "plain.edgekit", make_model(), detector=False, liveness=0, licence="")
    done = edge_sdk("setup", plain.path)
    assert done.code == 0
    assert "edge-sdk identify IMAGE --fpir RATE" in done.out
    (folder / "home.key").chmod(0o644)
    assert edge_sdk("setup", plain.path).code == 3


def test_setup_says_how_often_enrolled_people_are_refused(edge_sdk: Run, kit: Path, folder: Path) -> None:
    done = edge_sdk("setup", kit, "--door", "--accept-licences", "--camera", ROOT / "samples")
    (line,) = [line for line in done.out.splitlines() if "pictures of enrolled people" in line]
    assert "are unlike a template of theirs with 1 person enrolled" in line


def test_the_digest_of_the_installed_kit_is_that_of_its_file(edge_sdk: Run, kit: Path, folder: Path) -> None:
    edge_sdk("setup", kit, "--accept-licences")
    value = json.loads((folder / FILE_NAME).read_text())
    assert value["kit"]["sha256"] == hashlib.sha256(kit.read_bytes()).hexdigest()


def test_without_a_door_the_next_step_does_not_need_a_policy(edge_sdk: Run, kit: Path, folder: Path) -> None:
    done = edge_sdk("setup", kit, "--accept-licences")
    (line,) = [line for line in done.out.splitlines() if line.startswith("next: ")]
    assert "face identify PHOTO --fpir RATE" in line
    assert "run setup again with --door" in line
