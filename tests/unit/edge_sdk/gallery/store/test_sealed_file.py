"""A generation is read through the right slot, is never committed if it could not be opened, and has a valid time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import GalleryError, GalleryFormatError, SealError
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyFile
from edge_sdk.gallery.creation import check_absent
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import SLOT_KEYS, Content, PolicyRecord, pack_content
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, parse_header
from edge_sdk.gallery.store.files import lock_path
from edge_sdk.gallery.store.sealed_file import Environment, checked_clock, read, slot_keys_of, unlock
from tests.simulated_file_system import SimulatedFileSystem

PATH = Path("g/home.gallery")
ANCHOR = Path("a/anchor")
MODEL = bytes(32)
KEY, OTHER, STRANGE = (InMemoryKey(bytes([n]) * 32) for n in (1, 2, 3))


def home(files: SimulatedFileSystem, anchor: FileAnchor | None = None) -> Gallery:
    return Gallery.create(PATH, key=KEY, model_id=MODEL, dimension=8, filesystem=files, anchor=anchor)


def with_slot_keys(content: Content, value: bytes) -> Content:
    record = PolicyRecord(SLOT_KEYS, critical=True, value=value)
    return replace(content, policy=tuple(record if r.kind == SLOT_KEYS else r for r in content.policy))


@pytest.mark.parametrize("time_s", [0, 0.5, 1_750_000_000.25, 253_402_300_799])
def test_a_time_until_the_year_9999_is_accepted(time_s: float) -> None:
    assert checked_clock(lambda: time_s)() == time_s


@pytest.mark.parametrize("time_s", [-1e-9, -1, 253_402_300_800, float("inf"), float("nan")])
def test_a_time_outside_1970_to_9999_is_refused(time_s: float) -> None:
    with pytest.raises(
        GalleryError,
        match=rf"^the device's clock gives {time_s} s, expected Unix seconds from 1970 to the year 9999$",
    ) as caught:
        checked_clock(lambda: time_s)()
    assert caught.value.hint == "set the clock"


def test_a_key_uses_the_first_slot_that_it_opens() -> None:
    files = SimulatedFileSystem()
    gallery = home(files)
    for key in (OTHER, OTHER):
        gallery.keys.add(key)
    header = parse_header(files.state()[PATH])
    assert len(header.slots) == 3
    keys = slot_keys_of(gallery._session.content)
    opened = {key: unlock(header, key) for key in (KEY, OTHER)}
    assert [opened[key][0].index for key in (KEY, OTHER)] == [0, 1]
    assert [opened[key][0].slot_key for key in (KEY, OTHER)] == keys[:2]
    assert opened[KEY][1] == opened[OTHER][1], "each slot contains the same data key"
    with pytest.raises(SealError, match="wrong key"):
        unlock(header, STRANGE)


def test_a_key_is_not_used_for_slots_of_another_kind(tmp_path: Path) -> None:
    class CountingKey(InMemoryKey):
        """Counts the requests for its secret."""

        requests = 0

        def secret(self, parameters: bytes) -> bytes:
            self.requests += 1
            return super().secret(parameters)

    files = SimulatedFileSystem()
    gallery = home(files)
    gallery.keys.add(KeyFile.create(tmp_path / "key"))
    header = parse_header(files.state()[PATH])
    key = CountingKey(b"z" * 32)
    with pytest.raises(SealError):
        unlock(header, key)
    assert (key.requests, key.slot_type) == (1, header.slots[0].type)


def test_a_file_that_could_not_be_opened_is_never_committed() -> None:
    """A wrong slot key is detected when the new file is read back, before it replaces the old one."""
    files = SimulatedFileSystem()
    session = home(files)._session
    before = files.state()[PATH]
    with pytest.raises(GalleryError):
        session.commit(session.content, with_slot_keys(session.content, bytes(32)))
    assert files.state()[PATH] == before
    assert Gallery.open(PATH, key=KEY, filesystem=files).status().generation == 1


@pytest.mark.parametrize("change", [lambda own: own + own, lambda own: b"", lambda own: own[::-1]])
def test_slot_keys_that_do_not_belong_to_the_slots_are_malformed(
    change: Callable[[bytes], bytes],
) -> None:
    """Otherwise the next commit would be sealed for other keys than those in the header."""
    files = SimulatedFileSystem()
    session = home(files)._session
    own = slot_keys_of(session.content)[0]
    content = with_slot_keys(session.content, change(own))
    file = sealing.seal(session.header, [own], pack_content(content), random=os.urandom)
    with pytest.raises(GalleryFormatError, match=r"^the gallery's slot keys do not belong to its slots$"):
        Gallery.open(PATH, key=KEY, filesystem=SimulatedFileSystem.holding({PATH: file}))


def test_a_gallery_over_the_formats_size_is_refused_before_it_is_sealed() -> None:
    files = SimulatedFileSystem()
    session = home(files)._session
    content, before = session.content, files.state()
    matrix = np.zeros((MAX_FILE_BYTES // 65_535, 65_535), np.int8)
    huge = replace(content, templates=np.zeros(len(matrix), content.templates.dtype), matrix=matrix)
    with pytest.raises(GalleryError, match=r"^the gallery would be \d+ bytes, at most 67108864 are allowed$"):
        session.commit(content, huge, events=[])
    assert files.state()[PATH] == before[PATH]


def test_an_existing_file_is_never_replaced_by_a_new_gallery(tmp_path: Path) -> None:
    path = tmp_path / "g"
    check_absent(Environment.of(path))
    path.write_bytes(b"")
    with pytest.raises(GalleryError, match=rf"^{path} exists already$") as caught:
        check_absent(Environment.of(path))
    assert caught.value.hint == "open it, or choose another path"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        GalleryError, match=rf"^cannot create {tmp_path}/link: Too many levels of symbolic links$"
    ):
        check_absent(Environment.of(tmp_path / "link"))


def test_file_and_anchor_are_read_under_one_lock(tmp_path: Path) -> None:
    path, anchor = tmp_path / "g", FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=8, anchor=anchor)
    lock_path(path).unlink()
    assert read(Environment.of(path)) == (path.read_bytes(), None)
    assert not lock_path(path).exists()
    assert read(Environment.of(path, anchor=anchor)) == (path.read_bytes(), 1)
    assert lock_path(path).exists()
    assert gallery.status().generation == 1


def test_the_file_is_written_before_its_anchor() -> None:
    """If the anchor cannot be written, the gallery is one generation ahead of it and still opens."""
    files = SimulatedFileSystem()
    anchor = FileAnchor(ANCHOR, filesystem=files)
    gallery = home(files, anchor)
    done = len(files.steps)
    gallery.enrol("ann", np.eye(8, dtype=np.float32)[:1])
    assert anchor.read(gallery._session.header.gallery_id) == 2
    renames = [n for n, step in enumerate(files.steps) if step == "rename" and n >= done]
    files.fail = {len(files.steps) + renames[-1] - done: OSError(errno.EIO, os.strerror(errno.EIO))}
    with pytest.raises(GalleryError):
        gallery.revoke("ann")
    files.fail = {}
    assert anchor.read(gallery._session.header.gallery_id) == 2
    again = Gallery.open(PATH, key=KEY, filesystem=files, anchor=anchor)
    assert (again.status().generation, again.subjects()[0].revoked) == (3, True)
    assert anchor.read(gallery._session.header.gallery_id) == 3
