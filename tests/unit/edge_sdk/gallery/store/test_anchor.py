"""Anchors store generations, and a gallery may have the generation of its anchor or the next one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_sdk.errors import GalleryError, InputError, RollbackError
from edge_sdk.gallery import FileAnchor, TpmCounter
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.anchor import Anchor, NoAnchor, must_advance
from tests.simulated_file_system import PowerCut, SimulatedFileSystem

PLACE = Path("stick/anchor")
MINE, OTHER = b"g" * 16, b"o" * 16


def anchor_on(files: SimulatedFileSystem) -> FileAnchor:
    return FileAnchor(PLACE, filesystem=files)


def test_an_anchor_file_is_one_line_that_a_person_can_read(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    assert repr(anchor) == f"FileAnchor('{tmp_path}/anchor')"
    anchor.advance(MINE, 41)
    assert (tmp_path / "anchor").read_bytes() == b"edge-sdk anchor 1 " + MINE.hex().encode() + b" 41\n"
    assert (tmp_path / "anchor").stat().st_mode & 0o777 == 0o600
    assert FileAnchor(tmp_path / "anchor").read(MINE) == 41


def test_an_anchor_file_only_goes_forward_and_writes_nothing_else() -> None:
    files = SimulatedFileSystem()
    anchor = anchor_on(files)
    assert (anchor.read(MINE), anchor.prepare(MINE)) == (0, 0)
    anchor.advance(MINE, 5)
    assert (anchor.read(MINE), anchor.prepare(MINE)) == (5, 5)
    steps = len(files.steps)
    for generation in (5, 4, 0):
        anchor.advance(MINE, generation)
    assert (anchor.read(MINE), len(files.steps)) == (5, steps)
    anchor.advance(MINE, 6)
    assert anchor.read(MINE) == 6


def test_a_power_cut_during_an_advance_leaves_the_old_number_or_the_new() -> None:
    files = SimulatedFileSystem()
    anchor_on(files).advance(MINE, 5)
    start, remaining = files.state(), set()
    for cut in range(len(files.steps) + 1):
        files = SimulatedFileSystem.holding(start)
        files.cut_before = cut
        try:
            anchor_on(files).advance(MINE, 6)
            acknowledged = 6
        except PowerCut:
            acknowledged = 5
        for state in files.states_after_cut():
            stored = anchor_on(SimulatedFileSystem.holding(state)).read(MINE)
            assert stored is not None
            assert stored >= acknowledged
            remaining.add(stored)
    assert remaining == {5, 6}


def test_the_anchor_of_another_gallery_is_neither_read_nor_overwritten() -> None:
    files = SimulatedFileSystem()
    anchor = anchor_on(files)
    anchor.advance(OTHER, 7)
    before = files.state()
    for use in (anchor.read, anchor.prepare, lambda gallery_id: anchor.advance(gallery_id, 8)):
        with pytest.raises(GalleryError, match=r"^stick/anchor is the anchor of another gallery$") as caught:
            use(MINE)
        assert caught.value.hint == "use one anchor file per gallery"
    assert files.state() == before


GOOD = b"edge-sdk anchor 1 " + MINE.hex().encode() + b" 41\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD + GOOD,
        GOOD.replace(b" 41", b" 041"),
        GOOD.replace(b" 41", b" 0"),
        GOOD.replace(b" 41", b" -1"),
        GOOD.replace(b" 41", b" " + b"9" * 21),
        GOOD.replace(b"anchor 1", b"anchor 2"),
        GOOD.replace(MINE.hex().encode(), MINE.hex()[:-2].encode()),
        GOOD.upper(),
        bytes(4096),
    ],
)
def test_a_malformed_anchor_file_is_refused(data: bytes) -> None:
    files = SimulatedFileSystem.holding({PLACE: data})
    with pytest.raises(GalleryError, match=r"^stick/anchor is not an anchor file$"):
        anchor_on(files).read(MINE)
    with pytest.raises(GalleryError, match="not an anchor file"):
        anchor_on(files).advance(MINE, 50)
    assert files.state() == {PLACE: data}


def test_an_anchor_that_cannot_be_read_says_the_cause(tmp_path: Path) -> None:
    """A broken medium must not count as an empty anchor: with generation 0 an old first generation would open."""
    (tmp_path / "anchor").mkdir()
    with pytest.raises(
        GalleryError, match=rf"^cannot read the anchor {tmp_path}/anchor: not a regular file$"
    ):
        FileAnchor(tmp_path / "anchor").read(MINE)
    (tmp_path / "link").symlink_to(tmp_path / "anchor")
    with pytest.raises(GalleryError, match="cannot read the anchor"):
        FileAnchor(tmp_path / "link").read(MINE)


def test_an_anchor_is_abandoned_whether_it_is_there_or_not() -> None:
    files = SimulatedFileSystem()
    anchor = anchor_on(files)
    anchor.abandon(MINE)
    anchor.advance(MINE, 1)
    files.fail = {len(files.steps): OSError(errno.EROFS, os.strerror(errno.EROFS))}
    anchor.abandon(MINE)
    assert PLACE in files.state(), "an anchor that cannot be removed stays, without an error"
    anchor.abandon(MINE)
    assert files.state() == {}


def test_without_an_anchor_nothing_is_remembered() -> None:
    anchor: Anchor = NoAnchor()
    anchor.advance(MINE, 5)
    anchor.abandon(MINE)
    assert (anchor.read(MINE), anchor.prepare(MINE)) == (None, 0)


def test_a_gallery_is_as_new_as_its_anchor_or_one_newer() -> None:
    assert not must_advance(7, None)
    assert not must_advance(7, 7)
    assert must_advance(7, 6)
    assert must_advance(1, 0)
    for generation in (1, 6):
        with pytest.raises(
            RollbackError,
            match=rf"^the gallery is generation {generation}, its anchor has seen 7: an old copy was put back$",
        ) as caught:
            must_advance(generation, 7)
        assert (
            caught.value.hint
            == "put the newest gallery back; to continue with this one, edge-sdk gallery re-anchor"
        )
    for anchored in (5, 0):
        with pytest.raises(
            RollbackError,
            match=rf"^the gallery is generation 7, its anchor has only seen {anchored}: the anchor was lost or put back$",
        ) as caught:
            must_advance(7, anchored)
        assert (
            caught.value.hint
            == "put the right anchor back; if it is lost, or changes were made without it, edge-sdk gallery re-anchor"
        )


@pytest.mark.parametrize("index", [0, 0x00FF_FFFF, 0x01C0_0000, 0x8100_0000])
def test_an_index_outside_the_owners_range_is_refused_by_number(index: int) -> None:
    with pytest.raises(
        InputError, match=f"^expected an NV index in 0x01000000..0x01bfffff, found {index:#x}$"
    ):
        TpmCounter(index)
    assert [repr(TpmCounter(edge)) for edge in (0x0100_0000, 0x01BF_FFFF)] == [
        "TpmCounter(0x01000000)",
        "TpmCounter(0x01bfffff)",
    ]


def test_a_counter_in_a_tpm_is_advanced_and_removed(tpm: str) -> None:
    counter = TpmCounter(0x0150_0100)
    assert counter.read(MINE) == 0
    start = counter.prepare(MINE)
    assert start == counter.prepare(MINE) == counter.read(MINE) > 0
    counter.advance(MINE, start + 3)
    assert counter.read(MINE) == start + 3
    counter.advance(MINE, start)
    assert counter.read(MINE) == start + 3
    with pytest.raises(
        GalleryError,
        match=r"^the TPM counter 0x1500100 is 1001 steps behind, at most 1000 are allowed$",
    ) as caught:
        counter.advance(MINE, start + 3 + 1001)
    assert caught.value.hint == "each step wears out the TPM; make a new gallery with a new counter"
    assert counter.read(MINE) == start + 3
    counter.abandon(MINE)
    assert tpm_nv.indices() == set()
