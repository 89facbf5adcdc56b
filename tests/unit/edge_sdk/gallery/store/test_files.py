"""Writes are durable despite full disks, failing media, links and other processes; tests/campaigns cuts the power."""

import contextlib
import ctypes
import errno
import inspect
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyFile
from edge_sdk.gallery.store import files as gallery_storage
from edge_sdk.gallery.store.files import PosixFileSystem, lock_path, tmp_path
from tests.campaigns.crash_states import PATH, Board, look, reopen, with_two_subjects, without_log
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[5]
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
    assert caught.value.hint == "free some space; the gallery was not changed"


class FailingMedium(Board):
    """A medium that returns damaged bytes when a new file is read back."""

    damage = staticmethod(lambda data: data)

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        data = super().read(path, max_bytes, offset)
        return self.damage(data)[:max_bytes] if path == tmp_path(PATH) else data


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:-1], lambda data: data + b"\0"],
)
def test_a_file_that_reads_back_wrong_is_discarded(damage: Callable[[bytes], bytes]) -> None:
    start = with_two_subjects()
    files = FailingMedium.holding(start)
    files.damage = damage
    with pytest.raises(GalleryError, match="does not read back") as caught:
        enrol(files)
    assert str(tmp_path(PATH)) in str(caught.value)
    assert caught.value.hint == "the medium is failing; replace it; the gallery was not changed"
    assert without_log(files.state()) == without_log(start)


def test_an_unsynced_folder_has_its_own_error_because_the_change_is_made() -> None:
    files = Board.holding({PATH: b"old"})
    files.fail = {4: OSError(errno.EIO, os.strerror(errno.EIO))}
    with pytest.raises(GalleryError, match="was replaced but") as caught:
        gallery_storage.write_atomically(files, PATH, b"new")
    assert files.steps[4] == "fsync_directory"
    assert str(PATH) in str(caught.value) and os.strerror(errno.EIO) in str(caught.value)
    assert caught.value.hint == "check the medium, which may be failing"
    assert files.state() == {PATH: b"new"}


def test_a_write_that_is_interrupted_leaves_nothing_behind() -> None:
    def interrupted(_: bytes) -> None:
        raise KeyboardInterrupt

    files = Board.holding({PATH: b"old"})
    with pytest.raises(KeyboardInterrupt):
        gallery_storage.write_atomically(files, PATH, b"new", check=interrupted)
    assert files.state() == {PATH: b"old"}


@pytest.mark.parametrize("start", [None, b""], ids=["missing", "empty and not synced"])
def test_the_first_append_syncs_the_folder(start: bytes | None) -> None:
    files = Board()
    if start is not None:
        files.append(PATH)
    gallery_storage.append_durably(files, PATH, b"one\n")
    assert list(files.states_after_cut()) == [{PATH: b"one\n"}]
    synced = files.steps.count("fsync_directory")
    gallery_storage.append_durably(files, PATH, b"two\n")
    assert list(files.states_after_cut()) == [{PATH: b"one\ntwo\n"}]
    assert files.steps.count("fsync_directory") == synced == 1


@pytest.fixture
def real(tmp_path: Path) -> tuple[Path, KeyFile]:
    key = KeyFile.create(tmp_path / "home.key")
    path = tmp_path / "home.gallery"
    Gallery.create(path, key=key, model_id=bytes(32), dimension=4)
    return path, key


def test_files_are_private_and_nothing_is_left_over(real: tuple[Path, KeyFile]) -> None:
    path, key = real
    path.chmod(0o644)
    path.with_name("home.gallery.tmp").write_bytes(b"left by a crash")
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
    path.with_name("home.gallery.tmp").symlink_to(victim)
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
        pytest.raises(GalleryError, match="locked by another process") as caught,
    ):
        gallery.enrol("ann", embedding(1))
    assert str(lock_path(path)) in str(caught.value)
    assert caught.value.hint == "wait for that process, or end it"
    gallery.enrol("ann", embedding(1))


