"""Keys that come and go, erasure and its receipt, anchors, renewal: what opens, what opens no more, what remains."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import (
    GalleryChangedError,
    GalleryError,
    GalleryFormatError,
    InputError,
    ModelMismatchError,
    RollbackError,
    SealError,
    SubjectUnknownError,
)
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyFile, Passphrase, TpmCounter, TpmKey
from edge_sdk.gallery.format.content import TRANSFORM_KEY
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import audit_path, lock_path
from tests.simulated_file_system import SimulatedFileSystem

ROOT = Path(__file__).parents[4]
MODEL = hashlib.sha256(b"model").digest()
KEY, OTHER, THIRD = (InMemoryKey(bytes([n]) * 32) for n in (1, 2, 3))
QUICK = {"memory_kib": 64, "passes": 1, "lanes": 1}
D = 32


def embeddings(seed: int, count: int = 1, dimension: int = D) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.gallery"


@pytest.fixture
def gallery(path: Path) -> Gallery:
    made = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    with made.transaction() as t:
        t.enrol("ann", embeddings(1))
        t.enrol("bob", embeddings(2, 3))
    return made


def names(path: Path, key: Any, **options: Any) -> list[str]:
    return [s.name for s in Gallery.open(path, key=key, **options).subjects()]


def test_a_key_that_is_added_opens_and_the_others_go_on(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    assert names(path, words) == names(path, KEY) == ["ann", "bob"]
    Gallery.open(path, key=words).enrol("cy", embeddings(3))
    assert names(path, KEY) == ["ann", "bob", "cy"]
    assert [(s.name, s.level, s.in_use) for s in gallery.keys.slots()] == [
        ("key in memory", 0, True),
        ("passphrase", 2, False),
    ]
    assert gallery.status().key_epoch == 1


def test_a_key_of_another_kind_is_told_by_which_kinds_the_file_is_opened(
    gallery: Gallery, path: Path
) -> None:
    with pytest.raises(SealError, match="wrong key, or the gallery was altered") as caught:
        Gallery.open(path, key=Passphrase("a recovery phrase", **QUICK))
    said = "according to its header the gallery is opened by: key in memory (was it rotated?); found a passphrase"
    assert caught.value.hint == said
    with pytest.raises(SealError) as caught:
        Gallery.open(path, key=OTHER)
    assert "was it rotated?" in str(caught.value.hint)


def test_a_key_that_was_added_twice_is_not_said_to_be_taken_away(gallery: Gallery, path: Path) -> None:
    for _ in range(2):
        gallery.keys.add(OTHER)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match="slot 1 has the same key as slot 2, which would still open"
    ) as caught:
        gallery.keys.remove(1, keep=[OTHER])
    assert "rotate-key" in str(caught.value.hint)
    assert path.read_bytes() == before


def test_eight_keys_fit_and_a_ninth_does_not(gallery: Gallery, path: Path) -> None:
    keys = [InMemoryKey(os.urandom(32)) for _ in range(7)]
    for key in keys:
        gallery.keys.add(key)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="has 8 keys already"):
        gallery.keys.add(OTHER)
    assert path.read_bytes() == before
    assert all(names(path, key) == ["ann", "bob"] for key in [KEY, *keys])


def test_a_rotation_shuts_every_older_key_out(gallery: Gallery, path: Path) -> None:
    gallery.keys.add(OTHER)
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.rotate(THIRD, words)
    assert names(path, THIRD) == names(path, words) == ["ann", "bob"]
    for old in (KEY, OTHER):
        with pytest.raises(SealError) as caught:
            Gallery.open(path, key=old)
        assert "rotated" in str(caught.value.hint)
    gallery.enrol("cy", embeddings(3))
    assert names(path, words) == ["ann", "bob", "cy"]
    assert (gallery.status().key_epoch, gallery.status().key_slots) == (2, 2)


def test_a_rotation_to_the_same_key_is_no_rotation(tmp_path: Path, gallery: Gallery, path: Path) -> None:
    before = path.read_bytes()
    for same in ([KEY], [OTHER, KEY]):
        with pytest.raises(InputError, match="opens the gallery now"):
            gallery.keys.rotate(*same)
    for wrong in ([], [OTHER] * 9):
        with pytest.raises(InputError, match="1 to 8 keys"):
            gallery.keys.rotate(*wrong)
    assert path.read_bytes() == before


def test_a_passphrase_may_be_the_same_and_its_slot_is_new(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.rotate(words)
    old = gallery._session.header.slots[0].parameters
    gallery.keys.rotate(words)
    assert gallery._session.header.slots[0].parameters != old
    assert names(path, words) == ["ann", "bob"]


def test_a_reader_follows_a_rotation_that_keeps_its_key_and_is_told_of_one_that_does_not(
    gallery: Gallery, path: Path
) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    gallery.keys.add(OTHER)
    reader, shut_out = Gallery.open(path, key=words), Gallery.open(path, key=OTHER)
    gallery.keys.remove(2, keep=[words])
    assert reader.refresh()
    assert [s.name for s in reader.subjects()] == ["ann", "bob"]
    with pytest.raises(GalleryError, match="keys were changed") as caught:
        shut_out.refresh()
    assert "new key" in str(caught.value.hint)
    # What it holds in memory does not let it write either.
    with pytest.raises(GalleryChangedError), shut_out.transaction() as t:
        t.revoke("ann")
    assert not any(s.revoked for s in Gallery.open(path, key=KEY).subjects())


def test_taking_a_key_away_needs_the_keys_that_stay(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    gallery.keys.add(OTHER)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"no key given for slot 1 \(passphrase\)"):
        gallery.keys.remove(2)
    with pytest.raises(GalleryError, match="no key given for slot 1"):
        gallery.keys.remove(2, keep=[Passphrase("another phrase", **QUICK)])
    with pytest.raises(InputError, match="slot 0 is the one"):
        gallery.keys.remove(0, keep=[words, OTHER])
    for slot in (-1, 3):
        with pytest.raises(InputError, match=r"0\.\.2"):
            gallery.keys.remove(slot)
    assert path.read_bytes() == before
    gallery.keys.remove(2, keep=[words])
    assert names(path, KEY) == names(path, words) == ["ann", "bob"]
    with pytest.raises(SealError):
        Gallery.open(path, key=OTHER)


def test_a_key_that_was_taken_away_opens_nothing_by_what_it_saw_inside(gallery: Gallery, path: Path) -> None:
    from edge_sdk.gallery.format import sealing
    from edge_sdk.gallery.format.header import parse_header
    from edge_sdk.gallery.store.sealed_file import slot_keys_of

    gallery.keys.add(OTHER)
    seen = slot_keys_of(Gallery.open(path, key=OTHER)._session.content)
    gallery.keys.remove(1)
    header = parse_header(path.read_bytes())
    for slot_key in seen:
        with pytest.raises(SealError):
            sealing.unwrap(header, header.slots[0], slot_key)


def test_the_key_of_a_failed_rotation_opens_nothing_and_the_old_one_does(
    gallery: Gallery, path: Path
) -> None:
    class Broken(InMemoryKey):
        def secret(self, parameters: bytes) -> bytes:
            raise GalleryError("the chip does not answer")

    before = path.read_bytes()
    for change in (
        lambda: gallery.keys.rotate(OTHER, Broken(bytes(range(32)))),
        lambda: gallery.keys.add(Broken(bytes(range(32)))),
    ):
        with pytest.raises(GalleryError, match="does not answer"):
            change()
    assert path.read_bytes() == before
    assert names(path, KEY) == ["ann", "bob"]


def test_an_erasure_without_a_chip_says_that_it_is_not_provable(gallery: Gallery, path: Path) -> None:
    ids = {s.name: s.id for s in gallery.subjects()}
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    receipt = gallery.erase("bob")
    assert (receipt.subjects, receipt.count, receipt.provable) == ((ids["bob"],), 1, False)
    assert receipt.statement.startswith("logically erased, not provably")
    assert (receipt.generation, receipt.key_epoch) == (3, 2)
    assert names(path, KEY) == ["ann"]
    assert names(copy, KEY) == ["ann", "bob"], "which is what the receipt admits"
    assert "bob" not in audit_path(path).read_text()
    assert gallery.audit.report().entries[-1].event.event == "erase"


def test_an_erasure_while_a_key_is_absent_is_done_and_says_so(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    receipt = gallery.erase("bob")
    assert (receipt.provable, receipt.key_epoch) == (False, 1)
    assert "a key that was not given" in receipt.statement
    assert names(path, words) == ["ann"]
    receipt = gallery.erase("ann", keys=[words])
    assert (receipt.provable, receipt.key_epoch) == (False, 2)
    assert names(path, words) == names(path, KEY) == []


def test_an_erasure_of_someone_unknown_erases_nobody(gallery: Gallery, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SubjectUnknownError):
        gallery.erase("bob", "nobody")
    with pytest.raises(InputError):
        gallery.erase()
    assert path.read_bytes() == before


def test_an_erasure_with_a_chip_destroys_what_opened_older_copies(path: Path, tpm: str) -> None:
    key = TpmKey(pcrs="")
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    gallery.enrol("bob", embeddings(2))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    assert names(copy, key) == ["ann", "bob"]
    receipt = gallery.erase("bob")
    assert receipt.provable
    assert "destroyed in the TPM" in receipt.statement
    assert names(path, key) == ["ann"]
    with pytest.raises(GalleryError):
        Gallery.open(copy, key=key)
    assert len(tpm_nv.indices()) == 1


def test_a_chip_beside_a_passphrase_proves_nothing(path: Path, tpm: str) -> None:
    key, words = TpmKey(pcrs=""), Passphrase("a recovery phrase", **QUICK)
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    gallery.keys.add(words)
    receipt = gallery.erase("ann", keys=[words])
    assert not receipt.provable
    assert (receipt.key_epoch, len(tpm_nv.indices())) == (2, 1)


class Holding(TpmKey):
    """A TPM that answers no more when a secret is to be given back."""

    def forget(self, parameters: bytes) -> None:
        raise GalleryError("the TPM does not answer")


def test_a_secret_goes_with_a_gallery_that_did_not_come_to_be(path: Path, tpm: str) -> None:
    nowhere = path.parent / "nowhere" / "g"
    with pytest.raises(GalleryError, match="cannot lock"):
        Gallery.create(nowhere, key=TpmKey(pcrs=""), model_id=MODEL, dimension=D)
    assert tpm_nv.indices() == set()
    with pytest.raises(GalleryError, match="cannot lock"):
        Gallery.create(nowhere, key=Holding(pcrs=""), model_id=MODEL, dimension=D)
    assert len(tpm_nv.indices()) == 1
    Gallery.create(path, key=TpmKey(pcrs=""), model_id=MODEL, dimension=D)
    assert names(path, TpmKey(pcrs="")) == []


def test_a_chips_secret_goes_with_its_slot(path: Path, tpm: str) -> None:
    key = TpmKey(pcrs="")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    gallery.keys.add(key)
    assert len(tpm_nv.indices()) == 1
    with pytest.raises(InputError):
        gallery.keys.rotate(key, KEY)
    gallery.keys.rotate(OTHER)
    assert tpm_nv.indices() == set()
    gallery.keys.add(key)
    gallery.keys.remove(1)
    assert tpm_nv.indices() == set()
    lock_path(path).unlink()
    lock_path(path).mkdir()
    with pytest.raises(GalleryError):
        gallery.keys.add(key)
    assert tpm_nv.indices() == set()


def test_a_tpm_counter_refuses_every_older_generation(path: Path, tpm: str) -> None:
    anchor = TpmCounter(0x0150_0100)
    for _ in range(3):  # so that the counter starts somewhere else than at 1
        tpm_nv.define_counter(0x0150_0200)
        tpm_nv.undefine(0x0150_0200)
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    first = gallery.status().generation
    assert first > 1
    old = [path.read_bytes()]
    for seed in range(2):
        gallery.enrol(f"subject {seed}", embeddings(seed))
        old.append(path.read_bytes())
    assert gallery.status().generation == first + 2 == tpm_nv.read_counter(0x0150_0100)
    for file in old[:-1]:
        path.write_bytes(file)
        with pytest.raises(RollbackError):
            Gallery.open(path, key=KEY, anchor=anchor)
    path.write_bytes(old[-1])
    assert names(path, KEY, anchor=anchor) == ["subject 0", "subject 1"]
    # Defining the counter again does not turn it back.
    tpm_nv.undefine(0x0150_0100)
    tpm_nv.define_counter(0x0150_0100)
    with pytest.raises(RollbackError):
        Gallery.open(path, key=KEY, anchor=anchor)
    with pytest.raises(GalleryError, match="anchor is in use"):
        Gallery.create(path.with_name("b"), key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    Gallery.open(path, key=KEY, anchor=anchor, anchored=False).keys.reanchor()
    assert names(path, KEY, anchor=anchor) == ["subject 0", "subject 1"]


def test_a_power_cut_between_file_and_counter_opens_and_catches_up(path: Path, tpm: str) -> None:
    anchor = TpmCounter(0x0150_0100)
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    without = Gallery.open(path, key=KEY)
    without.enrol("ann", embeddings(1))
    assert names(path, KEY, anchor=anchor) == ["ann"]
    assert tpm_nv.read_counter(0x0150_0100) == gallery.status().generation + 1


def test_a_counter_far_behind_is_not_worn_out_by_catching_up(path: Path, tpm: str) -> None:
    tpm_nv.define_counter(0x0150_0100)
    with pytest.raises(GalleryError, match="steps behind, at most 1000"):
        TpmCounter(0x0150_0100).advance(bytes(16), 5000)


def test_an_index_that_is_no_counter_is_said(tpm: str) -> None:
    tpm_nv.store_secret(0x0150_0100, bytes(32), pcrs="")
    with pytest.raises(GalleryError):
        TpmCounter(0x0150_0100).read(bytes(16))
    with pytest.raises(InputError):
        TpmCounter(7)


def test_a_restored_backup_goes_on_as_the_newest_and_shuts_all_others_out(tmp_path: Path, path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    gallery.enrol("ann", embeddings(1))
    backup = path.read_bytes()
    gallery.enrol("bob", embeddings(2))
    gallery.enrol("cy", embeddings(3))
    newest = path.read_bytes()
    path.write_bytes(backup)
    with pytest.raises(RollbackError) as caught:
        Gallery.open(path, key=KEY, anchor=anchor)
    assert "re-anchor" in str(caught.value.hint)
    restored = Gallery.open(path, key=KEY, anchor=anchor, anchored=False)
    restored.keys.reanchor()
    assert restored.status().generation == 5
    assert names(path, KEY, anchor=anchor) == ["ann"]
    report = restored.audit.report()
    assert report.intact
    assert report.entries[-1].event.detail == "from=2,anchor=4"
    for older in (backup, newest):
        path.write_bytes(older)
        with pytest.raises(RollbackError):
            Gallery.open(path, key=KEY, anchor=anchor)


def test_a_lost_anchor_is_replaced_on_the_owners_word(tmp_path: Path, path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    for seed in range(3):
        gallery.enrol(f"s{seed}", embeddings(seed))
    (tmp_path / "anchor").unlink()
    with pytest.raises(RollbackError, match="anchor was lost"):
        Gallery.open(path, key=KEY, anchor=anchor)
    Gallery.open(path, key=KEY, anchor=anchor, anchored=False).keys.reanchor()
    assert len(names(path, KEY, anchor=anchor)) == 3
    with pytest.raises(InputError, match="expected an anchor"):
        Gallery.open(path, key=KEY).keys.reanchor()


@pytest.mark.parametrize("place", ["nowhere/anchor", "file/anchor"])
def test_an_anchor_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(GalleryError):
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=FileAnchor(tmp_path / place))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]
    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=FileAnchor(tmp_path / "anchor"))


def test_an_error_at_any_step_of_creating_leaves_nothing_but_what_was_there() -> None:
    place, anchor = Path("g/home.gallery"), Path("a/anchor")

    def create(files: SimulatedFileSystem) -> None:
        Gallery.create(
            place,
            key=KEY,
            model_id=MODEL,
            dimension=4,
            anchor=FileAnchor(anchor, filesystem=files),
            filesystem=files,
        )

    files = SimulatedFileSystem()
    create(files)
    steps = len(files.steps)
    assert steps > 10
    for step in range(steps):
        files = SimulatedFileSystem()
        files.fail = {step: OSError(errno.EIO, os.strerror(errno.EIO))}
        with pytest.raises(GalleryError):
            create(files)
        assert files.state() == {}, step
    log = {audit_path(place): b"of a gallery that was here before\n"}
    files = SimulatedFileSystem.holding(log)
    files.fail = {6: OSError(errno.EIO, os.strerror(errno.EIO))}
    with pytest.raises(GalleryError):
        create(files)
    assert files.state()[audit_path(place)].startswith(log[audit_path(place)])


@pytest.mark.parametrize(
    ("spoil", "said", "hint"),
    [
        (lambda p: shutil.rmtree(p.parent), "No such file", "create the folder"),
        (lambda p: lock_path(p).symlink_to("/dev/null"), "Too many levels", "is a symbolic link"),
        (lambda p: lock_path(p).mkdir(), "Is a directory", None),
    ],
)
def test_a_lock_that_cannot_be_had_says_the_cause(
    tmp_path: Path, spoil: Callable[[Path], object], said: str, hint: str | None
) -> None:
    place = tmp_path / "folder" / "g"
    place.parent.mkdir()
    gallery = Gallery.create(place, key=KEY, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    lock_path(place).unlink()
    spoil(place)
    with pytest.raises(GalleryError, match=f"cannot lock .*{said}|no gallery at") as caught:
        gallery.revoke("ann") if place.exists() else Gallery.create(
            place, key=KEY, model_id=MODEL, dimension=D
        )
    assert hint is None or hint in str(caught.value.hint)


def test_a_mistyped_path_leaves_no_lock_behind(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no gallery at"):
        Gallery.open(tmp_path / "hoem.gallery", key=KEY, anchor=FileAnchor(tmp_path / "anchor"))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_was_removed_shuts_nobody_in() -> None:
    source = """
