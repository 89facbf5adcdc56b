"""A stronger key protects only if the weaker one is gone: warnings, the command that they print, and the door lock's steps."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.door.installation import Installation
from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import BoardKey, FileAnchor, Gallery, KeyFile
from tests.kits import make_kit, proven_points

Run = Callable[..., Any]
README = Path(__file__).parents[2] / "firmware_examples" / "raspberry_pi_door_lock" / "README.md"
OTP = "1" * 64
# A credential of the stand-in for systemd-creds is the secret itself.
STAND_INS = {
    "rpi-otp-private-key": f"echo {OTP}",
    "systemd-creds": """case "$1" in
  encrypt) base64 ;;
  decrypt) base64 -d ;;
esac""",
}
WORDS = "correct horse battery"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for the programs of a board on PATH; return their folder."""
    folder = tmp_path / "board"
    folder.mkdir()
    for name, script in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def anchored(edge_sdk: Run, empty_home: Any, products: list[Any]) -> tuple[str, ...]:
    """Arguments of a gallery with alice in a folder whose name needs quotes, with a key file and an anchor."""
    folder = empty_home.folder / "my door"
    folder.mkdir()
    files = ("--gallery", str(folder / "home.gallery"), "--anchor", str(folder / "home.anchor"))
    key = ("--key", str(folder / "home.key"))
    enrol = edge_sdk("enrol", "alice", products[0].enrol, "--model", empty_home.model, *files, *key)
    assert enrol.code == 0
    return (*files, *key)


@pytest.fixture
def type_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def type_(*lines: str) -> None:
        typed = io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        monkeypatch.setattr("sys.stdin", typed)

    return type_


def printed_command(stderr: str) -> list[str]:
    """Return the arguments of the command in the hint."""
    (hint,) = [line for line in stderr.splitlines() if line.startswith("edge-sdk: hint: ")]
    program, *arguments = shlex.split(hint.removeprefix("edge-sdk: hint: "))
    assert program == "edge-sdk"
    return arguments


@pytest.mark.parametrize(("kind", "level"), [("pi-otp", 3), ("tpm2", 4), ("host", 1), ("passphrase", 2)])
def test_the_command_in_the_warning_leaves_only_the_stronger_key(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path, type_lines: Any, kind: str, level: int
) -> None:
    type_lines(WORDS)
    added = edge_sdk("gallery", "add-key", kind, *anchored)
    assert added.code == 0
    assert "warning: the key file of slot 0 still opens the gallery" in added.err
    assert f"delete {anchored[-1]} after the removal" in added.err
    command = printed_command(added.err)
    assert command[:3] == ["gallery", "remove-key", "0"]
    assert {*anchored[:4]} <= {*command}
    type_lines(WORDS)
    assert edge_sdk(*command).code == 0
    assert edge_sdk("gallery", "list", *anchored).code == 3
    type_lines(WORDS)
    keys = edge_sdk("gallery", "keys", *anchored[:4], "--key", kind, "--json")
    assert [slot["level"] for slot in json.loads(keys.out)] == [level]


def test_the_result_as_json_contains_the_command(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path
) -> None:
    done = edge_sdk("gallery", "add-key", "pi-otp", *anchored, "--json")
    value = json.loads(done.out)
    assert (value["weaker_slots"], value["level"]) == ([0], 3)
    assert shlex.split(value["removal_command"])[1:] == printed_command(done.err)
    doctor = edge_sdk("doctor", *anchored[:4], "--key", "pi-otp", "--json")
    check = next(item for item in json.loads(doctor.out)["findings"] if item["check"] == "gallery's key")
    assert (check["status"], "a weaker key also opens it: key file" in check["found"]) == ("warn", True)


def test_a_third_key_is_kept_if_its_word_is_known(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path
) -> None:
    edge_sdk("gallery", "add-key", "tpm2", *anchored)
    command = printed_command(edge_sdk("gallery", "add-key", "pi-otp", *anchored).err)
    assert command[:5] == ["gallery", "remove-key", "0", "--other-key", "tpm2"]
    assert edge_sdk(*command).code == 0
    for kind in ("tpm2", "pi-otp"):
        assert edge_sdk("gallery", "list", *anchored[:4], "--key", kind).code == 0


def test_two_weaker_keys_are_removed_by_one_rotation(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path, tmp_path: Path
) -> None:
    second = str(tmp_path / "second.key")
    assert "warning" not in edge_sdk("gallery", "add-key", second, *anchored).err
    edge_sdk("gallery", "add-key", "tpm2", *anchored)
    command = printed_command(edge_sdk("gallery", "add-key", "pi-otp", *anchored).err)
    assert command[:6] == ["gallery", "rotate-key", "--to", "pi-otp", "--to", "tpm2"]
    assert edge_sdk(*command).code == 0
    for key in (anchored[-1], second):
        assert edge_sdk("gallery", "list", *anchored[:4], "--key", key).code == 3
    assert edge_sdk("gallery", "list", *anchored[:4], "--key", "tpm2").code == 0


def test_a_recovery_passphrase_beside_a_stronger_key_is_not_questioned(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path, type_lines: Any
) -> None:
    assert edge_sdk("gallery", "rotate-key", "--to", "pi-otp", *anchored).code == 0
    files = (*anchored[:4], "--key", "pi-otp")
    type_lines(WORDS)
    done = edge_sdk("gallery", "add-key", "passphrase", *files)
    assert (done.code, done.out, done.err) == (0, "slot 1: passphrase, level 2\n", "")
    type_lines("long enough")
    weak = edge_sdk("gallery", "add-key", "passphrase", *files)
    assert weak.out == "slot 2: passphrase, level 1\n"
    assert "warning: the passphrase has 11 characters that count as 11" in weak.err


