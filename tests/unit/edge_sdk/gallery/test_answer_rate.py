"""Accepted answers are always logged; the rate of entries for other answers is bounded, and none is left uncounted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryError
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.gallery.answer_rate import ENTRIES_AT_ONCE, INTERVAL_S, AnswerRate
from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.files import audit_path
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(bytes(range(32)))
PATH = Path("g/home.gallery")
ANN, STRANGER = np.eye(8, dtype=np.float32)[:2]


class Door:
    """A gallery on a simulated medium, with a time since boot and a clock that the test sets."""

    def __init__(self) -> None:
        self.files = SimulatedFileSystem()
        self.boot, self.since_boot_s, self.clock_s = b"1" * 16, 0.0, 1_750_000_000.0
        self.gallery = Gallery.create(
            PATH,
            key=KEY,
            model_id=bytes(32),
            dimension=8,
            filesystem=self.files,
            clock=lambda: self.clock_s,
            uptime=self.now,
        )
        self.gallery.enrol("ann", ANN)

    def now(self) -> Moment:
        return Moment(self.boot, int(1000 * self.since_boot_s))

    def answers(self) -> list[tuple[str, int]]:
        """Return each answer in the log and the number of answers it stands for."""
        return [
            (entry.event.event, counted(entry.event))
            for entry in self.gallery.audit.report().entries
            if entry.event.event in ("accepted", "rejected")
        ]


def counted(event: AuditEvent) -> int:
    match = re.match(r"n=(\d+),since=\d+$", event.detail)
    return int(match[1]) if match else 1


def test_a_crowd_of_strangers_is_counted_not_listed() -> None:
    door = Door()
    for second in range(600):
        door.since_boot_s = door.clock_s = float(second)
        door.clock_s += 1_750_000_000
        for _ in range(5):
            assert not door.gallery.identify(STRANGER, threshold=0.9).accepted
    assert door.gallery.identify(ANN, threshold=0.9).accepted
    answers = door.answers()
    assert sum(number for event, number in answers if event == "rejected") == 3000
    assert answers[:ENTRIES_AT_ONCE] == [("rejected", 1)] * ENTRIES_AT_ONCE
    assert len(answers) <= ENTRIES_AT_ONCE + 600 // INTERVAL_S + 2
    assert answers[-1] == ("accepted", 1)
    since = [
        entry.event.detail for entry in door.gallery.audit.report().entries if "since=" in entry.event.detail
    ]
    assert since[0].endswith(",since=1750000002")


def test_a_day_of_strangers_writes_little() -> None:
    """5 answers a second for a day are one entry a minute."""
    clock, written = [0], 0
    rate = AnswerRate(lambda: Moment(b"1" * 16, clock[0]))
    for _ in range(24 * 3600 * 5):
        clock[0] += 200
        rate.add(AuditEvent("rejected"), clock[0] // 1000)
        due = rate.due()
        if due:
            written += 1
            rate.clear()
            rate.spend()
    assert written <= 24 * 60 + ENTRIES_AT_ONCE


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["accept", "reject", "verify", "reboot", "restart"]),
            st.floats(0, 200).map(lambda s: ("wait", s)),
            st.integers(0, 2_000_000_000).map(lambda s: ("set the clock", s)),
        ),
        max_size=40,
    )
)
def test_no_order_of_events_loses_an_accepted_answer(steps: list[object]) -> None:
    door = Door()
    accepted = rejected = 0
    for step in steps:
        if step == "accept":
            assert door.gallery.identify(ANN, threshold=0.9).accepted
            accepted += 1
        elif step == "reject":
            assert not door.gallery.identify(STRANGER, threshold=0.9).accepted
            rejected += 1
        elif step == "verify":
            assert not door.gallery.verify(STRANGER, "ann", threshold=0.9).accepted
            rejected += 1
        elif step == "reboot":
            door.boot, door.since_boot_s = bytes([door.boot[0] ^ 1]) * 16, 0.0
        elif step == "restart":
            door.gallery.audit.flush()
            door.gallery = Gallery.open(
                PATH, key=KEY, filesystem=door.files, clock=lambda: door.clock_s, uptime=door.now
            )
        elif isinstance(step, tuple) and step[0] == "wait":
            door.since_boot_s += step[1]
        elif isinstance(step, tuple):
            door.clock_s = float(step[1])
    answers = door.answers()
    assert sum(number for event, number in answers if event == "rejected") == rejected
    assert [event for event, _ in answers].count("accepted") == accepted


def test_answers_that_could_not_be_written_are_written_later() -> None:
    door = Door()
    full, tries = OSError(28, "No space left on device"), ENTRIES_AT_ONCE + 5
    door.files.fail = dict.fromkeys(range(len(door.files.steps), 10_000), full)
    for _ in range(tries):
        with pytest.raises(GalleryError, match="No space left on device"):
            door.gallery.identify(STRANGER, threshold=0.9)
        with pytest.raises(GalleryError, match="No space left on device"):
            door.gallery.identify(ANN, threshold=0.9)
    door.files.fail = {}
    assert door.gallery.identify(ANN, threshold=0.9).accepted
    assert door.answers() == [("rejected", tries), ("accepted", 1)]


def test_a_log_of_changes_has_no_answers() -> None:
    door = Door()
    door.gallery.audit.log_answers(False)
    before = len(door.files.state()[audit_path(PATH)])
    door.gallery.identify(ANN, threshold=0.9)
    door.gallery.identify(STRANGER, threshold=0.9)
    door.gallery.audit.flush()
    assert len(door.files.state()[audit_path(PATH)]) == before