WRITER = """
import sys, numpy as np
from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import Gallery, KeyFile
from edge_sdk.gallery.store import files
files.LOCK_TIMEOUT_S = 3600  # on a slow machine the other process may hold the lock for a long time
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
    assert [writer.wait(timeout=PATIENCE_S) for writer in writers] == [0, 0]
    gallery = Gallery.open(path, key=key)
    assert {s.name for s in gallery.subjects()} == {f"{who} {i}" for who in "ab" for i in range(8)}
    assert gallery.status().generation == 17


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (
            errno.EROFS,
            "mount the file system writable; with an anchor, reading a gallery also needs its lock file",
        ),
        (errno.ELOOP, "{path} is a symbolic link; remove it"),
        (errno.ENOENT, "create the folder gallery first"),
        (errno.EACCES, "make the folder gallery writable for your user"),
        (errno.EPERM, "make the folder gallery writable for your user"),
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


@pytest.mark.parametrize("step", ["size", "read", "append"])
def test_links_folders_and_pipes_are_refused_at_once(tmp_path: Path, step: str) -> None:
    files = PosixFileSystem()
    use = {"size": files.size, "read": lambda path: files.read(path, 10), "append": files.append}[step]
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError) as caught:
        use(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(OSError, match="a directory" if step == "append" else "not a regular file"):
        use(tmp_path)
    with pytest.raises(OSError) as caught:
        use(tmp_path / "pipe")  # a pipe without a writer must not block
    assert caught.value.errno == (errno.ENXIO if step == "append" else errno.EINVAL)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="not a regular file") as caught:
        use(tmp_path / "pipe")
    os.close(reader)
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


def test_a_gallery_that_cannot_be_read_says_which_and_what_helps(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for read in (gallery_storage.read_gallery, gallery_storage.read_head):
        for name, message, hint in (
            (
                "missing",
                "no gallery at {}",
                "check the path, or create a gallery with edge-sdk gallery create or Gallery.create",
            ),
            ("link", "{} is a symbolic link", "give the path that the link points to"),
            ("", "cannot read {}: not a regular file", None),
        ):
            path = tmp_path / name
            with pytest.raises(GalleryError) as caught:
                read(PosixFileSystem(), path)
            assert str(caught.value) == message.format(path)
            assert caught.value.hint == hint


def test_a_gallery_may_be_as_large_as_the_format_says_and_no_larger(tmp_path: Path) -> None:
    path = tmp_path / "large"
    for size in (67_108_864, 67_108_865):
        with path.open("wb") as file:
            file.truncate(size)
        if size == 67_108_864:
            assert len(gallery_storage.read_gallery(PosixFileSystem(), path)) == size
        else:
            with pytest.raises(GalleryError, match="is over 67108864 bytes"):
                gallery_storage.read_gallery(PosixFileSystem(), path)
    assert len(gallery_storage.read_head(PosixFileSystem(), path)) == 4096


def test_an_error_without_a_number_keeps_its_words() -> None:
    files = Board.holding({PATH: b"old"})
    files.fail = {0: OSError("the card was pulled out")}
    with pytest.raises(GalleryError, match="the card was pulled out"):
        gallery_storage.append_durably(files, PATH, b"new")


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_refused_steps_leave_no_handle_open(tmp_path: Path) -> None:
    """A process that runs for years repeats refused steps many times."""
    files = PosixFileSystem()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    before = open_handles()
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        for step in (files.size, lambda path: files.read(path, 10), files.fsync_directory):
            with contextlib.suppress(OSError):
                step(path)
    with contextlib.suppress(OSError):
        files.append(tmp_path / "pipe")
    gallery_storage.append_durably(files, tmp_path / "log", b"line")
    gallery_storage.write_atomically(files, tmp_path / "gallery", b"content")
    with files.lock(tmp_path / "lock"):
        pass
    assert open_handles() == before
    os.close(reader)


def pages_in_memory(path: Path) -> int:
    """Return the number of a file's pages in the cache, by mincore(2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), pages) == 0
        return sum(page & 1 for page in pages)


def test_synced_bytes_are_read_back_from_the_medium(tmp_path: Path) -> None:
    """A read from the cache would not detect a failing card."""
    files, path, control = PosixFileSystem(), tmp_path / "file", tmp_path / "control"
    control.write_bytes(bytes(100_000))
    with control.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if pages_in_memory(control):
        pytest.skip("this file system keeps files in memory whatever it is told")
    handle = files.create(path)
    files.write(handle, bytes(100_000))
    assert pages_in_memory(path) == -(-100_000 // mmap.PAGESIZE)
    files.fsync(handle)
    assert pages_in_memory(path) == 0
    files.close(handle)


def test_creating_a_file_refuses_an_existing_path(tmp_path: Path) -> None:
    files, path = PosixFileSystem(), tmp_path / "file"
    path.write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "dangling"):
        with pytest.raises(FileExistsError):
            files.create(tmp_path / name)
    assert path.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(NotADirectoryError):
        files.fsync_directory(path)


def test_the_mode_of_a_path_is_returned_without_following_links(tmp_path: Path) -> None:
    files, path = PosixFileSystem(), tmp_path / "file"
    assert files.mode(path) is None
    path.write_text("")
    path.chmod(0o640)
    assert files.mode(path) == 0o640
    (tmp_path / "link").symlink_to(path)
    assert files.mode(tmp_path / "link") == 0o777


def make_each_kind(folder: Path) -> None:
    files = PosixFileSystem()
    files.close(files.create(folder / "created"))
    files.close(files.append(folder / "appended"))
    with files.lock(folder / "locked"):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old_umask = os.umask(umask)
    try:
        make_each_kind(tmp_path)
    finally:
        os.umask(old_umask)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("created", "appended", "locked"), 0o600
    )


WATCHED = f"""
import os, stat, sys
from pathlib import Path
from typing import Any
from edge_sdk.gallery.store.files import PosixFileSystem

{inspect.getsource(make_each_kind)}
modes = []

def watch(event, args):
    if event == "os.chmod":
        modes.append(stat.S_IMODE(os.fstat(args[0]).st_mode))

os.umask(0)
sys.addaudithook(watch)
make_each_kind(Path(sys.argv[1]))
print(*map(oct, modes))
"""


