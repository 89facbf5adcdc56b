"""Keys bound to a machine (systemd-creds, one-time memory of a board, TPM) open only there.

Tests use the real programs or scripts that stand in for them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, SealError
from edge_sdk.gallery import BoardKey, Gallery, HostKey, KeyProvider, TpmCredentialKey, TpmKey
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.keys.programs import run_program

Put = Callable[[str, str], Path]
OTP = "f8dbc7b0a4fcfb1d706e298ac9d0485c2226ce8df7f7596ac77337bd09fbe160"

# Fake systemd-creds: writes base64, binds the credential to its name and to the file $MACHINE, and logs its arguments.
SYSTEMD_CREDS = """
[ "$1" = encrypt ] || [ "$1" = decrypt ] || exit 1
command="$1"; shift
for a in "$@"; do case "$a" in --name=*) name="${a#--name=}";; --tpm2-device=*) device="$a";; esac; done
echo "$0 $command $*" >> "$CALLS"
[ -f "$MACHINE" ] || { echo "Failed to determine local credential key: No such file" >&2; exit 1; }
mark="$(sha256sum < "$MACHINE" | cut -c1-16)-$name-"
if [ "$command" = encrypt ]; then { printf %s "$mark"; cat; } | base64
else text="$(mktemp)"; base64 -d > "$text"
  head -c ${#mark} "$text" | grep -qxF -e "$mark" || { echo "Failed to decrypt credential: Bad message" >&2; exit 1; }
  tail -c +$((${#mark} + 1)) "$text"; rm "$text"
fi
"""


def make(path: Path, key: KeyProvider) -> Gallery:
    gallery = Gallery.create(path, key=key, model_id=hashlib.sha256(b"m").digest(), dimension=16)
    gallery.enrol("ann", np.ones((1, 16), np.float32))
    return gallery


def test_the_host_key_opens_what_it_sealed(tmp_path: Path, host_credentials: None) -> None:
    made = make(tmp_path / "g", HostKey())
    assert (made.status().key_level, made.status().key_name) == (1, "systemd-creds host key")
    assert [s.name for s in Gallery.open(tmp_path / "g", key=HostKey()).subjects()] == ["ann"]


def test_a_tpm_through_systemd_creds_opens_what_it_sealed(
    tmp_path: Path, tpm: str, host_credentials: None, put_on_path: Put
) -> None:
    # swtpm has no resource manager, which would flush the objects and sessions that systemd-creds leaves.
    put_on_path(
        "systemd-creds",
        f'{shutil.which("systemd-creds")} "$@"; done=$?; tpm2_flushcontext -l; tpm2_flushcontext -t; exit $done',
    )
    key = TpmCredentialKey(device=tpm)
    assert make(tmp_path / "g", key).status().key_level == 4
    assert [s.name for s in Gallery.open(tmp_path / "g", key=key).subjects()] == ["ann"]
    with pytest.raises(GalleryError, match="systemd-creds failed"):
        Gallery.open(tmp_path / "g", key=TpmCredentialKey(device="swtpm:host=127.0.0.1,port=1"))


@pytest.mark.parametrize("kind", [HostKey, TpmCredentialKey])
def test_a_credential_is_the_machines_and_travels_through_pipes_only(
    tmp_path: Path, put_on_path: Put, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    put_on_path("systemd-creds", SYSTEMD_CREDS)
    calls, machine = tmp_path / "calls", tmp_path / "machine"
    machine.write_text("one")
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("MACHINE", str(machine))
    key = kind()
    parameters = key.new_parameters(os.urandom)
    secret = key.secret(parameters)
    arguments = calls.read_text()
    assert f"--with-key={'host' if kind is HostKey else 'tpm2'}" in arguments
    assert "--name=edge-sdk-gallery" in arguments
    assert secret.hex() not in arguments
    make(tmp_path / "g", key)
    machine.write_text("another")
    with pytest.raises(GalleryError, match="systemd-creds failed: Failed to decrypt credential: Bad message"):
        Gallery.open(tmp_path / "g", key=kind())
    machine.unlink()
    with pytest.raises(GalleryError, match="Failed to determine local credential key"):
        make(tmp_path / "h", kind())
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "systemd-creds failed: exit 3"),
        ("echo 'not base64!'", "expected a credential from systemd-creds, found other output"),
        ("true", "1..2048 bytes, found 0"),
        ("head -c 9000 /dev/zero | base64", "1..2048 bytes, found 9000"),
        ("head -c 100000 /dev/zero", "at most 65536 bytes of output"),
        ("[ $1 = encrypt ] && echo AAAA || echo x", "holds 32 bytes, found 2"),
        (
            "[ $1 = encrypt ] && echo AAAA || head -c 32 /dev/zero",
            "decrypts another secret than it encrypted",
        ),
        ("printf 'a\\033[2Jb.\\n' >&2; exit 1", r"systemd-creds failed: a\?\[2Jb$"),
    ],
)
def test_unexpected_output_of_systemd_creds_is_refused(put_on_path: Put, script: str, message: str) -> None:
    put_on_path("systemd-creds", script)
    with pytest.raises(GalleryError, match=message):
        HostKey().new_parameters(os.urandom)


def test_a_slot_without_a_credential_is_malformed() -> None:
    for parameters in (b"", bytes(2049)):
        with pytest.raises(GalleryFormatError):
            HostKey().secret(parameters)


def test_the_boards_secret_opens_and_another_board_does_not(tmp_path: Path, put_on_path: Put) -> None:
    put_on_path("rpi-otp-private-key", f"[ $# = 0 ] && echo {OTP}")
    assert BoardKey().secret(b"") == bytes.fromhex(OTP)
    assert make(tmp_path / "g", BoardKey()).status().key_level == 3
    assert [s.name for s in Gallery.open(tmp_path / "g", key=BoardKey()).subjects()] == ["ann"]
    put_on_path("rpi-otp-private-key", f"echo {OTP[::-1]}")
    with pytest.raises(SealError):
        Gallery.open(tmp_path / "g", key=BoardKey())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"echo {'0' * 64}", "never programmed"),
        ("echo abc", "expected 64 hexadecimal digits from rpi-otp-private-key, found 3 characters"),
        (f"echo {'g' * 64}", "expected 64 hexadecimal digits from rpi-otp-private-key, found 64 characters"),
        (
            "echo 'Failed to read the current key from OTP' >&2; exit 1",
            "Failed to read the current key from OTP",
        ),
    ],
)
def test_a_board_without_a_secret_makes_no_gallery(
    tmp_path: Path, put_on_path: Put, script: str, message: str
) -> None:
    put_on_path("rpi-otp-private-key", script)
    with pytest.raises(GalleryError, match=message):
        make(tmp_path / "g", BoardKey())
    assert not list(tmp_path.glob("g*"))


def test_a_program_that_is_not_there_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for key, package in ((HostKey(), "systemd"), (BoardKey(), "rpi-eeprom"), (TpmKey(), "tpm2-tools")):
        with pytest.raises(GalleryError, match="is not on PATH") as caught:
            key.new_parameters(os.urandom)
        assert caught.value.hint is not None
        assert package in caught.value.hint


def test_a_program_of_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho run")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(GalleryError, match="not on PATH"):
        run_program("tool", hint="")


def test_a_program_that_hangs_is_ended(put_on_path: Put) -> None:
    put_on_path("tool", "exec sleep 30")
    with pytest.raises(GalleryError, match=r"did not end within 0\.2 s"):
        run_program("tool", hint="", timeout_s=0.2)


def test_a_program_that_cannot_be_run_is_an_error(put_on_path: Put) -> None:
    put_on_path("tool", "").write_bytes(b"\x7fELF no program")
    with pytest.raises(GalleryError, match="cannot run"):
        run_program("tool", hint="")


@pytest.mark.parametrize("pcrs", ["sha256:7", ""])
def test_a_secret_in_the_tpm_opens_until_it_is_destroyed(tmp_path: Path, tpm: str, pcrs: str) -> None:
    key = TpmKey(pcrs=pcrs)
    assert make(tmp_path / "g", key).status().key_name == "TPM 2.0 NV memory"
    assert tpm_nv.indices() == {0x0150_0016}
    parameters = Gallery.open(tmp_path / "g", key=TpmKey())._session.header.slots[0].parameters
    key.forget(parameters)
    key.forget(parameters)
    assert tpm_nv.indices() == set()
    with pytest.raises(GalleryError, match="holds no secret at 0x1500016") as caught:
        Gallery.open(tmp_path / "g", key=key)
    assert "before an erasure" in str(caught.value.hint)


def test_no_session_stays_open_in_the_tpm(tmp_path: Path, tpm: str) -> None:
    """A TPM without a resource manager has three sessions: the fourth command would fail."""
    gallery = make(tmp_path / "g", TpmKey())
    for _ in range(4):
        gallery.keys.rotate(TpmKey())
    assert Gallery.open(tmp_path / "g", key=TpmKey()).status().key_epoch == 5
    assert run_program("tpm2_getcap", "handles-loaded-session", hint="") == b""


class KeyWithPowerCut(TpmKey):
    """A key that simulates a power cut after the commit, before the old secret is destroyed."""

    def forget(self, parameters: bytes) -> None:
        raise KeyboardInterrupt


def test_a_secret_that_a_crash_left_in_the_tpm_is_reported_and_prevents_a_provable_erasure(
    tmp_path: Path, tpm: str
) -> None:
    """The secret opens every copy from before the crash, so a receipt must not claim a provable erasure."""
    path = tmp_path / "g"
    gallery = make(path, TpmKey(pcrs=""))
    gallery.enrol("eve", -np.ones((1, 16), np.float32))
    assert gallery.problems() == ()
    old = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        gallery.keys.rotate(KeyWithPowerCut(pcrs=""))
    gallery = Gallery.open(path, key=TpmKey(pcrs=""))
    assert tpm_nv.indices() == {0x0150_0016, 0x0150_0017}
    (problem,) = gallery.problems()
    assert "the TPM holds 0x1500016, which no key of this gallery uses" in problem
    receipt = gallery.erase("eve")
    assert not receipt.provable
    assert "0x1500016" in receipt.statement
    # The older copy still opens and contains eve.
    (tmp_path / "old").write_bytes(old)
    assert [s.name for s in Gallery.open(tmp_path / "old", key=TpmKey(pcrs="")).subjects()] == ["ann", "eve"]
    tpm_nv.undefine(0x0150_0016)
    assert gallery.problems() == ()
    assert gallery.erase("ann").provable
    with pytest.raises(GalleryError, match=r"holds no secret|wrong key"):
        Gallery.open(tmp_path / "old", key=TpmKey(pcrs=""))


def test_galleries_with_different_first_indices_are_independent(tmp_path: Path, tpm: str) -> None:
    make(tmp_path / "one", TpmKey(pcrs=""))
    other = make(tmp_path / "two", TpmKey(index=0x0150_0100, pcrs=""))
    assert other.problems() == ()
    assert other.erase("ann").provable


def test_after_a_change_of_the_boot_chain_the_tpm_keeps_its_secret(tmp_path: Path, tpm: str) -> None:
    make(tmp_path / "g", TpmKey(pcrs="sha256:16"))
    Gallery.open(tmp_path / "g", key=TpmKey())
    run_program("tpm2_pcrextend", f"16:sha256={'ab' * 32}", hint="")
    with pytest.raises(GalleryError, match="a policy check failed"):
        Gallery.open(tmp_path / "g", key=TpmKey())


def test_each_of_eight_slots_has_a_separate_index(tpm: str) -> None:
    key = TpmKey(index=0x0150_0100, pcrs="")
    parameters = [key.new_parameters(os.urandom) for _ in range(8)]
    assert len({key.secret(p) for p in parameters}) == 8
    with pytest.raises(GalleryError, match="expected a free NV index"):
        key.new_parameters(os.urandom)
    key.forget(parameters[3])
    assert key.new_parameters(os.urandom) == parameters[3]


@pytest.mark.parametrize(
    "parameters", [b"", b"\x16\0\x50", b"\x16\0\x50\x01rm -rf", b"\x16\0\x50\x81", b"\x16\0\x50\x01\xff"]
)
def test_a_malformed_tpm_slot_reaches_no_program(monkeypatch: pytest.MonkeyPatch, parameters: bytes) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GalleryFormatError):
        TpmKey().secret(parameters)


@pytest.mark.parametrize(
    "wrong", [{"index": 1}, {"index": 0x01BF_FFFF}, {"pcrs": "sha1:7"}, {"pcrs": "sha256:7 -x"}]
)
def test_an_index_or_register_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TpmKey(**wrong)
