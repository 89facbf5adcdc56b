"""Open galleries use locks and anchors, follow commits of other processes, and refuse copies put in their place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.errors import (
    GalleryChangedError,
    GalleryError,
    InputError,
    ModelMismatchError,
    RollbackError,
)
from edge_sdk.gallery import FileAnchor, Gallery, KeyFile, TpmCounter
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import lock_path
from tests.patience import PATIENCE_S
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, D, embeddings, names

ROOT = Path(__file__).parents[4]


class PowerCutBeforeIt(FileAnchor):
    """An anchor that is not advanced any more, as after a power cut between file and anchor."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        pass


def test_a_tpm_counter_refuses_every_older_generation(path: Path, tpm: str) -> None:
    anchor = TpmCounter(0x0150_0100)
    for _ in range(3):  # so that the counter does not start at 1
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
    # Defining the counter again does not decrease it.
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

    class NotAdvanced(TpmCounter):
        def advance(self, gallery_id: bytes, generation: int) -> None:
            pass

    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    Gallery.open(path, key=KEY, anchor=NotAdvanced(0x0150_0100)).enrol("ann", embeddings(1))
    assert names(path, KEY, anchor=anchor) == ["ann"]
    assert tpm_nv.read_counter(0x0150_0100) == gallery.status().generation + 1


def test_a_counter_far_behind_is_not_worn_out_by_catching_up(path: Path, tpm: str) -> None:
    tpm_nv.define_counter(0x0150_0100)
    with pytest.raises(GalleryError, match="steps behind, at most 1000"):
        TpmCounter(0x0150_0100).advance(bytes(16), 5000)


def test_an_index_that_is_no_counter_is_reported(tpm: str) -> None:
    tpm_nv.store_secret(0x0150_0100, bytes(32), pcrs="")
    with pytest.raises(GalleryError):
        TpmCounter(0x0150_0100).read(bytes(16))
    with pytest.raises(InputError):
        TpmCounter(7)