import sys, time, pathlib
from edge_sdk.gallery.storage import PosixFileSystem
path = pathlib.Path(sys.argv[1])
with PosixFileSystem().lock(path):
    print("held", flush=True)
    sys.stdin.readline()
    path.unlink()
"""
    import tempfile

    from edge_sdk.gallery.store.files import PosixFileSystem

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock"
        holder = subprocess.Popen(
            [sys.executable, "-c", source, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.stdin.write("\n")
        holder.stdin.flush()
        with PosixFileSystem().lock(path):
            assert path.exists(), "the lock that is held has a name that others find"
        holder.stdin.close()
        holder.stdout.close()
        assert holder.wait(10) == 0


def test_a_renewed_transform_recognizes_as_before_and_is_unrelated(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=512)
    faces = embeddings(5, 40, 512)
    with gallery.transaction() as t:
        for index, face in enumerate(faces):
            t.enrol(f"s{index}", face)
    before = gallery.references().matrix.astype(np.float64)
    old_file = path.with_name("old")
    shutil.copy(path, old_file)
    gallery.keys.renew_transform()
    after = gallery.references().matrix.astype(np.float64)
    cosine = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert np.abs(cosine).max() < 0.25, "no template is like its former self"
    reopened = Gallery.open(path, key=KEY)
    for opened in (gallery, reopened):
        probes = np.stack([opened.transform_probe(face) for face in faces])
        rows = opened.references().matrix.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert (probes * rows).sum(1).min() > 0.9998
        assert [opened.identify(face, threshold=0.9).subject for face in faces[:3]] == ["s0", "s1", "s2"]
    assert Gallery.open(old_file, key=KEY).identify(faces[0], threshold=0.9).subject == "s0"
    assert (
        reopened.problems() == (f"{lock_path(path)} has mode 0644, expected 0600",) or not reopened.problems()
    )


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_what_a_renewal_costs(path: Path, dtype: str) -> None:
    """The figures of docs/reference/gallery-format.md: the cosine of a template with the embedding it was made of."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=512, dtype=dtype)
    faces = embeddings(5, 50, 512)
    with gallery.transaction() as t:
        for index, face in enumerate(faces):
            t.enrol(f"s{index}", face)

    def worst() -> float:
        probes = np.stack([gallery.transform_probe(face) for face in faces])
        rows = gallery.references().matrix.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return float((probes * rows).sum(1).min())

    lost = [1 - worst()]
    for _ in range(5):
        gallery.keys.renew_transform()
        lost.append(1 - worst())
    print(dtype, [f"{value:.1e}" for value in lost])
    assert lost[0] < lost[1] < 3 * lost[0]
    assert lost[5] < (4e-4 if dtype == "int8" else 1e-6)


