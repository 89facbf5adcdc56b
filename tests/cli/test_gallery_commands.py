"""``edge-sdk gallery`` from the point of view of the gallery's owner: sequences of commands and their output."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.gallery import Gallery, KeyFile

Run = Callable[..., Any]


@pytest.fixture
def type_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that gives lines to the next commands as their stdin."""

    def type_(*lines: str) -> None:
        typed = io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        monkeypatch.setattr("sys.stdin", typed)

    return type_


def test_create_then_enrol_then_look(edge_sdk: Run, empty_home: Any, products: list[Any]) -> None:
    anchor = ("--anchor", str(empty_home.folder / "home.anchor"))
    made = edge_sdk("gallery", "create", *empty_home.all, *anchor)
    assert (made.code, made.out) == (
        0,
        f"created {empty_home.folder / 'home.gallery'}, sealed with a key file (level 0)\n",
    )
    assert made.err.startswith("edge-sdk: made a key file ")
    assert edge_sdk("enrol", "alice", products[0].enrol, *empty_home.all, *anchor).code == 0
    assert edge_sdk("gallery", "revoke", "alice", *empty_home.files, *anchor).out == "revoked alice\n"
    assert edge_sdk("gallery", "list", *empty_home.files, *anchor).out == "alice\t1\t\trevoked\n"
    assert edge_sdk("gallery", "reinstate", "alice", *empty_home.files, *anchor).out == "reinstated alice\n"
    verified = edge_sdk("gallery", "verify", *empty_home.files, *anchor)
    assert verified.code == 0
    assert verified.out.endswith("no problem found\n")
    assert "generation 4, 1 subject with 1 template" in verified.out
    again = edge_sdk("gallery", "create", *empty_home.all, *anchor)
    assert again.code == 3
    assert "exists already" in again.err


