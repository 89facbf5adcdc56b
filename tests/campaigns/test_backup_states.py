"""After a power cut during a backup or a restore there is the old state or the new one, and a restore can be repeated."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_sdk.errors import GalleryError
from edge_sdk.gallery import FileAnchor, Gallery
from edge_sdk.gallery.backup.backup_file import open_backup
from edge_sdk.gallery.store.files import audit_path
from tests.campaigns.crash_states import (
    ANCHOR,
    EVERY_BYTE,
    KEY,
    PATH,
    Board,
    State,
    embedding,
    now,
    reopen,
    with_attempt_limit,
)
from tests.simulated_file_system import PowerCut

BACKUP = Path("safe/home.backup")


def restore(files: Board) -> None:
    anchor = FileAnchor(ANCHOR, filesystem=files)
    Gallery.restore(BACKUP, PATH, key=KEY, anchor=anchor, replace=True, filesystem=files, uptime=now)


def backup(files: Board) -> None:
    reopen(files).backup(BACKUP)


def with_backup() -> State:
    """Return a gallery with two subjects, an attempt limit and a failed attempt, and its backup."""
    files = Board.holding(with_attempt_limit())
    backup(files)
    return files.state()


def with_only_the_backup() -> State:
    return {BACKUP: with_backup()[BACKUP]}


def with_a_newer_gallery() -> State:
    files = Board.holding(with_backup())
    gallery = reopen(files)
    gallery.erase("ann")
    gallery.enrol("eve", embedding(5))
    return files.state()


def states(start: State, change: Callable[[Board], None], tears: int) -> Iterator[tuple[bool, State]]:
    """Yield every state that a power cut before any step can leave, and whether the change was acknowledged."""
    files = Board.holding(start)
    change(files)
    total = len(files.steps)
    seen = set()
    for cut in range(total + 1):
        files = Board.holding(start)
        files.cut_before, files.tears = (cut if cut < total else None), tears
        acknowledged = False
        try:
            change(files)
            acknowledged = True
        except PowerCut:
            pass
        for state in files.states_after_cut():
            if (key := (acknowledged, frozenset(state.items()))) not in seen:
                seen.add(key)
                yield acknowledged, state


def people(gallery: Gallery) -> list[str]:
    return [subject.name for subject in gallery.subjects()]


def check_usable(files: Board, expected: list[list[str]]) -> None:
    """Open the gallery and change it once more; its log is intact and its failed attempt is still counted."""
    gallery = reopen(files)
    assert people(gallery) in expected
    status = gallery.attempts.status()
    assert status is not None
    assert status.failures == 1
    gallery.enrol("after the cut", embedding(9))
    again = reopen(files)
    assert "after the cut" in people(again)
    assert again.audit.report().intact


@pytest.mark.parametrize("tears", [4, pytest.param(EVERY_BYTE, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("start", "old"),
    [(with_only_the_backup, []), (with_backup, [["ann", "bob"]]), (with_a_newer_gallery, [["bob", "eve"]])],
)
def test_a_cut_restore_leaves_the_old_or_the_new_state(
    start: Callable[[], State], old: list[list[str]], tears: int
) -> None:
    count = 0
    for acknowledged, state in states(start(), restore, tears=tears):
        count += 1
        files = Board.holding(state)
        if PATH in state:
            check_usable(files, [["ann", "bob"]] if acknowledged else [*old, ["ann", "bob"]])
        else:
            assert not acknowledged
            assert not old
        repeated = Board.holding(state)
        restore(repeated)
        check_usable(repeated, [["ann", "bob"]])
    print(f"\n{count} states")
    assert count > 40


@pytest.mark.parametrize("tears", [4, pytest.param(EVERY_BYTE, marks=pytest.mark.slow)])
def test_a_cut_backup_leaves_no_file_or_a_whole_one(tears: int) -> None:
    start, count = with_attempt_limit(), 0
    for acknowledged, state in states(start, backup, tears=tears):
        count += 1
        check_usable(Board.holding(state), [["ann", "bob"]])
        if BACKUP in state:
            content, _ = open_backup(state[BACKUP], KEY)
            assert set(content.files) == {"attempts", "audit"}
        else:
            assert not acknowledged
    print(f"\n{count} states")
    assert count > 20


def test_a_step_that_fails_leaves_an_empty_place_empty() -> None:
    """A medium that is full at any step of a restore leaves no gallery, or a restored one; the restore can be repeated."""
    start = with_only_the_backup()
    undisturbed = Board.holding(start)
    restore(undisturbed)
    failed = 0
    for number in range(len(undisturbed.steps)):
        files = Board.holding(start)
        files.fail = {number: OSError(errno.ENOSPC, "No space left on device")}
        try:
            restore(files)
        except GalleryError:
            failed += 1
        files.fail = {}
        if PATH not in files.state():
            left = {path for path in files.state() if path == ANCHOR or audit_path(PATH).name in path.name}
            assert not left, number
        restore(files)
        check_usable(files, [["ann", "bob"]])
    assert failed > 10
