"""A backup is one sealed file; a restore makes it the newest generation, and is never silent about what it undoes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryError, GalleryFormatError, RollbackError, SealError
from edge_sdk.gallery import (
    AttemptPolicy,
    Difference,
    FileAnchor,
    Gallery,
    InMemoryKey,
    KeyFile,
    Passphrase,
    Reason,
    Restoration,
    TpmCounter,
)
from edge_sdk.gallery.attempt_counter import counter_path
from edge_sdk.gallery.backup import backup_file
from edge_sdk.gallery.backup.backup_file import MAGIC, Backup, open_backup, seal_backup
from edge_sdk.gallery.exchange.commands import Command, new_source, sign
from edge_sdk.gallery.store.files import audit_path
from tests.simulated_file_system import SimulatedFileSystem
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, QUICK, D, embeddings, names

BOUND = type("BoardLikeKey", (InMemoryKey,), {"slot_type": 4, "name": "board secret"})(b"b" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "old device"
    folder.mkdir()
    return folder / "home.gallery"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    folder = tmp_path / "new device"
    folder.mkdir()
    return folder / "home.gallery"


def anchor_of(gallery: Path) -> FileAnchor:
    return FileAnchor(gallery.with_suffix(".anchor"))


@pytest.fixture
def gallery(path: Path) -> Gallery:
    made = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor_of(path))
    with made.transaction() as t:
        t.enrol("ann", embeddings(1))
        t.enrol("bob", embeddings(2))
        t.limit_attempts(AttemptPolicy(free=3, most=8, wait_s=0))
    made.reject()
    return made


def reopened(path: Path, key: InMemoryKey = KEY) -> Gallery:
    return Gallery.open(path, key=key, model_id=MODEL, anchor=anchor_of(path))


def restore(backup: Path, path: Path, **options: object) -> Restoration:
    return Gallery.restore(backup, path, **{"key": KEY, "anchor": anchor_of(path), **options})  # type: ignore[arg-type]


def test_a_backup_moves_a_gallery_to_a_new_device(gallery: Gallery, tmp_path: Path, new: Path) -> None:
    receipt = gallery.backup(tmp_path / "home.backup")
    assert (receipt.generation, receipt.subjects, receipt.log_files) == (2, 2, 1)
    assert receipt.size_bytes == (tmp_path / "home.backup").stat().st_size
    assert "also after they are erased from the gallery: delete it then" in receipt.statement
    assert (tmp_path / "home.backup").stat().st_mode & 0o777 == 0o600
    result = restore(tmp_path / "home.backup", new)
    assert (result.from_generation, result.generation, result.log, result.subjects) == (2, 3, "restored", 2)
    assert result.difference == Difference()
    moved = reopened(new)
    assert [(s.name, s.id) for s in moved.subjects()] == [(s.name, s.id) for s in gallery.subjects()]
    assert moved.identify(embeddings(1)[0], threshold=0.9).subject == "ann"
    report = moved.audit.report()
    assert report.intact
    events = [entry.event.event for entry in report.entries]
    assert events[:2] == ["create", "enrol"]
    assert [event for event in events if event in ("backup", "restore")] == ["backup", "restore"]
    assert moved.attempts.status() == replace(gallery.attempts.status(), failures=0)  # type: ignore[type-var]
    with pytest.raises(RollbackError):
        Gallery.open(new, key=KEY, model_id=MODEL, anchor=FileAnchor(tmp_path / "unknown"))


def test_failed_attempts_are_not_cleared(gallery: Gallery, tmp_path: Path, new: Path, path: Path) -> None:
    gallery.reject()
    gallery.backup(tmp_path / "two")
    restore(tmp_path / "two", new)
    status = reopened(new).attempts.status()
    assert status is not None
    assert status.failures == 2
    for _ in range(6):
        gallery.reject()
    restore(tmp_path / "two", path, replace=True)
    status = reopened(path).attempts.status()
    assert (status.failures, status.refusal) == (8, Reason.DISABLED)  # type: ignore[union-attr]
    gallery = reopened(path)
    gallery.attempts.reset()
    restore(tmp_path / "two", path, replace=True)
    status = reopened(path).attempts.status()
    assert status.failures == 2, "the limit of the backup has its own counter, from the backup"  # type: ignore[union-attr]
    counter_path(path).unlink()
    restore(tmp_path / "two", path, replace=True)
    assert reopened(path).attempts.status().failures == 2  # type: ignore[union-attr]


def test_a_restore_over_a_gallery_says_what_it_undoes_and_must_be_confirmed(
    gallery: Gallery, tmp_path: Path, path: Path
) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    gallery.erase("ann")
    gallery.revoke("bob")
    gallery.enrol("eve", embeddings(3))
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(GalleryError) as refused:
        restore(backup, path)
    for words in (
        "exists already",
        "goes back by 3 generations",
        "enrolled again: ann",
        "accepted again: bob",
        "missing: eve",
        "if keys were removed or replaced since",
    ):
        assert words in str(refused.value)
    assert "--replace" in str(refused.value.hint)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    result = restore(backup, path, replace=True)
    assert result.difference == Difference(3, 1, ("ann",), ("bob",), ("eve",))
    assert (result.generation, result.log) == (6, "kept")
    again = reopened(path)
    assert [(s.name, s.revoked) for s in again.subjects()] == [("ann", False), ("bob", False)]
    report = again.audit.report()
    assert report.intact
    entries = list(report.entries)
    assert [e.event.event for e in entries][-8:] == (
        ["erase", "segment", "revoke", "enrol", "restore", "enrol", "remove", "reinstate"]
    )
    assert entries[-4].event.detail == "from=2,over=5"
    with pytest.raises(RollbackError, match="key epoch 2 to 1"):
        gallery.refresh()
    again.enrol("dan", embeddings(4))
    assert reopened(path).audit.report().intact


def test_settings_that_a_restore_undoes_are_named_and_logged(
    gallery: Gallery, tmp_path: Path, path: Path
) -> None:
    backup, (_, source) = tmp_path / "home.backup", new_source()
    with gallery.transaction() as t:
        t.limit_attempts(None)
    gallery.exchange.add_source(source)
    gallery.enrol("ann", embeddings(5), add=True, look="wrong")
    gallery.backup(backup)
    gallery.exchange.remove_source(source)
    with gallery.transaction() as t:
        t.limit_attempts(AttemptPolicy())
        t.set_threshold("bob", 0.9)
        t.change("ann", valid_until=4e9)
        t.remove_look("ann", "wrong")
    settings = (
        "ann: subject changed: valid until no limit",
        "ann: pictures added to the subject: number of templates 1, look wrong",
        "setting changed: limit on failed attempts, removed",
        "setting changed: thresholds of single subjects, removed",
        f"command source added: source {source.hex()}",
    )
    with pytest.raises(GalleryError) as refused:
        restore(backup, path)
    assert all(words in str(refused.value) for words in settings)
    assert restore(backup, path, replace=True).difference.settings == settings
    events = [entry.event.event for entry in reopened(path).audit.report().entries]
    assert events[-6:] == ["restore", "change", "add-look", "policy", "policy", "add-source"]


def test_no_command_is_executed_twice_after_a_restore(gallery: Gallery, tmp_path: Path, path: Path) -> None:
    private, source = new_source()
    gallery.exchange.add_source(source)
    gallery.backup(tmp_path / "home.backup")
    status = gallery.status()
    for sequence in (5, 9):
        command = Command.for_state(
            gallery.status().state,
            now_s=time.time(),
            source=source,
            gallery_id=bytes.fromhex(status.gallery_id),
            sequence=sequence,
            action="revoke",
            subject="bob",
        )
        gallery.exchange.execute(sign(command, private))
    restore(tmp_path / "home.backup", path, replace=True)
    assert reopened(path).exchange.sources() == {source.hex(): 9}


def test_a_removed_key_clears_no_failed_attempts(gallery: Gallery, tmp_path: Path, path: Path) -> None:
    gallery.backup(tmp_path / "home.backup")
    gallery.keys.rotate(OTHER)
    for _ in range(7):
        gallery.reject()
    result = restore(tmp_path / "home.backup", path, replace=True)
    assert not result.difference.known
    status = reopened(path).attempts.status()
    assert (status.failures, status.refusal) == (8, Reason.DISABLED)  # type: ignore[union-attr]
    assert "log-lost" in [entry.event.event for entry in reopened(path).audit.report().entries]


def test_an_older_generation_is_never_put_back_silently(gallery: Gallery, tmp_path: Path, path: Path) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    gallery.enrol("eve", embeddings(3))
    path.unlink()
    with pytest.raises(GalleryError, match="the anchor has seen generation 3, which is newer"):
        restore(backup, path)
    result = restore(backup, path, replace=True)
    assert (result.difference.generations, result.log, result.generation) == (1, "kept", 4)
    assert not result.difference.known
    assert reopened(path).audit.report().intact


def test_a_damaged_gallery_is_replaced(gallery: Gallery, tmp_path: Path, path: Path) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    for damaged in (path.read_bytes()[:-1], b"", path.read_bytes()[:50] + b"?" + path.read_bytes()[51:]):
        path.write_bytes(damaged)
        with pytest.raises(GalleryError):
            restore(backup, path)
        assert not restore(backup, path, replace=True).difference.known
        assert [s.name for s in reopened(path).subjects()] == ["ann", "bob"]
        assert reopened(path).audit.report().intact


def test_another_gallery_and_another_log_are_left_alone(gallery: Gallery, tmp_path: Path, new: Path) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    Gallery.create(new, key=KEY, model_id=MODEL, dimension=D)
    before = new.read_bytes()
    for replaces in (False, True):
        with pytest.raises(GalleryError, match="the backup is of gallery"):
            restore(backup, new, replace=replaces)
    assert new.read_bytes() == before
    new.unlink()
    with pytest.raises(GalleryError, match="another audit log"):
        restore(backup, new)
    assert not new.exists()
    assert not new.with_suffix(".anchor").exists()
    audit_path(new).unlink()
    restore(backup, new)
    assert [s.name for s in reopened(new).subjects()] == ["ann", "bob"]


def test_only_a_key_of_the_gallery_opens_a_backup(gallery: Gallery, tmp_path: Path, new: Path) -> None:
    backup = tmp_path / "home.backup"
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words, name="safe", role="recovery")
    receipt = gallery.backup(backup)
    assert [slot.given_name for slot in receipt.opens_elsewhere] == ["", "safe"]
    with pytest.raises(SealError):
        restore(backup, new, key=OTHER)
    assert not any(file.suffix in (".gallery", ".audit") for file in new.parent.iterdir())
    restore(backup, new, key=words)
    assert names(new, words, anchor=anchor_of(new)) == ["ann", "bob"]


def test_keys_of_this_device_need_a_recovery_key_first(path: Path, tmp_path: Path, new: Path) -> None:
    gallery = Gallery.create(path, key=BOUND, model_id=MODEL, dimension=D)
    with pytest.raises(GalleryError, match=r"no key .* another device: board secret") as refused:
        gallery.backup(tmp_path / "bound")
    assert "--role recovery" in str(refused.value.hint)
    assert not (tmp_path / "bound").exists()
    assert gallery.backup(tmp_path / "bound", this_device_only=True).opens_elsewhere == ()
    gallery.keys.add(Passphrase("a recovery phrase", **QUICK))
    receipt = gallery.backup(tmp_path / "both")
    assert "on this device only with: board secret (slot 0)" in receipt.statement
    assert "on another device with: passphrase (slot 1)" in receipt.statement


def test_an_anchor_is_dropped_only_explicitly(gallery: Gallery, tmp_path: Path, new: Path) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    with pytest.raises(GalleryError, match="anchored in a file, and no anchor is given"):
        restore(backup, new, anchor=None)
    assert "an old copy is not noticed" in restore(backup, new, anchor=None, without_anchor=True).statement
    assert Gallery.open(new, key=KEY, model_id=MODEL).identify(embeddings(1)[0], threshold=0.9).accepted


def test_a_gallery_moves_to_a_counter_in_a_tpm(gallery: Gallery, tmp_path: Path, new: Path, tpm: str) -> None:
    backup, counter = tmp_path / "home.backup", TpmCounter(0x01500021)
    gallery.backup(backup)
    result = restore(backup, new, anchor=counter)
    assert counter.read(b"") == result.generation
    moved = Gallery.open(new, key=KEY, model_id=MODEL, anchor=counter)
    moved.enrol("eve", embeddings(3))
    with pytest.raises(GalleryError, match="goes back by 2 generations"):
        restore(backup, new, anchor=counter)
    assert restore(backup, new, anchor=counter, replace=True).generation == result.generation + 2


def test_a_backup_is_written_once_and_needs_the_anchor(gallery: Gallery, tmp_path: Path, path: Path) -> None:
    backup = tmp_path / "home.backup"
    gallery.backup(backup)
    with pytest.raises(GalleryError, match="exists already"):
        gallery.backup(backup)
    for name in ("", ".before", ".captures.1", ".audit.000001", ".tmp", ".attempts.lock"):
        own = path.with_name(path.name + name)
        for step in (gallery.backup, lambda own: restore(own, path, replace=True)):
            with pytest.raises(GalleryError, match="belongs to the gallery"):
                step(own)
    gallery.backup(path.with_name(path.name + ".backup"))
    with pytest.raises(GalleryError, match="anchor"):
        Gallery.open(path, key=KEY, model_id=MODEL).backup(tmp_path / "other")
    with pytest.raises(GalleryError, match="no backup at"):
        restore(tmp_path / "missing", tmp_path / "x")
    with pytest.raises(GalleryFormatError, match="expected a backup"):
        restore(path, tmp_path / "x")


def test_a_key_file_notes_the_new_place(tmp_path: Path, new: Path, path: Path) -> None:
    key = KeyFile.create(tmp_path / "home.key")
    Gallery.create(path, key=key, model_id=MODEL, dimension=D).backup(tmp_path / "home.backup")
    path.unlink()
    Gallery.restore(tmp_path / "home.backup", new, key=key)
    assert str(new) in key.galleries()


@pytest.mark.parametrize("audit", ["off", "changes"])
def test_every_flipped_bit_and_every_cut_is_refused(audit: str) -> None:
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        Path("g/home"), key=KEY, model_id=MODEL, dimension=4, filesystem=files, audit=audit, transform="none"
    )
    gallery.enrol("ann", np.ones((1, 4), np.float32))
    gallery.backup("g/backup")
    data = files.state()[Path("g/backup")]
    opened, generation = open_backup(data, KEY)
    assert set(opened.files) == ({"audit"} if audit == "changes" else set())
    assert seal_backup(opened, generation, random=bytes) != data
    for at in range(len(data)):
        with pytest.raises((SealError, GalleryFormatError)):
            open_backup(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :], KEY)
    for size in range(0, len(data), 5):
        with pytest.raises((SealError, GalleryFormatError)):
            open_backup(data[:size], KEY)
    with pytest.raises((SealError, GalleryFormatError)):
        open_backup(data + b"\0", KEY)
    gallery.enrol("bob", np.array([[1, 2, 3, 4]], np.float32))
    gallery.backup("g/later")
    later = files.state()[Path("g/later")]
    at = len(MAGIC) + 16 + len(opened.gallery)
    with pytest.raises(SealError):
        open_backup(data[:at] + later[len(MAGIC) + 16 + len(files.state()[Path("g/home")]) :], KEY)


@pytest.mark.parametrize(
    "files", [{"../x": b""}, {"audit.1": b""}, {"": b""}, {"attempts.lock": b""}, {"anchor": b""}]
)
def test_files_of_other_names_are_refused_behind_the_seal(files: dict[str, bytes]) -> None:
    system = SimulatedFileSystem()
    Gallery.create(Path("g/home"), key=KEY, model_id=MODEL, dimension=4, filesystem=system).backup("g/backup")
    opened, generation = open_backup(system.state()[Path("g/backup")], KEY)
    made = seal_backup(Backup(opened.gallery, 1, 0, files), generation, random=bytes)
    with pytest.raises(GalleryFormatError, match="expected an audit log"):
        open_backup(made, KEY)


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda b: bytes(16) + b"\1\0\0\0" + b))
)
def test_malformed_companion_files_are_refused_behind_the_seal(text: bytes) -> None:
    with pytest.raises(GalleryFormatError):
        backup_file._parsed(b"", text if text[16:20] != bytes(4) else b"")


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enrol", "look", "erase", "revoke", "rotate", "backup", "restore"]),
        st.integers(0, 3),
    ),
    max_size=10,
)


@settings(max_examples=40, deadline=None)
@given(steps=_STEPS)
def test_any_sequence_of_changes_backups_and_restores_follows_a_dict(steps: list[tuple[str, int]]) -> None:
    """A dict from name to (templates, revoked, id) is the model; a backup copies it, a restore puts the copy back."""
    files = SimulatedFileSystem()
    where, keys = Path("g/home"), [KEY, OTHER]
    anchor = FileAnchor(Path("g/anchor"), filesystem=files)
    gallery = Gallery.create(where, key=KEY, model_id=MODEL, dimension=4, filesystem=files, anchor=anchor)
    model: dict[str, tuple[int, bool, str]] = {}
    saved: list[tuple[Path, dict[str, tuple[int, bool, str]], InMemoryKey]] = []
    key, newest, drawn = KEY, 0, np.random.default_rng(0)
    for kind, number in steps:
        name, rows = f"subject {number}", drawn.normal(size=(2, 4)).astype(np.float32)
        if kind == "enrol" and name not in model:
            gallery.enrol(name, rows)
            identity = next(s.id for s in gallery.subjects() if s.name == name)
            model[name] = (2, False, identity)
        elif kind == "look" and name in model and not model[name][1]:
            gallery.enrol(name, rows, add=True, look=f"look {drawn.integers(1 << 40)}")
            model[name] = (model[name][0] + 2, *model[name][1:])
        elif kind == "erase" and name in model:
            gallery.erase(name)
            del model[name]
        elif kind == "revoke" and name in model:
            gallery.revoke(name)
            model[name] = (model[name][0], True, model[name][2])
        elif kind == "rotate":
            key = keys[keys.index(key) - 1]
            gallery.keys.rotate(key)
        elif kind == "backup":
            saved.append((Path(f"g/backup {len(saved)}"), dict(model), key))
            gallery.backup(saved[-1][0])
        elif kind == "restore" and saved:
            source, content, its_key = saved[number % len(saved)]
            options = {"key": its_key, "anchor": anchor, "filesystem": files}
            with pytest.raises(GalleryError, match="exists already"):
                Gallery.restore(source, where, **options)
            result = Gallery.restore(source, where, replace=True, **options)
            if its_key is key:
                old, now = ({(name, value[2]) for name, value in part.items()} for part in (content, model))
                assert set(result.difference.returning) == {name for name, _ in old - now}
                assert set(result.difference.missing) == {name for name, _ in now - old}
            model, key = dict(content), its_key
            gallery = Gallery.open(where, key=key, model_id=MODEL, anchor=anchor, filesystem=files)
            assert gallery.status().generation > newest
        newest = gallery.status().generation
        assert {s.name: (s.templates, s.revoked, s.id) for s in gallery.subjects()} == model
    gallery = Gallery.open(where, key=key, model_id=MODEL, anchor=anchor, filesystem=files)
    assert {s.name: (s.templates, s.revoked, s.id) for s in gallery.subjects()} == model