@pytest.mark.parametrize(
    ("spoil", "cause", "hint"),
    [
        (lambda p: shutil.rmtree(p.parent), "No such file", "create the folder"),
        (lambda p: lock_path(p).symlink_to("/dev/null"), "Too many levels", "is a symbolic link"),
        (lambda p: lock_path(p).mkdir(), "Is a directory", None),
    ],
)
def test_the_error_for_a_failed_lock_states_the_cause(
    tmp_path: Path, spoil: Callable[[Path], object], cause: str, hint: str | None
) -> None:
    place = tmp_path / "folder" / "g"
    place.parent.mkdir()
    gallery = Gallery.create(place, key=KEY, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    lock_path(place).unlink()
    spoil(place)
    with pytest.raises(GalleryError, match=f"cannot lock .*{cause}|no gallery at") as caught:
        gallery.revoke("ann") if place.exists() else Gallery.create(
            place, key=KEY, model_id=MODEL, dimension=D
        )
    assert hint is None or hint in str(caught.value.hint)


def test_a_mistyped_path_leaves_no_lock_behind(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no gallery at"):
        Gallery.open(tmp_path / "hoem.gallery", key=KEY, anchor=FileAnchor(tmp_path / "anchor"))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_was_removed_excludes_no_process() -> None:
    source = """
import sys, time, pathlib
from edge_sdk.gallery.store.files import PosixFileSystem
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
            assert path.exists(), "other processes find the lock that is held"
        holder.stdin.close()
        holder.stdout.close()
        assert holder.wait(PATIENCE_S) == 0


WRITER = """
import sys
import numpy as np
from edge_sdk.gallery import Gallery, KeyFile
from edge_sdk.gallery.store import files
files.LOCK_TIMEOUT_S = 3600  # on a slow machine the other process may hold the lock for a long time
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
        subjects = {s.name: s.revoked for s in reader.subjects()}
        assert len(subjects) >= seen
        seen = len(subjects)
    assert [writer.wait(PATIENCE_S) for writer in writers] == [0, 0]
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
    """An old copy, changed with a key that was removed since, replaces the newest file."""
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


def test_an_anchor_left_behind_by_a_power_cut_is_advanced_by_open_and_refresh(
    path: Path, tmp_path: Path
) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    door = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    gallery_id = door._session.header.gallery_id

    def enrol_without_advance(name: str, seed: int) -> None:
        Gallery.open(path, key=KEY, anchor=PowerCutBeforeIt(tmp_path / "anchor")).enrol(
            name, embeddings(seed)
        )

    enrol_without_advance("ann", 1)
    assert anchor.read(gallery_id) == 1
    assert door.refresh()
    assert anchor.read(gallery_id) == 2
    enrol_without_advance("bob", 2)
    assert names(path, KEY, anchor=anchor) == ["ann", "bob"]
    assert anchor.read(gallery_id) == 3
    # A power cut cannot put the anchor two commits behind: an old anchor or another branch was put in place.
    old = (tmp_path / "anchor").read_bytes()
    other = Gallery.open(path, key=KEY, anchor=anchor)
    other.enrol("cy", embeddings(3))
    other.enrol("di", embeddings(4))
    (tmp_path / "anchor").write_bytes(old)
    with pytest.raises(RollbackError, match="has only seen 3: the anchor was lost or put back"):
        door.refresh()
    assert [s.name for s in door.subjects()] == ["ann"]
    assert anchor.read(gallery_id) == 3


def test_a_newer_gallery_without_the_slot_in_use_needs_a_key_of_another_slot(
    gallery: Gallery, path: Path
) -> None:
    """No command writes a file of the same key epoch with fewer slots, but a holder of a key can."""
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


def test_the_error_after_a_concurrent_commit_states_what_to_do(gallery: Gallery, path: Path) -> None:
    Gallery.open(path, key=KEY).revoke("bob")
    message = rf"^{path} was changed by another process$"
    with pytest.raises(GalleryChangedError, match=message) as caught, gallery.transaction() as t:
        t.revoke("ann")
    assert caught.value.hint == "refresh or open it again, then repeat"


def test_the_report_of_a_gallery_without_a_log_is_an_error(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off")
    with pytest.raises(GalleryError, match=r"^this gallery keeps no audit log$") as caught:
        gallery.audit.report()
    assert caught.value.hint == "create a gallery with --audit changes or --audit all"


def test_a_report_includes_commits_of_other_processes(gallery: Gallery, path: Path) -> None:
    """Entries of another process's commit count as sealed."""
    Gallery.open(path, key=KEY).revoke("ann")
    assert gallery.audit.report().words() == ["intact: 4 sealed entries"]
    assert gallery.subjects()[0].revoked


def test_the_error_for_another_model_names_both_models(gallery: Gallery, path: Path) -> None:
    message = (
        f"^the gallery holds templates of model {MODEL.hex()[:8]}, the model in use is {bytes(32).hex()[:8]}$"
    )
    for check in (
        lambda: gallery.require_model(bytes(32)),
        lambda: Gallery.open(path, key=KEY, model_id=bytes(32)),
    ):
        with pytest.raises(ModelMismatchError, match=message) as caught:
            check()
        assert caught.value.hint == (
            "use the gallery's model file; if only the file's card has changed since, bind the gallery with "
            "edge-sdk gallery bind-model --original EARLIER_FILE; "
            "otherwise enrol again with this model"
        )
    gallery.require_model(MODEL)


def test_a_commit_without_changes_is_logged(gallery: Gallery) -> None:
    from dataclasses import replace

    content = gallery._session.content
    gallery._session.commit(content, replace(content, committed_at_s=content.committed_at_s + 1))
    assert [e.event.event for e in gallery.audit.report().entries][-1] == "commit"
    assert gallery.audit.report().intact