def test_the_level_of_a_passphrase_is_known_only_if_it_is_in_use(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path, type_lines: Any
) -> None:
    type_lines("long enough")
    assert json.loads(edge_sdk("gallery", "add-key", "passphrase", *anchored, "--json").out)["level"] == 1
    assert edge_sdk("gallery", "keys", *anchored).out.splitlines()[1] == "1\tlevel 0, 1 or 2\tpassphrase"
    slot = json.loads(edge_sdk("gallery", "keys", *anchored, "--json").out)[1]
    assert (slot["level"], slot["levels"]) == (None, [0, 1, 2])
    assert "only if the gallery is opened with it" in slot["level_explanation"]
    gap = "the strength of a passphrase is known only if the gallery is opened with it"
    assert gap in edge_sdk("gallery", "status", *anchored).out
    type_lines("long enough")
    opened = edge_sdk("gallery", "keys", *anchored[:4], "--passphrase", "--json")
    own = json.loads(opened.out)[1]
    assert (own["level"], own["levels"], own["level_explanation"]) == (1, [1], None)
    type_lines("long enough")
    assert gap not in edge_sdk("gallery", "status", *anchored[:4], "--passphrase").out


@pytest.mark.parametrize(
    ("key", "kind"), [("pi-otp", "a weaker key"), ("passphrase", "a key that may be weaker")]
)
def test_the_doctor_warns_of_a_passphrase_that_is_or_may_be_weaker(
    edge_sdk: Run, anchored: tuple[str, ...], board: Path, type_lines: Any, key: str, kind: str
) -> None:
    type_lines(WORDS, WORDS)
    assert edge_sdk("gallery", "rotate-key", "--to", key, "--to", "passphrase", *anchored).code == 0
    type_lines(WORDS)
    doctor = edge_sdk("doctor", *anchored[:4], "--key", key, "--json")
    check = next(item for item in json.loads(doctor.out)["findings"] if item["check"] == "gallery's key")
    assert check["status"] == "warn"
    assert f"but {kind} also opens it: passphrase, level 0, 1 or 2" in check["found"]


def test_a_weak_passphrase_is_reported_at_creation(edge_sdk: Run, empty_home: Any, type_lines: Any) -> None:
    files = (*empty_home.files[:2], "--passphrase")
    type_lines("long enough")
    done = edge_sdk("gallery", "create", *files, "--model", empty_home.model)
    assert done.out.endswith("sealed with a passphrase (level 1)\n")
    assert "warning: the passphrase has 11 characters" in done.err
    type_lines("long enough")
    status = edge_sdk("gallery", "status", *files).out
    assert re.search(r"^key_weakness +the passphrase has 11 characters", status, re.MULTILINE)
    assert "not_protected someone who has a copy of the file can guess the passphrase" in status
    type_lines("long enough")
    doctor = edge_sdk("doctor", *files, "--json")
    check = next(item for item in json.loads(doctor.out)["findings"] if item["check"] == "gallery's key")
    assert (check["status"], "has 11 characters" in check["found"]) == ("warn", True)


def steps_of_the_readme() -> list[str]:
    """Return the commands of the door lock's README that follow `systemctl stop` in the section on the key."""
    section = README.read_text(encoding="utf-8").split("## The key\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [line.strip() for line in block.splitlines()]


def test_a_stolen_card_opens_nothing_after_the_steps_of_the_door_locks_readme(
    edge_sdk: Run,
    board: Path,
    tmp_path: Path,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, kit = tmp_path / "door-lock", tmp_path / "face.edgekit"
    make_kit(kit, make_model(operating_points=proven_points(make_evidence)))
    installed = ("--installation", folder)
    setup = ("setup", kit, *installed, "--door", "--accept-licences")
    assert edge_sdk(*setup).code in (0, 1)  # 1: doctor found a problem, such as a missing camera
    gallery = Installation.read(folder).open_gallery(model_id=None)
    with gallery.transaction() as transaction:
        transaction.enrol("alice", np.eye(1, gallery.status().dimension, dtype=np.float32))
    # A copy that a crash left beside the gallery; the commit of the rotation must remove it.
    shutil.copy(folder / "home.gallery", folder / "home.gallery.tmp")
    stop, *steps = steps_of_the_readme()
    assert stop == "sudo systemctl stop door-lock"
    for step in steps:
        _, program, *arguments = shlex.split(step, comments=True)
        if program == "rm":
            (path,) = arguments
            (folder / path.removeprefix("/var/lib/door-lock/")).unlink()
        elif program == "./install.sh":
            assert edge_sdk(*setup, *arguments[1:]).code in (0, 1)
        else:
            assert program == "door-lock"
            done = edge_sdk(*arguments, *installed)
            assert done.code == 0, done.err
    assert done.out == "0\tlevel 3\tboard secret (Raspberry Pi OTP)\tin use\n"
    assert edge_sdk("gallery", "list", *installed).out.startswith("alice\t1\t")
    # The thief has all files of the card, and a board of the same type with another key.
    (board / "rpi-otp-private-key").write_text(f"#!/bin/sh\necho {'2' * 64}\n")
    card = sorted(file for file in folder.rglob("*") if file.is_file())
    assert "home.gallery.tmp" not in {file.name for file in card}
    for file in card:
        for key in (BoardKey(), *map(KeyFile, card)):
            for anchor in (None, FileAnchor(folder / "anchor/home.anchor")):
                with pytest.raises(EdgeSdkError):
                    Gallery.open(file, key=key, anchor=anchor)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EdgeSdkError, match="is not on PATH"):
        Gallery.open(folder / "home.gallery", key=BoardKey())
