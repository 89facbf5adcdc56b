"""Pictures are added to a subject, and keys get names, from the point of view of the gallery's owner."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from edge_sdk.gallery import Gallery, KeyFile

Run = Callable[..., Any]


def test_a_look_is_added_listed_and_removed(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    picture = products[0].probes[0]
    line = ("enrol", "alice", picture, "--add", "--look", "glasses", *home.all)
    done = edge_sdk(*line)
    assert (done.code, done.out) == (0, "added 1 template to alice\n"), done.err
    assert edge_sdk("gallery", "list", *home.files).out.splitlines()[0].endswith("looks: glasses (1)")
    listed = json.loads(edge_sdk("gallery", "list", "--json", *home.files).out)
    assert [(look["name"], look["templates"]) for look in listed[0]["looks"]] == [("glasses", 1)]
    audit = edge_sdk("gallery", "audit", *home.files).out
    assert "alice\tpictures added to the subject: number of templates 1, look glasses\n" in audit
    again = edge_sdk(*line)
    assert (again.code, "already" in again.err) == (3, True)
    nobody = edge_sdk("enrol", "nobody", picture, "--add", *home.all)
    assert "'nobody' is not enrolled" in nobody.err
    without = edge_sdk("enrol", "nobody", picture, "--look", "hat", *home.all)
    assert (
        "expected a look only for pictures that are added to an enrolled subject, found a new" in without.err
    )
    label = edge_sdk("enrol", "alice", picture, "--add", "--label", "x", *home.all)
    assert "expected no label" in label.err
    removed = edge_sdk("gallery", "remove-look", "alice", "glasses", *home.files)
    assert removed.out == "removed the look glasses of alice\n"
    words = edge_sdk("gallery", "audit", *home.files).out
    assert "alice\tpictures added to the subject: number of templates 1, look " in words
    assert "look glasses" not in words, "the look is removed: the log has only its id"
    assert "alice\tlook of the subject removed: number of templates 1" in words


def test_adding_needs_a_gallery(edge_sdk: Run, empty_home: Any, products: list[Any]) -> None:
    done = edge_sdk("enrol", "alice", products[0].enrol, "--add", *empty_home.all)
    assert (done.code, "no gallery at" in done.err) == (3, True)
    assert not empty_home.names()


def test_keys_are_named(edge_sdk: Run, home: Any) -> None:
    new = home.folder / "spare.key"
    added = edge_sdk("gallery", "add-key", new, "--name", "Zoë", "--role", "recovery", *home.files)
    assert added.out == "slot 1: key file, level 0\trole recovery\tname Zoë\n"
    named = edge_sdk("gallery", "name-key", "0", "--role", "device", *home.files)
    assert named.out == "slot 0: key file\trole device\n"
    assert edge_sdk("gallery", "keys", *home.files).out == (
        "0\tlevel 0\tkey file\tin use\trole device\n1\tlevel 0\tkey file\trole recovery\tname Zoë\n"
    )
    value = json.loads(edge_sdk("gallery", "keys", "--json", *home.files).out)
    assert [(slot["given_name"], slot["role"]) for slot in value] == [("", "device"), ("Zoë", "recovery")]
    assert edge_sdk("gallery", "name-key", "0", *home.files).code == 3
    assert "role device" in edge_sdk("gallery", "audit", *home.files).out


def test_a_recovery_key_does_not_replace_the_key_of_the_device(
    edge_sdk: Run, home: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"quokka lantern 7 harbor mist\n")))
    added = edge_sdk("gallery", "add-key", "passphrase", "--role", "recovery", *home.files)
    assert added.code == 0, added.err
    assert "remove" not in added.err
    assert "note: keep the recovery key elsewhere" in added.err


def test_revoking_twice_is_logged_as_such(edge_sdk: Run, home: Any) -> None:
    for _ in range(2):
        assert edge_sdk("gallery", "revoke", "alice", *home.files).code == 0
    out = edge_sdk("gallery", "audit", *home.files).out
    assert "alice\tsubject revoked\n" in out
    assert "alice\tsubject revoked: again\n" in out
    assert "change without further description" not in out


def test_the_limits_for_liveness_detection_stay(edge_sdk: Run, home: Any) -> None:
    limit = ("gallery", "limit-attempts", *home.files)
    assert "after 5 failed" in edge_sdk(*limit).out
    assert "after 10 failed" in edge_sdk(*limit, "--pad").out
    assert "after 10 failed" in edge_sdk(*limit).out
    assert "after 5 failed" in edge_sdk(*limit, "--no-pad").out


def test_the_log_names_people_and_settings_in_words(edge_sdk: Run, home: Any) -> None:
    path, key = home.folder / "home.gallery", KeyFile(home.folder / "home.key")
    gallery = Gallery.open(path, key=key, needs_model=False)
    subjects = gallery.subjects()
    assert edge_sdk("gallery", "limit-attempts", *home.files).code == 0
    assert edge_sdk("gallery", "reset-attempts", *home.files).code == 0
    assert edge_sdk("gallery", "erase", subjects[0].name, *home.files).code == 0
    out = edge_sdk("gallery", "audit", *home.files).out
    assert "limit on failed attempts, wait after 5 failed attempts, disabled after 50, wait of 30 s" in out
    assert "limit on failed attempts, counter set to 0" in out
    assert "\terased subject 1\tsubject erased" in out
    assert subjects[0].id not in out


def test_an_import_lists_what_it_did(edge_sdk: Run, home: Any, products: list[Any], tmp_path: Any) -> None:
    shop = ("--gallery", str(tmp_path / "shop.gallery"), "--key", str(tmp_path / "shop.key"))
    model = ("--model", str(home.model))
    assert edge_sdk("enrol", "bob", products[1].enrol, *shop, *model).code == 0
    recipient = json.loads(edge_sdk("gallery", "status", "--json", *shop).out)["recipient"]
    assert edge_sdk("enrol", "BOB", products[2].enrol, *home.all).code == 0
    package = tmp_path / "all.export"
    assert edge_sdk("gallery", "export", "--to", recipient, "--output", package, *home.files).code == 0
    done = edge_sdk("gallery", "import", package, *shop)
    assert done.code == 1
    assert done.out.splitlines()[0] == "imported alice"
    assert done.out.splitlines()[1].startswith(
        "refused BOB: the name 'BOB' looks like 'bob', which is enrolled"
    )
    again = edge_sdk("gallery", "import", package, "--replace", "--json", *shop)
    value = json.loads(again.out)
    assert (value["replaced"], [item["name"] for item in value["refused"]]) == (["alice"], ["BOB"])


def test_a_backup_is_written_and_restored(edge_sdk: Run, home: Any, tmp_path: Any) -> None:
    backup = tmp_path / "home.backup"
    written = edge_sdk("gallery", "backup", backup, *home.files)
    assert written.code == 0, written.err
    assert f"{backup}: generation 2, 1 subject, 1 file of the audit log" in written.out
    assert "also after they are erased from the gallery: delete it then" in written.out
    assert "the key is not in it, keep it elsewhere" in written.out
    erased = edge_sdk("gallery", "erase", "alice", *home.files)
    assert "backups made before still hold the templates: delete them" in erased.out
    refused = edge_sdk("gallery", "restore", backup, *home.files)
    assert refused.code == 3
    assert "goes back by 1 generation; erased or removed since, and enrolled again: alice" in refused.err
    restored = edge_sdk("gallery", "restore", backup, "--replace", *home.files)
    assert restored.code == 0, restored.err
    assert "generation 2 of the backup is now generation 4" in restored.out
    assert edge_sdk("gallery", "list", *home.files).out.startswith("alice\t1\t")
    audit = edge_sdk("gallery", "audit", *home.files)
    assert (audit.code, "backup restored by an administrator: from generation" in audit.out) == (0, True)
    new = ("--gallery", str(tmp_path / "new.gallery"), "--key", home.files[3], "--anchor", tmp_path / "a")
    (home.folder / "home.gallery").unlink()
    moved = edge_sdk("gallery", "restore", backup, "--json", *new)
    assert json.loads(moved.out)["log"] == "restored"
    both = edge_sdk("gallery", "restore", backup, "--without-anchor", *new)
    assert both.code == 2
