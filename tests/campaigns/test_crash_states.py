"""After a power cut the gallery opens, no change is lost, and the omission of any durable step is detected."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import RollbackError
from edge_sdk.gallery import FileAnchor, Gallery
from edge_sdk.gallery.store.audit_log import AuditEvent
from tests.campaigns.crash_states import (
    ANCHOR,
    KEY,
    KINDS,
    PATH,
    Board,
    Kind,
    State,
    create,
    cut_twice,
    look,
    now,
    reopen,
    survey,
    with_a_full_segment,
    with_attempt_limit,
    with_small_segments,
    with_two_subjects,
)
from tests.campaigns.splices import ReplacedAnchor
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
SURVEYS = Path(__file__).with_name("crash_states.py")


@pytest.mark.parametrize("name", KINDS)
def test_a_power_cut_leaves_the_old_gallery_or_the_new(name: str) -> None:
    kind = KINDS[name]
    count = survey(kind.start(), kind.change)
    assert count.faults == 0, count
    assert count.states >= 20


@pytest.mark.slow
def test_no_state_of_any_kind_of_change_cut_once_or_twice_is_at_fault() -> None:
    done = subprocess.run(
        [sys.executable, SURVEYS], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    counts = [count for both in json.loads(done.stdout).values() for count in both.values()]
    total = {name: sum(count[name] for count in counts) for name in counts[0]}
    print(f"\n{total}")
    assert len(counts) == 2 * len(KINDS)
    assert total.pop("states") >= 60_000
    assert not any(total.values()), done.stderr


@pytest.mark.parametrize(("name", "tears"), [("revoke", 1), ("audit entry", 3)])
def test_a_second_power_cut_after_the_first_loses_nothing(name: str, tears: int) -> None:
    count = cut_twice(KINDS[name], tears=tears)
    print(f"\n{count}")
    assert count.faults == 0, count
    assert count.states > 400


def create_and_enrol(files: Board) -> Iterator[None]:
    gallery = create(files)
    yield
    gallery.enrol("dan", np.array([[1, 2, 3, 4]], np.float32))


def enrol_two(files: Board) -> Iterator[None]:
    """Commit twice in one process; opening the gallery again would repair what the first commit omitted."""
    gallery = reopen(files)
    gallery.enrol("dan", np.array([[1, 2, 3, 4]], np.float32))
    yield
    gallery.enrol("cy", np.array([[1, 2, -3, 4]], np.float32))


def reject_twice(files: Board) -> Iterator[None]:
    gallery = reopen(files)
    gallery.reject()
    yield
    gallery.reject()


def begin_two_segments(files: Board) -> Iterator[None]:
    gallery = with_small_segments(files)
    gallery._session.note(AuditEvent("export", detail="subjects=2"))
    yield
    for _ in range(5):
        gallery._session.note(AuditEvent("export", detail="subjects=2"))


DURABLE = ("fsync", "fsync_directory", "rename")
CONTROLS = {
    "create": Kind(dict, create_and_enrol),
    "enrol": Kind(with_two_subjects, enrol_two),
    "failed attempt": Kind(with_attempt_limit, reject_twice),
    "audit entry": KINDS["audit entry"],
    "begin a segment": Kind(with_a_full_segment, begin_two_segments),
}


def durable_steps() -> Iterator[tuple[str, int, str]]:
    """Yield each durable step: name of the change, number of the step, kind of the step.

    Only steps of the first part are yielded: the anchor may be one generation behind, so its last step shows later.
    """
    for name, kind in CONTROLS.items():
        files = Board.holding(kind.start())
        parts = kind.change(files)
        if isinstance(parts, Iterator):
            next(parts)
        yield from ((name, number, step) for number, step in enumerate(files.steps) if step in DURABLE)


@pytest.mark.parametrize(("name", "number", "step"), list(durable_steps()))
def test_a_step_that_is_left_out_is_noticed(name: str, number: int, step: str) -> None:
    kind = CONTROLS[name]
    count = survey(kind.start(), kind.change, ignored=(number,), first_fault=True)
    assert count.faults, f"nothing shows that {step} (step {number} of {name}) is needed"


@pytest.mark.parametrize("left_out", [False, True])
def test_an_old_copy_opens_if_the_anchor_stays_behind(left_out: bool) -> None:
    """The next commit advances an anchor that is one behind; until then the copy before the last change opens."""
    old = with_two_subjects()
    files = Board.holding(old)
    next(enrol_two(files))
    anchor_rename = max(number for number, step in enumerate(files.steps) if step == "rename")
    files = Board.holding(old)
    files.ignored = (anchor_rename,) if left_out else ()
    next(enrol_two(files))
    put_back = {**files.state(), PATH: old[PATH]}
    if left_out:
        assert look(put_back, change_again=False) is not None
    else:
        with pytest.raises(RollbackError):
            look(put_back)


def anchor_before_file(files: Board) -> None:
    """Advance the anchor, then enrol without comparing it, because a commit refuses an anchor that is ahead."""
    unchecked = ReplacedAnchor(ANCHOR, filesystem=files)
    gallery = Gallery.open(PATH, key=KEY, anchor=unchecked, filesystem=files, uptime=now)
    status = gallery.status()
    FileAnchor(ANCHOR, filesystem=files).advance(bytes.fromhex(status.gallery_id), status.generation + 1)
    gallery.enrol("dan", np.ones((1, 4), np.float32))


def test_an_anchor_that_is_written_first_is_noticed() -> None:
    count = survey(with_two_subjects(), anchor_before_file)
    assert count.rolled_back > count.states / 2


def test_a_survey_notices_a_file_that_is_not_what_was_acknowledged() -> None:
    old = with_two_subjects()

    def forget(files: Board) -> None:
        reopen(files).revoke("ann")
        for path, data in old.items():
            if path != ANCHOR:
                files.put_at_once(path, data)

    assert survey(old, forget, first_fault=True).faults


def test_the_look_of_a_gallery_differs_after_each_kind_of_change() -> None:
    looks = []
    for kind in KINDS.values():
        start: State = kind.start()
        files = Board.holding(start)
        kind.change(files)
        looks.append((look(start), look(files.state())))
    assert all(before != after for before, after in looks)
