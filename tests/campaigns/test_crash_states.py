"""Power cuts: no state that one may leave is lost, corrupt or locked out; and every step that is left out is noticed."""

from collections.abc import Iterator

import numpy as np
import pytest
from campaigns.crash_states import (
    ANCHOR,
    EVERY_BYTE,
    KINDS,
    PATH,
    Board,
    Count,
    Kind,
    State,
    counting_tries,
    create,
    look,
    reopen,
    survey,
    with_two_subjects,
)

from edge_sdk.gallery import FileAnchor


@pytest.mark.parametrize("name", KINDS)
def test_a_power_cut_leaves_the_old_gallery_or_the_new(name: str) -> None:
    kind = KINDS[name]
    count = survey(kind.start(), kind.change)
    assert count.faults == 0, count
    assert count.states >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_wherever_a_file_is_torn_it_is_the_old_gallery_or_the_new(name: str) -> None:
    kind = KINDS[name]
    count = survey(kind.start(), kind.change, tears=EVERY_BYTE)
    print(f"\n{name}: {count}")
    assert count.faults == 0, count
    assert count.states > 100


def cut_twice(kind: Kind, tears: int) -> Count:
    """From every state that the first cut left, change again and cut again."""
    first = survey(kind.start(), kind.change, tears=tears, keep=True)
    total = Count()
    for state in first.kept:
        if PATH in state:
            total.add(survey(state, enrol_one, tears=tears))
    return total


def enrol_one(files: Board) -> None:
    reopen(files).enrol("once more", np.ones((1, 4), np.float32))


def test_a_second_power_cut_while_a_door_recovers_from_the_first_loses_nothing() -> None:
    count = cut_twice(KINDS["revoke"], tears=1)
    print(f"\n{count}")
    assert count.faults == 0, count
    assert count.states > 500


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_second_power_cut_after_any_kind_of_change_loses_nothing(name: str) -> None:
    count = cut_twice(KINDS[name], tears=3)
    print(f"\n{name}, cut twice: {count}")
    assert count.faults == 0, count


def create_and_enrol(files: Board) -> Iterator[None]:
    gallery = create(files)
    yield
    gallery.enrol("dan", np.array([[1, 2, 3, 4]], np.float32))


def enrol_two(files: Board) -> Iterator[None]:
    """One process, two commits: what the first leaves out is not made good by opening again."""
    gallery = reopen(files)
    gallery.enrol("dan", np.array([[1, 2, 3, 4]], np.float32))
    yield
    gallery.enrol("cy", np.array([[1, 2, -3, 4]], np.float32))


def reject_twice(files: Board) -> Iterator[None]:
    gallery = reopen(files)
    gallery.reject()
    yield
    gallery.reject()


DURABLE = ("fsync", "fsync_directory", "rename")
CONTROLS = {
    "create": Kind(dict, create_and_enrol),
    "enrol": Kind(with_two_subjects, enrol_two),
    "failed try": Kind(counting_tries, reject_twice),
    "audit entry": KINDS["audit entry"],
}


def durable_steps() -> Iterator[tuple[str, int, str]]:
    """Each step of which a change's durability is made: of what, its number, its kind.

    Those of the first part of two: an anchor may be one behind, so what its last step is for shows with the next.
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


def anchor_before_file(files: Board) -> None:
    gallery = reopen(files)
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


def test_a_look_is_not_the_same_for_different_galleries() -> None:
    looks = []
    for kind in KINDS.values():
        start: State = kind.start()
        files = Board.holding(start)
        kind.change(files)
        looks.append((look(start), look(files.state())))
    assert all(before != after for before, after in looks)