def test_a_gallery_without_transform_cannot_renew_it(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, transform="none")
    with pytest.raises(GalleryError, match="without a transform"):
        gallery.keys.renew_transform()
    empty = Gallery.create(path.with_name("empty"), key=KEY, model_id=MODEL, dimension=D)
    empty.keys.renew_transform()
    empty.enrol("ann", embeddings(1))
    assert empty.identify(embeddings(1)[0], threshold=0.9).subject == "ann"


def test_a_renewed_key_of_another_length_is_refused(gallery: Gallery, path: Path) -> None:
    from dataclasses import replace

    from edge_sdk.gallery.format.content import PolicyRecord

    content = gallery._session.content
    record = PolicyRecord(TRANSFORM_KEY, critical=True, value=bytes(31))
    with pytest.raises(GalleryFormatError, match="31 bytes"):
        gallery._session.commit(content, replace(content, policy=(content.policy[0], record)))
    with pytest.raises(GalleryFormatError, match="31 bytes"):
        Gallery.open(path, key=KEY)


def test_what_is_wrong_with_a_gallery_that_opens_is_said(gallery: Gallery, path: Path) -> None:
    assert gallery.problems() == ()
    path.chmod(0o640)
    path.with_name("home.gallery.tmp").write_bytes(b"half")
    log = audit_path(path)
    log.write_bytes(log.read_bytes().replace(b" enrol ", b" erase ", 1))
    found = gallery.problems()
    assert [
        any(word in line for line in found) for word in ("0640", "left by a crash", "broken at entry 2")
    ] == [True] * 3


