"""The commit holds: power cuts between any two steps, kills, full disks, other processes."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import GalleryError, RollbackError, SealError
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyFile
from edge_sdk.gallery import storage as gallery_storage
from edge_sdk.gallery.simulation import PowerCut, SimulatedFileSystem
from edge_sdk.gallery.storage import PosixFileSystem, audit_path, lock_path, tmp_path

ROOT = Path(__file__).parents[3]
PATH = Path("gallery/home.gallery")
ANCHOR = Path("anchor/home.anchor")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
State = dict[Path, bytes]


def embedding(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)


def create(files: SimulatedFileSystem, transform: str = "none") -> Gallery:
    return Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=4,
        transform=transform,
        anchor=FileAnchor(ANCHOR, filesystem=files),
        filesystem=files,
    )


def reopen(files: SimulatedFileSystem) -> Gallery:
    anchor = FileAnchor(ANCHOR, filesystem=files)
    try:
        return Gallery.open(PATH, key=KEY, anchor=anchor, filesystem=files)
    except SealError:
        return Gallery.open(PATH, key=OTHER, anchor=anchor, filesystem=files)


def with_two_subjects(transform: str = "none") -> State:
    files = SimulatedFileSystem()
    gallery = create(files, transform)
    with gallery.transaction() as t:
        t.enrol("ann", embedding(1))
        t.enrol("bob", embedding(2))
    return files.state()


def after_a_crash_with_leftovers() -> State:
    state = with_two_subjects()
    return {**state, tmp_path(PATH): b"left over", tmp_path(ANCHOR): b"left over"}


def one_ahead_of_its_anchor() -> State:
    files = SimulatedFileSystem.holding(with_two_subjects())
    anchor = files.state()[ANCHOR]
    reopen(files).enrol("cy", embedding(3))
    return {**files.state(), ANCHOR: anchor}


def enrol(files: SimulatedFileSystem) -> None:
    reopen(files).enrol("dan", embedding(4))


def remove(files: SimulatedFileSystem) -> None:
    reopen(files).remove("ann")


def revoke(files: SimulatedFileSystem) -> None:
    with reopen(files).transaction() as t:
        t.revoke("ann")


def erase(files: SimulatedFileSystem) -> None:
    reopen(files).erase("ann")


def add_key(files: SimulatedFileSystem) -> None:
    reopen(files).add_key(OTHER)


def rotate_key(files: SimulatedFileSystem) -> None:
    reopen(files).rotate_key(OTHER)


def renew_transform(files: SimulatedFileSystem) -> None:
    reopen(files).renew_transform()


def re_anchor(files: SimulatedFileSystem) -> None:
    reopen(files).reanchor()


def anchor_before_file(files: SimulatedFileSystem) -> None:
    gallery = reopen(files)
    status = gallery.status()
    FileAnchor(ANCHOR, filesystem=files).advance(bytes.fromhex(status.gallery_id), status.generation + 1)
    gallery.enrol("dan", embedding(4))


def without_log(state: State) -> State:
    """A state but for the audit log, which says what is about to be done before it is."""
    return {path: data for path, data in state.items() if path != audit_path(PATH)}


def held(state: State) -> list[tuple[str, bool]] | None:
    """Who the gallery in a state holds, by opening it; then change it once more, to see that it still can be."""
    if PATH not in state:
        return None
    files = SimulatedFileSystem.holding(state)
    gallery = reopen(files)
    found = [(s.name, s.revoked) for s in gallery.subjects()]
    if not gallery.audit().intact:
        return [("part of the log is lost", True)]
    gallery.enrol("after the cut", embedding(9))
    assert len(reopen(files).subjects()) == len(found) + 1
    assert reopen(files).audit().intact
    return found


def survey(
    start: State,
    change: Callable[[SimulatedFileSystem], object],
    ignored: tuple[str, ...] = (),
    *,
    first_fault: bool = False,
) -> dict[str, int]:
    """Cut the power before every step of a change and after the last; count what is found, or stop at a fault.

    Returns:
        Counts of states, and of those lost, corrupt or locked out.
    """
    count = {"states": 0, "lost": 0, "refused": 0, "rolled back": 0}
    files = SimulatedFileSystem.holding(start)
    change(files)
    old, new = held(start), held(files.state())
    total = len(files.steps)
    for cut in range(total + 1):
        files = SimulatedFileSystem.holding(start)
        files.cut_before, files.ignored = (cut if cut < total else None), ignored
        try:
            change(files)
        except PowerCut:
            allowed = [old, new]
        else:
            allowed = [new]
        seen = set()
        for state in files.states_after_cut():
            key = frozenset(state.items())
            if key in seen:
                continue
            seen.add(key)
            count["states"] += 1
            try:
                count["lost"] += held(state) not in allowed
            except RollbackError:
                count["rolled back"] += 1
            except GalleryError:
                count["refused"] += 1
            if first_fault and sum(count.values()) > count["states"]:
                return count
    return count


@pytest.mark.parametrize("change", [enrol, remove, revoke])
@pytest.mark.parametrize("start", [with_two_subjects, after_a_crash_with_leftovers, one_ahead_of_its_anchor])
def test_a_power_cut_leaves_the_old_content_or_the_new(
    start: Callable[[], State], change: Callable[[SimulatedFileSystem], object]
) -> None:
    count = survey(start(), change)
    assert count.pop("states") > 50
    assert count == {"lost": 0, "refused": 0, "rolled back": 0}


@pytest.mark.parametrize("change", [erase, add_key, rotate_key, renew_transform, re_anchor])
def test_a_power_cut_during_the_owners_work_leaves_the_old_gallery_or_the_new(
    change: Callable[[SimulatedFileSystem], object],
) -> None:
    count = survey(with_two_subjects("shp3"), change)
    assert count.pop("states") > 50
    assert count == {"lost": 0, "refused": 0, "rolled back": 0}


def test_a_power_cut_while_creating_leaves_nothing_or_an_empty_gallery() -> None:
    count = survey({}, create)
    assert count.pop("states") > 50
    assert count == {"lost": 0, "refused": 0, "rolled back": 0}


@pytest.mark.parametrize("ignored", ["fsync", "fsync_directory", "rename"])
def test_the_survey_notices_a_step_that_is_left_out(ignored: str) -> None:
    count = survey(with_two_subjects(), enrol, (ignored,), first_fault=True)
    assert count["lost"] + count["refused"] + count["rolled back"] > 0


def test_the_survey_notices_an_anchor_that_is_written_first() -> None:
    assert survey(with_two_subjects(), anchor_before_file)["rolled back"] > 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_error_at_any_step_is_one_gallery_error_and_loses_nothing(code: int) -> None:
    start = with_two_subjects()
    files = SimulatedFileSystem.holding(start)
    enrol(files)
    old, new = held(start), held(files.state())
    for step, kind in enumerate(files.steps):
        files = SimulatedFileSystem.holding(start)
        files.fail = {step: OSError(code, os.strerror(code))}
        with pytest.raises(GalleryError):
            enrol(files)
        before_rename = "rename" not in files.steps[: step + 1] or kind == "rename"
        first_rename = files.steps.index("rename") if "rename" in files.steps else step
        if before_rename and step <= first_rename:
            assert without_log(files.state()) == without_log(start)
        assert held(files.state()) in (old, new)


def test_a_full_disk_says_so() -> None:
    files = SimulatedFileSystem.holding(with_two_subjects())
    files.fail = {1: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}
    with pytest.raises(GalleryError, match="No space left") as caught:
        enrol(files)
    assert caught.value.hint == "free some space; the gallery is as it was"


class FailingMedium(SimulatedFileSystem):
    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        data = super().read(path, max_bytes, offset)
        return data[:-1] + bytes([data[-1] ^ 1]) if path == tmp_path(PATH) else data


def test_what_reads_back_wrong_is_not_put_in_place() -> None:
    start = with_two_subjects()
    files = FailingMedium.holding(start)
    with pytest.raises(GalleryError, match="reads back other"):
        enrol(files)
    assert without_log(files.state()) == without_log(start)


@pytest.fixture
def real(tmp_path: Path) -> tuple[Path, KeyFile]:
    key = KeyFile.create(tmp_path / "home.key")
    path = tmp_path / "home.gallery"
    Gallery.create(path, key=key, model_id=bytes(32), dimension=4)
    return path, key


def test_files_are_private_and_nothing_is_left_over(real: tuple[Path, KeyFile]) -> None:
    path, key = real
    path.chmod(0o644)
    tmp_path(path).write_bytes(b"left by a crash")
    old_umask = os.umask(0)
    try:
        Gallery.open(path, key=key).enrol("ann", embedding(1))
    finally:
        os.umask(old_umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert lock_path(path).stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "home.gallery",
        "home.gallery.audit",
        "home.gallery.lock",
        "home.key",
    ]


def test_symbolic_links_are_refused(real: tuple[Path, KeyFile], tmp_path: Path) -> None:
    path, key = real
    link = tmp_path / "link.gallery"
    link.symlink_to(path)
    with pytest.raises(GalleryError, match="symbolic link"):
        Gallery.open(link, key=key)
    with pytest.raises(GalleryError):
        Gallery.create(link, key=key, model_id=bytes(32), dimension=4)
    gallery = Gallery.open(path, key=key)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    gallery_storage.tmp_path(path).symlink_to(victim)
    gallery.enrol("ann", embedding(1))
    assert victim.read_text() == "precious"
    lock_path(path).unlink()
    lock_path(path).symlink_to(victim)
    with pytest.raises(GalleryError, match="lock"):
        gallery.enrol("bob", embedding(2))


def test_what_is_no_plain_file_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError):
        Gallery.open(tmp_path, key=KEY)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GalleryError):
        Gallery.open(tmp_path / "pipe", key=KEY)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(GalleryError, match="67108864"):
        Gallery.open(tmp_path / "large", key=KEY)


def test_a_lock_that_is_held_is_waited_for_and_then_reported(
    real: tuple[Path, KeyFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = real
    gallery = Gallery.open(path, key=key)
    monkeypatch.setattr(gallery_storage, "LOCK_TIMEOUT_S", 0.05)
    with (
        PosixFileSystem().lock(lock_path(path)),
        pytest.raises(GalleryError, match="locked by another process"),
    ):
        gallery.enrol("ann", embedding(1))
    gallery.enrol("ann", embedding(1))


WRITER = """
import sys, numpy as np
from edge_sdk.errors import GalleryError
from edge_sdk.gallery import Gallery, KeyFile
path, key, who = sys.argv[1:]
gallery = Gallery.open(path, key=KeyFile(key))
done = 0
while done < 8:
    try:
        gallery.enrol(f"{who} {done}", np.ones((1, 4), np.float32))
        done += 1
    except GalleryError as error:
        assert "changed by another process" in str(error), error
        gallery.refresh()
"""


def test_two_writing_processes_lose_nothing(real: tuple[Path, KeyFile], tmp_path: Path) -> None:
    path, key = real
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, tmp_path / "home.key", who], cwd=ROOT)
        for who in "ab"
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    gallery = Gallery.open(path, key=key)
    assert {s.name for s in gallery.subjects()} == {f"{who} {i}" for who in "ab" for i in range(8)}
    assert gallery.status().generation == 17


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_loop.py")
    kills = os.environ.get("GALLERY_KILLS", "30")
    found = subprocess.run(
        [sys.executable, str(script), str(tmp_path), kills],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["kills"] == int(kills)
    assert report["lost"] == 0
    assert report["acknowledged"] > 0
