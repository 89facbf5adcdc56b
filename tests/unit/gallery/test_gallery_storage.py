"""The commit holds: full disks, failing media, links, other processes. Power cuts and kills are in tests/campaigns."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from campaigns.crash_states import PATH, Board, look, reopen, with_two_subjects, without_log

from edge_sdk.errors import GalleryError
from edge_sdk.gallery import Gallery, InMemoryKey, KeyFile
from edge_sdk.gallery import storage as gallery_storage
from edge_sdk.gallery.storage import PosixFileSystem, lock_path, tmp_path

ROOT = Path(__file__).parents[3]
KEY = InMemoryKey(bytes(range(32)))


def embedding(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)


def enrol(files: Board) -> None:
    reopen(files).enrol("dan", embedding(4))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_error_at_any_step_is_one_gallery_error_and_loses_nothing(code: int) -> None:
    start = with_two_subjects()
    files = Board.holding(start)
    enrol(files)
    old, new = look(start), look(files.state())
    for step, kind in enumerate(files.steps):
        files = Board.holding(start)
        files.fail = {step: OSError(code, os.strerror(code))}
        with pytest.raises(GalleryError):
            enrol(files)
        before_rename = "rename" not in files.steps[: step + 1] or kind == "rename"
        first_rename = files.steps.index("rename") if "rename" in files.steps else step
        if before_rename and step <= first_rename:
            assert without_log(files.state()) == without_log(start)
        assert look(files.state()) in (old, new)


def test_a_full_disk_says_so() -> None:
    files = Board.holding(with_two_subjects())
    files.fail = {1: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}
    with pytest.raises(GalleryError, match="No space left") as caught:
        enrol(files)
    assert caught.value.hint == "free some space; the gallery is as it was"


class FailingMedium(Board):
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


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "free some space; the gallery is as it was"),
        (errno.EDQUOT, "free some space; the gallery is as it was"),
        (errno.EROFS, "mount it writable; with an anchor even reading takes the lock"),
        (errno.ELOOP, "{path} is a symbolic link; remove it"),
        (errno.ENOENT, "make the folder gallery first"),
        (errno.EIO, None),
    ],
)
@pytest.mark.parametrize(
    ("step", "verb", "path"),
    [("create", "create", tmp_path(PATH)), ("write", "write", tmp_path(PATH)), ("rename", "replace", PATH)],
)
def test_a_failed_step_says_what_could_not_be_done_where_and_what_helps(
    code: int, hint: str | None, step: str, verb: str, path: Path
) -> None:
    files = Board.holding({PATH: b"old"})
    number = {"create": 0, "write": 1, "rename": 3}[step]
    files.fail = {number: OSError(code, os.strerror(code))}
    with pytest.raises(GalleryError) as caught:
        gallery_storage.write_atomically(files, PATH, b"new")
    assert str(caught.value) == f"cannot {verb} {path}: {os.strerror(code)}"
    assert caught.value.hint == (hint and hint.format(path=path))
    assert files.state() == {PATH: b"old"}


def test_a_real_file_is_read_from_where_and_as_far_as_is_asked(tmp_path: Path) -> None:
    files, path = PosixFileSystem(), tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    assert files.size(path) == 100
    assert files.read(path, 10) == bytes(range(10))
    assert files.read(path, 10, 95) == bytes(range(95, 100))
    assert files.read(path, 1000, 7) == bytes(range(7, 100))
    assert files.read(path, 10, 200) == b""
    with pytest.raises(OSError, match="not a plain file") as caught:
        files.size(tmp_path)
    assert caught.value.errno == errno.EINVAL


def test_what_is_appended_is_private_and_keeps_what_was_there(tmp_path: Path) -> None:
    files, path = PosixFileSystem(), tmp_path / "log"
    old_umask = os.umask(0)
    try:
        for line in (b"one\n", b"two\n"):
            gallery_storage.append_durably(files, path, line)
    finally:
        os.umask(old_umask)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(GalleryError, match="cannot write"):
        gallery_storage.append_durably(files, tmp_path, b"line")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(GalleryError, match="cannot write") as caught:
        gallery_storage.append_durably(files, tmp_path / "link", b"line")
    assert caught.value.hint == f"{tmp_path / 'link'} is a symbolic link; remove it"
    assert path.read_bytes() == b"one\ntwo\n"