def test_status_says_what_is_not_protected(path: Path, tmp_path: Path) -> None:
    plain = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off")
    said = "\n".join(plain.status().not_protected)
    for words in (
        "stray copy",
        "old copy that is put back",
        "attempts are not limited",
        "no audit log",
        "photo or a screen",
    ):
        assert words in said
    kept = Gallery.create(
        tmp_path / "b",
        key=Passphrase("a recovery phrase", **QUICK),
        model_id=MODEL,
        dimension=D,
        anchor=FileAnchor(tmp_path / "anchor"),
    )
    kept.keys.add(KEY)
    said = "\n".join(kept.status().not_protected)
    assert "guessed" in said
    assert "1 more key opens it" in said
    assert "no audit log" not in said
    assert "together with its old anchor file" in said
    assert "someone who has the disk also has the key" not in said
    kept.keys.add(KeyFile.create(tmp_path / "key"))
    said = "\n".join(kept.status().not_protected)
    assert "guessed" in said
    assert "someone who has the disk also has the key" in said, "the weaker key counts, and its gap is one"


WRITER = """
import sys
import numpy as np
from edge_sdk.gallery import Gallery, KeyFile
path, key, name = sys.argv[1:4]
gallery = Gallery.open(path, key=KeyFile(key))
for n in range(8):
    gallery.enrol(f"{name} {n}", np.random.default_rng(n).normal(size=(1, 32)).astype("f4"))
    if n % 2:
        gallery.revoke(f"{name} {n}")
"""