def test_a_new_file_is_private_from_its_first_moment(
    tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A file must never be readable by others, not even between creation and chmod; a child process is traced."""
    for name in ("here", "watched"):
        (tmp_path / name).mkdir()
    make_each_kind(tmp_path / "here")
    done = run_python(WATCHED, str(tmp_path / "watched"))
    assert done.stdout.split() == ["0o600"] * 3, done.stderr


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for other users")
DAEMON, NOBODY = 12_345, 65_534


@needs_root
def test_what_root_makes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    """A daemon must be able to read files that an administrator changed."""
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, DAEMON, DAEMON + 1)
    files = PosixFileSystem()
    gallery_storage.write_atomically(files, folder / "home.gallery", b"content")
    gallery_storage.append_durably(files, folder / "home.gallery.audit", b"line")
    with files.lock(folder / "home.gallery.lock"):
        pass
    made = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert made == dict.fromkeys(
        ("home.gallery", "home.gallery.audit", "home.gallery.lock"), (DAEMON, DAEMON + 1)
    )


@pytest.fixture
def as_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test as an unprivileged user, in a folder that this user can enter."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name, owner, mode in (
        ("ours", DAEMON, 0o755),
        ("everybodys", DAEMON, 0o777),
        ("shut/inner", DAEMON, 0o755),
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(mode)
        os.chown(tmp_path / name, owner, owner)
    (tmp_path / "ours" / "theirs").write_text("")
    (tmp_path / "ours" / "theirs").chmod(0o600)
    (tmp_path / "shut").chmod(0o700)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
@pytest.mark.usefixtures("as_nobody")
def test_files_of_other_users_than_root_keep_their_owner() -> None:
    path = Path("everybodys/file")
    gallery_storage.write_atomically(PosixFileSystem(), path, b"content")
    assert (path.stat().st_uid, path.read_bytes()) == (NOBODY, b"content")


@needs_root
@pytest.mark.usefixtures("as_nobody")
@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("ours/theirs", "make ours/theirs, which belongs to user 0, writable for your user"),
        ("ours/new", f"make ours, which belongs to user {DAEMON}, writable for your user"),
        ("shut/inner/new", "make the folder shut/inner writable for your user"),
    ],
)
def test_the_hint_for_a_refused_write_names_the_owner(path: str, hint: str) -> None:
    with pytest.raises(GalleryError, match=f"cannot write {path}: Permission denied") as caught:
        gallery_storage.append_durably(PosixFileSystem(), Path(path), b"line")
    assert caught.value.hint == hint


def test_a_process_that_waited_for_a_removed_lock_file_locks_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file is removed while one process holds the lock and another waits for it."""
    files, path = PosixFileSystem(), tmp_path / "lock"
    entered, leave = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with files.lock(path):
            entered.set()
            leave.wait(PATIENCE_S)

    waiter = threading.Thread(target=wait_for_it)
    with files.lock(path):
        waiter.start()
        assert not entered.wait(0.1)
        path.unlink()
    assert entered.wait(PATIENCE_S)
    monkeypatch.setattr(gallery_storage, "LOCK_TIMEOUT_S", 0.05)
    with pytest.raises(GalleryError, match="locked by another process for over"), files.lock(path):
        pass
    leave.set()
    waiter.join(PATIENCE_S)
    with files.lock(path):
        pass


def test_many_make_the_lock_file_at_once_and_one_holds_it(tmp_path: Path) -> None:
    files = PosixFileSystem()
    rounds, threads = 150, 4
    start = threading.Barrier(threads)
    inside: list[int] = []
    wrong: list[object] = []

    def take_every_lock(who: int) -> None:
        for number in range(rounds):
            start.wait(PATIENCE_S)
            try:
                with files.lock(tmp_path / f"{number}.lock"):
                    inside.append(who)
                    wrong.extend(other for other in inside if other != who)
                    inside.remove(who)
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    takers = [threading.Thread(target=take_every_lock, args=(who,)) for who in range(threads)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(PATIENCE_S)
    assert wrong == []


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program started while the lock is held must not keep the lock."""
    files, path = PosixFileSystem(), tmp_path / "lock"
    with files.lock(path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    monkeypatch.setattr(gallery_storage, "LOCK_TIMEOUT_S", 0.05)
    try:
        with files.lock(path):
            pass
    finally:
        child.communicate(b"\n", timeout=PATIENCE_S)


@pytest.mark.parametrize("path", [None, 5, 1.5, True, ["home.gallery"], "a\0b", b"a\0b", object], ids=repr)
def test_a_value_that_is_no_path_is_one_error(path: Any) -> None:
    for attempt in (
        lambda: Gallery.open(path, key=KEY),
        lambda: Gallery.create(path, key=KEY, model_id=bytes(32), dimension=8),
        lambda: KeyFile(path),
        lambda: KeyFile.create(path),
        lambda: FileAnchor(path),
    ):
        with pytest.raises(InputError, match="expected a path"):
            attempt()


def test_a_path_may_be_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.gallery"
    Gallery.create(path, key=KEY, model_id=bytes(32), dimension=8)
    assert Gallery.open(path, key=KEY).status().generation == 1