def test_an_entry_of_a_time_beyond_the_calendar_is_printed(
    edge_sdk: Run, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version wrote such an entry on a device with a wrong clock."""
    monkeypatch.setattr(
        "edge_sdk.gallery.store.sealed_file.checked_clock", lambda clock: lambda: 9_000_000_000_000_000_000
    )
    Gallery.open(home.folder / "home.gallery", key=KeyFile(home.folder / "home.key")).keys.renew_transform()
    monkeypatch.undo()
    done = edge_sdk("gallery", "audit", *home.files)
    assert done.code == 0
    assert "\t9000000000000000000 s\t" in done.out


def test_a_creation_that_fails_leaves_nothing(edge_sdk: Run, empty_home: Any) -> None:
    (empty_home.folder / "file").write_text("")
    before = empty_home.names()
    done = edge_sdk("gallery", "create", *empty_home.all, "--anchor", empty_home.folder / "file")
    assert done.code == 3
    assert "is not an anchor file" in done.err
    assert empty_home.names() == before


def test_a_recovery_passphrase_and_a_rotation(edge_sdk: Run, home: Any, type_lines: Any) -> None:
    words = ("--gallery", str(home.folder / "home.gallery"), "--passphrase")
    type_lines("correct horse battery")
    assert edge_sdk("gallery", "add-key", "passphrase", *home.files).out == "slot 1: passphrase, level 2\n"
    assert (
        edge_sdk("gallery", "keys", *home.files).out
        == "0\tlevel 0\tkey file\tin use\n1\tlevel 0, 1 or 2\tpassphrase\n"
    )
    type_lines("correct horse battery")
    assert edge_sdk("gallery", "list", *words).out == "alice\t1\t\n"
    new = home.folder / "new.key"
    done = edge_sdk("gallery", "rotate-key", *home.files, "--to", new)
    assert done.out == "key epoch 2: key file; no other key opens it now\n"
    for old in (home.files, words):
        type_lines("correct horse battery")
        refused = edge_sdk("gallery", "list", *old)
        assert refused.code == 3
        assert "wrong key, or the gallery was altered" in refused.err
        assert "was it rotated?" in refused.err
    files = (*home.files[:2], "--key", new)
    assert edge_sdk("gallery", "list", *files).out == "alice\t1\t\n"
    again = edge_sdk("gallery", "rotate-key", *files, "--to", new)
    assert again.code == 3
    assert "opens the gallery now" in again.err


def test_taking_the_passphrase_away_again(edge_sdk: Run, home: Any, type_lines: Any) -> None:
    type_lines("correct horse battery")
    assert edge_sdk("gallery", "add-key", "passphrase", *home.files).code == 0
    refused = edge_sdk("gallery", "remove-key", "0", *home.files)
    assert "slot 0 is the one that opened the gallery" in refused.err
    done = edge_sdk("gallery", "remove-key", "1", *home.files)
    assert done.out == "removed the key of slot 1; key epoch 2\n"
    assert edge_sdk("gallery", "keys", *home.files).out == "0\tlevel 0\tkey file\tin use\n"


def test_an_erasure_prints_its_receipt(edge_sdk: Run, home: Any, type_lines: Any) -> None:
    done = edge_sdk("gallery", "erase", "alice", *home.files, "--json")
    receipt = json.loads(done.out)
    assert (receipt["count"], receipt["provable"], receipt["key_epoch"]) == (1, False, 2)
    assert receipt["statement"].startswith("logically erased, not provably")
    assert edge_sdk("gallery", "list", *home.files).out == ""
    assert edge_sdk("gallery", "erase", "alice", *home.files).code == 3


def test_the_log_is_printed_and_a_broken_one_is_exit_one(edge_sdk: Run, home: Any) -> None:
    edge_sdk("gallery", "revoke", "alice", *home.files)
    done = edge_sdk("gallery", "audit", *home.files)
    lines = done.out.splitlines()
    assert done.code == 0
    assert [line.split("\t")[3] for line in lines[:-1]] == ["create", "enrol", "revoke"]
    assert lines[-1] == "intact: 3 sealed entries"
    log = home.folder / "home.gallery.audit"
    log.write_text(log.read_text().replace(" enrol ", " erase "))
    broken = edge_sdk("gallery", "audit", *home.files)
    assert broken.code == 1
    assert broken.out.splitlines()[-1] == "broken at entry 2 of 3: it is missing or was altered"
    checked = edge_sdk("gallery", "verify", *home.files)
    assert checked.code == 1
    assert "problem: broken at entry 2 of 3" in checked.out
    assert json.loads(edge_sdk("gallery", "audit", *home.files, "--json").out)["intact"] is False


def test_the_log_is_printed_with_names_and_meanings(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    identify = ("identify", products[0].enrol, *home.all, "--threshold", "0.9")
    assert edge_sdk(*identify).code == 0
    out = edge_sdk("gallery", "audit", *home.files).out
    line = next(line for line in out.splitlines() if "\taccepted\t" in line)
    assert line.split("\t")[3:] == ["accepted", "alice", "accepted"]
    assert "\tgallery created: gallery " in out
    log = json.loads(edge_sdk("gallery", "audit", *home.files, "--json").out)
    assert [entry["subject_name"] for entry in log["entries"]] == [None, "alice", "alice"]
    assert [part["state"] for part in log["segments"]] == ["intact"]
    assert log["summary"] == ["intact: 2 sealed entries, 1 not sealed yet"]
    assert edge_sdk("gallery", "log-answers", "off", *home.files).out == "audit log: changes\n"
    assert edge_sdk(*identify).code == 0
    out = edge_sdk("gallery", "audit", *home.files).out
    assert out.count("\taccepted\t") == 1
    assert "\tsetting changed: answers in the audit log" in out
    edge_sdk("gallery", "log-answers", "on", *home.files)
    assert edge_sdk("gallery", "remove", "alice", *home.files).code == 0
    assert "\talice\t" not in edge_sdk("gallery", "audit", *home.files).out


def test_a_backup_goes_on_after_the_owners_word_only(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    files = (*home.files, "--anchor", str(home.folder / "home.anchor"))
    gallery, backup = home.folder / "home.gallery", home.folder / "backup"
    assert "anchor was lost" in edge_sdk("gallery", "list", *files).err
    assert edge_sdk("gallery", "re-anchor", *files, "--yes").code == 0
    shutil.copy(gallery, backup)
    assert edge_sdk("enrol", "bob", products[1].enrol, *home.all, *files[4:]).code == 0
    shutil.copy(backup, gallery)
    refused = edge_sdk("gallery", "list", *files)
    assert refused.code == 3
    assert "an old copy was put back" in refused.err
    assert "re-anchor" in refused.err
    done = edge_sdk("gallery", "re-anchor", *files)
    assert done.code == 3
    assert "generation 3 with 1 subject the newest" in done.err
    assert "subjects that were revoked or erased later are accepted again" in done.err
    done = edge_sdk("gallery", "re-anchor", *files, "--yes")
    assert done.out == "generation 3 is now generation 5, with 1 subject; every other copy is refused\n"
    assert edge_sdk("gallery", "list", *files).out == "alice\t1\t\n"


def test_renewing_the_transform_keeps_everyone(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    done = edge_sdk("gallery", "renew-transform", *home.files)
    assert done.out == "new transform for 1 template in generation 3\n"
    done = edge_sdk("verify", "alice", products[0].enrol, *home.all, "--threshold", "0.95")
    assert done.code == 0


def test_from_one_gallery_to_another(edge_sdk: Run, home: Any, tmp_path: Path) -> None:
    two = ("--gallery", str(tmp_path / "two"), "--key", str(tmp_path / "two.key"))
    assert edge_sdk("gallery", "create", *two, "--model", home.model).code == 0
    recipient = json.loads(edge_sdk("gallery", "status", *two, "--json").out)["recipient"]
    package = tmp_path / "alice.export"
    done = edge_sdk("gallery", "export", "alice", *home.files, "--to", recipient, "--output", package)
    assert done.out == f"{package}: 1 subject, sealed for {recipient[:16]}\n"
    assert package.stat().st_mode & 0o777 == 0o600
    assert edge_sdk("gallery", "import", package, *two).out == "imported alice\n"
    assert edge_sdk("gallery", "list", *two).out == "alice\t1\t\n"
    assert "sealed for another gallery" in edge_sdk("gallery", "import", package, *home.files).err
    once_more = edge_sdk("gallery", "export", "alice", *home.files, "--to", recipient, "--output", package)
    assert "exists already" in once_more.err
    assert edge_sdk("gallery", "export", *home.files, "--to", "ab", "--output", tmp_path / "x").code == 2


def test_a_back_office_revokes_and_cannot_do_it_twice(edge_sdk: Run, home: Any, tmp_path: Path) -> None:
    status = json.loads(edge_sdk("gallery", "status", *home.files, "--json").out)
    order, office = tmp_path / "revoke.command", tmp_path / "office.key"
    signed = edge_sdk(
        "gallery",
        "sign",
        "revoke",
        "alice",
        "--source",
        office,
        "--to",
        status["gallery_id"],
        "--state",
        status["state"],
        "--output",
        order,
        "--json",
    )
    source = json.loads(signed.out)["source"]
    assert "is not one that the gallery accepts" in edge_sdk("gallery", "obey", order, *home.files).err
    assert edge_sdk("gallery", "sources", *home.files, "--add", source).out == f"{source}\t0\n"
    assert edge_sdk("gallery", "obey", order, *home.files).out.startswith("revoke alice (sequence ")
    assert edge_sdk("gallery", "list", *home.files).out == "alice\t1\t\trevoked\n"
    again = edge_sdk("gallery", "obey", order, *home.files)
    assert again.code == 3
    assert "is not newer than" in again.err
    assert edge_sdk("gallery", "sources", *home.files, "--remove", source).out == ""


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tpm-nv:xyz", "expected a hexadecimal NV index"),
        ("tpm-nv:0x1", "expected an NV index in"),
        ("missing.key", "cannot read the key file"),
    ],
)
def test_a_key_that_cannot_be_is_one_error(edge_sdk: Run, home: Any, key: str, message: str) -> None:
    done = edge_sdk("gallery", "list", *home.files[:2], "--key", key)
    assert done.code == 3
    assert message in done.err


@pytest.mark.parametrize("key", ["host", "tpm2", "pi-otp", "tpm-nv"])
def test_a_machine_without_the_program_says_what_to_install(
    edge_sdk: Run, home: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = edge_sdk("gallery", "add-key", key, *home.files)
    assert done.code == 3
    assert "is not on PATH" in done.err
    assert "edge-sdk: hint: " in done.err


def test_a_bound_and_a_label_are_changed(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    later = ("--valid-from", "2200-01-01T00:00Z")
    done = edge_sdk("gallery", "change", "alice", *later, "--label", "left", *home.files)
    assert done.out == "changed alice\n"
    listed = json.loads(edge_sdk("gallery", "list", *home.files, "--json").out)[0]
    assert (listed["label"], listed["valid_from_s"], listed["excluded"]) == (
        "left",
        7258118400,
        "not yet valid",
    )
    verify = ("verify", "alice", products[0].enrol, *home.all, "--threshold", "0.95")
    assert edge_sdk(*verify).code == 1
    assert edge_sdk("gallery", "change", "alice", "--valid-from", "none", *home.files).code == 0
    assert edge_sdk(*verify).code == 0
    done = edge_sdk("gallery", "change", "alice", "--valid-until", "2001-01-01T00:00Z", *home.files)
    assert done.code == 3
    assert "expected valid_until after the present time" in done.err
    assert edge_sdk("gallery", "change", "alice", *home.files).code == 2
    # A day is one of the device's time zone: it begins at its start, and ends after it.
    day = ("--valid-from", "2200-01-01", "--valid-until", "2200-01-01")
    assert edge_sdk("gallery", "change", "alice", *day, *home.files).code == 0
    value = json.loads(edge_sdk("gallery", "list", "--json", *home.files).out)[0]
    assert value["valid_until_s"] - value["valid_from_s"] == 86400
    assert edge_sdk("gallery", "change", "alice", "--valid-from", "2200-01-01T00:00Z", *home.files).code == 0
    assert edge_sdk("gallery", "change", "alice", "--valid-until", "none", *home.files).code == 0
    for wrong in ("soon", "2030-01-01T00:00", "2030-1-1", "2030-02-30"):
        assert edge_sdk("gallery", "change", "alice", "--valid-from", wrong, *home.files).code == 2
    backwards = ("--valid-from", "2030-01-01T00:00Z", "--valid-until", "2029-01-01T00:00Z")
    assert "before valid_from" in edge_sdk("gallery", "change", "alice", *backwards, *home.files).err
    events = edge_sdk("gallery", "audit", *home.files).out
    assert "valid from 2200-01-01T00:00:00Z" in events
    assert "subject changed: name or label" in events


def test_a_visitor_is_enrolled_for_a_time_and_the_list_says_so(
    edge_sdk: Run, empty_home: Any, products: list[Any]
) -> None:
    """Enrolment and validity are one commit: otherwise a failed second command would leave a visitor without a limit."""
    past = ("--valid-until", "2001-01-01T01:00+01:00")
    assert edge_sdk("enrol", "ann", products[0].enrol, *empty_home.all, *past).code == 3
    times = ("--valid-from", "2200-01-01T01:00+01:00", "--valid-until", "2201-01-01T01:00+01:00")
    assert edge_sdk("enrol", "ann", products[0].enrol, *empty_home.all, *times).code == 0
    assert (
        edge_sdk("gallery", "list", *empty_home.files).out
        == "ann\t1\t\tnot yet valid\tfrom 2200-01-01T00:00:00Z\tuntil 2201-01-01T00:00:00Z\n"
    )
    done = edge_sdk("identify", products[0].enrol, *empty_home.all, "--threshold", "0.5")
    assert (done.code, done.out) == (1, f"{products[0].enrol}: rejected\n")
    since = ("--valid-from", "2000-01-01T00:00Z", "--valid-until", "none")
    assert edge_sdk("gallery", "change", "ann", *since, *empty_home.files).code == 0
    assert edge_sdk("gallery", "list", *empty_home.files).out == "ann\t1\t\tfrom 2000-01-01T00:00:00Z\n"
    assert edge_sdk("identify", products[0].enrol, *empty_home.all, "--threshold", "0.5").code == 0
    assert edge_sdk("enrol", "ben", products[1].enrol, *empty_home.all, "--valid-until", "noon").code == 2


def test_without_its_anchor_a_gallery_is_read_but_not_changed(
    edge_sdk: Run, home: Any, tmp_path: Path
) -> None:
    made = ("--gallery", str(tmp_path / "g"), "--key", str(tmp_path / "k"))
    anchor = ("--anchor", str(tmp_path / "anchor"))
    assert edge_sdk("gallery", "create", *made, *anchor, "--model", home.model).code == 0
    listed = edge_sdk("gallery", "list", *made)
    assert listed.code == 0
    assert "warning: the gallery is anchored in a file, and --anchor is missing" in listed.err
    refused = edge_sdk("gallery", "renew-transform", *made)
    assert refused.code == 3
    assert "no anchor was given" in refused.err
    assert edge_sdk("gallery", "verify", *made).code == 1
    assert edge_sdk("gallery", "verify", *made, *anchor).code == 0
    assert edge_sdk("gallery", "re-anchor", *made, *anchor, "--none").code == 2
    assert edge_sdk("gallery", "re-anchor", *made, "--none").code == 3
    removed = edge_sdk("gallery", "re-anchor", *made, "--none", "--yes")
    assert removed.out.endswith("an old copy is no longer noticed\n")
    assert edge_sdk("gallery", "renew-transform", *made).code == 0
    other = ("--anchor", str(tmp_path / "other.anchor"))
    assert edge_sdk("gallery", "re-anchor", *made, *other, "--yes").code == 0
    assert edge_sdk("gallery", "verify", *made, *other).code == 0


def test_signing_refuses_a_file_that_is_not_an_export(edge_sdk: Run, home: Any, tmp_path: Path) -> None:
    to = ("--source", str(tmp_path / "office.key"), "--to", "ab" * 16, "--output", str(tmp_path / "command"))
    to = (*to, "--state", f"12-{'ab' * 16}")
    refused = edge_sdk("gallery", "sign", "enrol", home.model, *to)
    assert (refused.code, "expected an export of a gallery" in refused.err) == (3, True)
    late = edge_sdk("gallery", "sign", "revoke", "alice", *to, "--expires-in", "91")
    assert (late.code, "expected a lifetime of" in late.err) == (3, True)
    assert list(tmp_path.glob("office.key")) == list(tmp_path.glob("command")) == []