def test_two_writers_and_a_reader_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    path, key = tmp_path / "g", KeyFile.create(tmp_path / "key")
    Gallery.create(path, key=key, model_id=MODEL, dimension=D)
    reader = Gallery.open(path, key=key)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, tmp_path / "key", name], cwd=ROOT)
        for name in ("one", "two")
    ]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        reader.refresh()
        found = {s.name: s.revoked for s in reader.subjects()}
        assert len(found) >= seen
        seen = len(found)
    assert [writer.wait(60) for writer in writers] == [0, 0]
    reader.refresh()
    assert {s.name: s.revoked for s in reader.subjects()} == {
        f"{name} {n}": n % 2 == 1 for name in ("one", "two") for n in range(8)
    }
    report = reader.audit.report()
    assert report.intact
    assert report.strays == ()
    assert [entry.event.event for entry in report.entries].count("enrol") == 16
    assert sum(not entry.carried_out for entry in report.entries) == 0


def test_a_running_door_follows_no_other_branch_of_its_gallery(gallery: Gallery, path: Path) -> None:
    """A thief keeps an old copy, changes it with a key that was taken away since, and puts it in place of the newest."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    gallery.revoke("ann")
    door = Gallery.open(path, key=KEY)
    branch = Gallery.open(copy, key=KEY)
    branch.enrol("eve", embeddings(9))
    assert branch.status().generation == door.status().generation
    shutil.copy(copy, path)
    with pytest.raises(
        RollbackError, match=r"^the gallery went from generation 3 to 3: an old copy was put back$"
    ):
        door.refresh()
    assert [(s.name, s.revoked) for s in door.subjects()] == [("ann", True), ("bob", False)]
    with pytest.raises(GalleryError):
        door.revoke("bob")


def test_a_running_door_follows_no_gallery_from_before_a_rotation(gallery: Gallery, path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    gallery.keys.rotate(OTHER)
    branch = Gallery.open(copy, key=KEY)
    for seed in range(3):
        branch.enrol(f"eve {seed}", embeddings(seed + 9))
    shutil.copy(copy, path)
    with pytest.raises(
        RollbackError,
        match=r"^the gallery went from key epoch 2 to 1: it was written with keys from before a rotation$",
    ) as caught:
        gallery.refresh()
    assert (
        caught.value.hint
        == "if you put a backup into use (re-anchor), open it again; else put the newest gallery back"
    )


def test_a_running_door_follows_no_other_gallery(gallery: Gallery, path: Path) -> None:
    other = Gallery.create(path.with_name("other"), key=KEY, model_id=MODEL, dimension=D)
    for seed in range(3):
        other.enrol(f"eve {seed}", embeddings(seed + 9))
    shutil.copy(path.with_name("other"), path)
    with pytest.raises(GalleryError, match=rf"^{path} is another gallery now$") as caught:
        gallery.refresh()
    assert caught.value.hint == "open it again"
    assert [s.name for s in gallery.subjects()] == ["ann", "bob"]


def test_an_anchor_that_a_cut_left_behind_is_brought_up_by_who_opens_and_by_who_runs(
    path: Path, tmp_path: Path
) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    door = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    gallery_id = door._session.header.gallery_id
    without = Gallery.open(path, key=KEY)
    without.enrol("ann", embeddings(1))
    assert anchor.read(gallery_id) == 1
    assert door.refresh()
    assert anchor.read(gallery_id) == 2
    without.enrol("bob", embeddings(2))
    assert names(path, KEY, anchor=anchor) == ["ann", "bob"]
    assert anchor.read(gallery_id) == 3
    # Two commits that the anchor saw nothing of are no cut: it was put back, or another writer's branch is here.
    without.enrol("cy", embeddings(3))
    without.enrol("di", embeddings(4))
    with pytest.raises(RollbackError, match="has only seen 3: the anchor was lost or put back"):
        door.refresh()
    assert [s.name for s in door.subjects()] == ["ann"]
    assert anchor.read(gallery_id) == 3


def test_a_newer_gallery_without_the_slot_that_was_opened_is_opened_by_another_or_not_at_all(
    gallery: Gallery, path: Path
) -> None:
    """Of the same key epoch, which no command of this SDK writes: who holds a key may write what they like."""
    from dataclasses import replace

    from edge_sdk.gallery.format.content import SLOT_KEYS, PolicyRecord
    from edge_sdk.gallery.store.sealed_file import slot_keys_of

    gallery.keys.add(OTHER)
    here, shut_out = Gallery.open(path, key=KEY), Gallery.open(path, key=OTHER)
    session = gallery._session
    content, header = session.content, session.header
    record = PolicyRecord(SLOT_KEYS, critical=True, value=slot_keys_of(content)[0])
    policy = tuple(record if r.kind == SLOT_KEYS else r for r in content.policy)
    session.commit(content, replace(content, policy=policy), header=replace(header, slots=header.slots[:1]))
    assert here.refresh()
    with pytest.raises(
        GalleryError, match=r"^the gallery's keys were changed, and this key no longer opens it$"
    ) as caught:
        shut_out.refresh()
    assert caught.value.hint == "open it again with the new key"


class Unhelpful(FileAnchor):
    """An anchor whose chip answers no more once it has been made ready."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        raise GalleryError("the chip does not answer")

    def abandon(self, gallery_id: bytes) -> None:
        raise GalleryError("the chip still does not answer")


def test_what_went_wrong_first_is_told_and_all_else_is_taken_away(path: Path, tmp_path: Path) -> None:
    anchor = Unhelpful(tmp_path / "anchor")
    with pytest.raises(GalleryError, match=r"^the chip does not answer$"):
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    assert list(tmp_path.iterdir()) == []


def test_an_anchor_that_has_seen_this_gallery_makes_no_second_one_of_its_id(
    path: Path, tmp_path: Path
) -> None:
    """Randomness that repeats: the new gallery would have the id of one that is gone, and its place in the anchor."""
    anchor = FileAnchor(tmp_path / "anchor")

    def random(size_bytes: int) -> bytes:
        return bytes(range(1, size_bytes + 1))

    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor, random=random)
    path.unlink()
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(GalleryError, match=r"^the anchor is in use$") as caught:
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor, random=random)
    assert caught.value.hint == "use a separate anchor for each gallery"
    after = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert after == {file: data for file, data in before.items() if file != lock_path(path)}


def test_who_was_overtaken_is_told_what_to_do(gallery: Gallery, path: Path) -> None:
    Gallery.open(path, key=KEY).revoke("bob")
    said = rf"^{path} was changed by another process$"
    with pytest.raises(GalleryChangedError, match=said) as caught, gallery.transaction() as t:
        t.revoke("ann")
    assert caught.value.hint == "refresh or open it again, then repeat"


def test_a_gallery_that_keeps_no_log_says_so(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off")
    with pytest.raises(GalleryError, match=r"^this gallery keeps no audit log$") as caught:
        gallery.audit.report()
    assert caught.value.hint == "it was created without one"


def test_a_report_is_of_the_gallery_as_it_is_now(gallery: Gallery, path: Path) -> None:
    """Another process committed since; its entries are sealed, not merely there."""
    Gallery.open(path, key=KEY).revoke("ann")
    assert gallery.audit.report().words() == ["intact: 4 sealed entries"]
    assert gallery.subjects()[0].revoked


def test_another_model_is_named_beside_the_gallerys_and_what_to_do(gallery: Gallery, path: Path) -> None:
    said = (
        f"^the gallery holds templates of model {MODEL.hex()[:8]}, the model in use is {bytes(32).hex()[:8]}$"
    )
    for ask in (
        lambda: gallery.require_model(bytes(32)),
        lambda: Gallery.open(path, key=KEY, model_id=bytes(32)),
    ):
        with pytest.raises(ModelMismatchError, match=said) as caught:
            ask()
        assert caught.value.hint == "use the gallery's model, or enrol again with this one"
    gallery.require_model(MODEL)


def test_who_came_through_one_slot_goes_on_through_it(gallery: Gallery, path: Path) -> None:
    gallery.keys.add(OTHER)
    opened = Gallery.open(path, key=OTHER)
    opened.revoke("ann")
    assert [slot.in_use for slot in opened.keys.slots()] == [False, True]
    with pytest.raises(InputError, match="slot 1 is the one"):
        opened.keys.remove(1, keep=[KEY])
    opened.keys.remove(0)
    assert names(path, OTHER) == ["ann", "bob"]


def test_a_commit_in_which_nothing_changed_is_an_entry_all_the_same(gallery: Gallery) -> None:
    from dataclasses import replace

    content = gallery._session.content
    gallery._session.commit(content, replace(content, committed_at_s=content.committed_at_s + 1))
    assert [e.event.event for e in gallery.audit.report().entries][-1] == "commit"
    assert gallery.audit.report().intact
