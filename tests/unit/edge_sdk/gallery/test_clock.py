"""The gallery's time never goes back: expired subjects stay out whatever the clock shows."""

import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import AttemptPolicy, Gallery, InMemoryKey
from edge_sdk.gallery.exchange.commands import Command, new_source, sign
from edge_sdk.gallery.rules.known_time import TOLERANCE_S, KnownTime
from edge_sdk.notices import GalleryWarning
from tests.simulated_file_system import SimulatedFileSystem

KEY, OTHER = InMemoryKey(b"k" * 32), InMemoryKey(b"o" * 32)
PATH = Path("home.gallery")
START_S = 2_000_000_000.0
HOUR_S, DAY_S, YEAR_S = 3600.0, 86_400.0, 366 * 86_400.0


def face(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=8).astype(np.float32)


GUEST, OWNER, NEXT = (face(seed) for seed in range(3))


class Door:
    """A gallery with a clock that can be set."""

    def __init__(self) -> None:
        self.files = SimulatedFileSystem()
        self.clock_s = START_S
        self.gallery = Gallery.create(
            PATH,
            key=KEY,
            model_id=bytes(32),
            dimension=8,
            filesystem=self.files,
            clock=lambda: self.clock_s,
        )
        self.gallery.enrol("guest", GUEST, valid_until=START_S + HOUR_S)
        self.gallery.enrol("owner", OWNER)

    def restart(self, **options: Any) -> Gallery:
        self.gallery = Gallery.open(
            PATH,
            key=options.get("key", KEY),
            model_id=bytes(32),
            filesystem=self.files,
            clock=lambda: self.clock_s,
        )
        return self.gallery

    def accepts(self, probe: np.ndarray, **options: Any) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GalleryWarning)
            return self.gallery.identify(probe, threshold=0.9, **options).accepted

    def events(self, kind: str) -> list[str]:
        return [
            entry.event.detail for entry in self.gallery.audit.report().entries if entry.event.event == kind
        ]


@pytest.fixture
def door() -> Door:
    return Door()


def commit_by_change(door: Door) -> None:
    door.gallery.change("owner", label=f"at {door.clock_s}")


def commit_by_command(door: Door) -> None:
    private, public = new_source()
    door.gallery.exchange.add_source(public)
    door.gallery.enrol("x", face(9))
    status = door.gallery.status()
    command = Command.for_state(
        status.state,
        now_s=door.gallery.time().now_s,
        source=public,
        gallery_id=bytes.fromhex(status.gallery_id),
        sequence=1,
        action="revoke",
        subject="x",
    )
    door.gallery.exchange.execute(sign(command, private))
    door.gallery.remove("x")


def commit_by_attempt_limit(door: Door) -> None:
    door.gallery.attempts.limit(AttemptPolicy())
    door.gallery.attempts.reset()


def commit_by_keys(door: Door) -> None:
    door.gallery.keys.add(OTHER)
    door.gallery.keys.remove(1)
    door.gallery.keys.renew_transform()


def commit_by_another_process(door: Door) -> None:
    other = Gallery.open(PATH, key=KEY, model_id=bytes(32), filesystem=door.files, clock=lambda: door.clock_s)
    other.change("owner", label="by another process")


def commit_by_erasure(door: Door) -> None:
    door.gallery.enrol("y", face(8))
    door.gallery.erase("y")


COMMITS = [
    commit_by_change,
    commit_by_command,
    commit_by_attempt_limit,
    commit_by_keys,
    commit_by_another_process,
    commit_by_erasure,
]


@pytest.mark.parametrize("commit", COMMITS, ids=lambda commit: commit.__name__)
@pytest.mark.parametrize("back_to_s", [START_S + 60, START_S, START_S - YEAR_S, 60.0, 0.0])
def test_an_expired_guest_stays_out_if_the_clock_is_set_back(
    door: Door, commit: Any, back_to_s: float
) -> None:
    assert door.accepts(GUEST)
    door.clock_s = START_S + 2 * HOUR_S
    commit_by_change(door)
    assert not door.accepts(GUEST)
    door.clock_s = back_to_s
    door.restart()
    assert not door.accepts(GUEST), "before any change"
    commit(door)
    assert not door.accepts(GUEST), "after a change with the clock set back"
    assert door.restart().time().now_s >= START_S + 2 * HOUR_S
    assert not door.accepts(GUEST)
    assert door.accepts(OWNER), "a subject without an end of validity is not affected"
    assert all(int(detail.removeprefix("seconds=")) > 0 for detail in door.events("clock-behind"))
    assert door.events("clock-behind")
    assert door.gallery.audit.report().intact


@pytest.mark.parametrize("back_s", [61, HOUR_S, 29 * DAY_S, START_S])
def test_a_guest_is_not_accepted_by_a_clock_before_the_last_change(door: Door, back_s: float) -> None:
    """The true time is later than the last change, but nobody knows by how much."""
    door.clock_s = START_S - back_s
    gallery = door.restart()
    with pytest.warns(
        GalleryWarning, match="behind the gallery: subjects whose validity ends are not accepted"
    ):
        assert not gallery.identify(GUEST, threshold=0.9).accepted
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the warning is issued once
        assert gallery.verify(OWNER, "owner", threshold=0.9).accepted
        assert not gallery.verify(GUEST, "guest", threshold=0.9).accepted
    status = gallery.status()
    assert status.clock_behind_s == int(back_s)
    assert "reset-clock" in status.clock
    assert any(problem.startswith("the clock is") for problem in gallery.problems())
    door.clock_s = START_S + 60
    assert door.accepts(GUEST), "a corrected clock is believed at once"
    assert gallery.status().clock_behind_s == 0


def test_a_difference_of_a_minute_is_no_fault(door: Door) -> None:
    door.clock_s = START_S - TOLERANCE_S
    gallery = door.restart()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gallery.identify(GUEST, threshold=0.9).accepted
    assert gallery.time() == KnownTime(START_S)


def test_a_process_remembers_the_latest_time_it_has_read(door: Door) -> None:
    door.clock_s = START_S + 2 * HOUR_S
    assert not door.accepts(GUEST)
    door.clock_s = START_S + 60
    assert not door.accepts(GUEST), "no change was made, but this process has read a later time"
    door.gallery.change("owner", label="x")
    door.restart()
    assert not door.accepts(GUEST), "the change has sealed it"


def test_a_guest_who_is_not_valid_yet_stays_out(door: Door) -> None:
    door.gallery.enrol("next", NEXT, valid_from=START_S + DAY_S, valid_until=START_S + 2 * DAY_S)
    for clock_s in (0.0, 60.0, START_S, START_S + DAY_S - 1):
        door.clock_s = clock_s
        door.restart()
        assert not door.accepts(NEXT)
    door.clock_s = START_S + DAY_S
    assert door.accepts(NEXT)


def test_a_time_that_the_caller_gives_goes_back_no_further_than_the_clock(door: Door) -> None:
    door.clock_s = START_S + 2 * HOUR_S
    door.gallery.change("owner", label="x")
    for now in (START_S, START_S + 60, datetime.fromtimestamp(START_S, timezone.utc)):
        assert not door.accepts(GUEST, now=now)
        assert door.accepts(OWNER, now=now)
    assert door.gallery.time().now_s == door.clock_s, "a time that is given is not remembered"


@pytest.mark.parametrize(
    "now", [0, 0.5, -1, 999_999_999, True, "x", b"", [1], np.array([2e9]), 2e12, np.inf, np.nan]
)
def test_a_time_of_another_kind_is_one_error(door: Door, now: object) -> None:
    bounds: list[dict[str, Any]] = [{"valid_until": now}, {"valid_from": now}]
    for options in bounds:
        with pytest.raises(InputError, match="not a time"):
            door.gallery.enrol("new", face(7), **options)
        if not (isinstance(now, (int, float)) and now == 0):
            with pytest.raises(InputError, match="not a time"):
                door.gallery.change("owner", **options)
    with pytest.raises(InputError, match="not a time"):
        door.gallery.identify(GUEST, threshold=0.9, now=now)  # type: ignore[arg-type]


def test_an_end_of_validity_in_the_past_is_refused(door: Door) -> None:
    for past_s in (START_S, START_S - 1, 1_000_000_000, datetime(2020, 1, 1, tzinfo=timezone.utc)):
        with pytest.raises(InputError, match="after the present time"):
            door.gallery.enrol("new", face(7), valid_until=past_s)
        with pytest.raises(InputError, match="after the present time"):
            door.gallery.change("owner", valid_until=past_s)
    door.clock_s = 60.0
    with pytest.raises(InputError, match="after the present time"):
        door.restart().enrol("new", face(7), valid_until=START_S - 1)
    door.gallery.change("owner", valid_until=0)
    door.gallery.change("guest", label="a label of an expired subject may change")


@pytest.mark.parametrize("time", ["2030", None, True, b"0", [], 1j, float("nan"), -1.0, 1e12], ids=repr)
def test_a_clock_that_gives_no_time_is_one_error(time: object) -> None:
    with pytest.raises(GalleryError, match="the device's clock gives"):
        Gallery.create(
            PATH,
            key=KEY,
            model_id=bytes(32),
            dimension=8,
            filesystem=SimulatedFileSystem(),
            clock=lambda: time,  # type: ignore[arg-type,return-value]
        )


def test_an_administrator_resets_a_time_that_was_wrongly_ahead(door: Door) -> None:
    running = Gallery.open(
        PATH, key=KEY, model_id=bytes(32), filesystem=door.files, clock=lambda: door.clock_s
    )
    door.clock_s = START_S + 50 * YEAR_S
    door.gallery.change("owner", label="with a wrong clock")
    assert door.events("clock-jump") == [f"from={int(START_S)},to={int(door.clock_s)}"]
    running.refresh()
    door.clock_s = START_S + 60
    assert not door.accepts(GUEST)
    door.gallery.reset_clock()
    assert door.events("clock-reset") == [f"from={int(START_S + 50 * YEAR_S)},to={int(START_S + 60)}"]
    assert door.gallery.status().clock_behind_s == 0
    assert door.accepts(GUEST)
    assert running.identify(GUEST, threshold=0.9).accepted, "a running process follows the reset"
    door.restart()
    assert door.accepts(GUEST)


def test_a_door_works_after_two_years_in_storage(door: Door) -> None:
    door.clock_s = START_S + 2 * YEAR_S
    door.restart()
    assert door.accepts(OWNER)
    assert not door.accepts(GUEST)
    door.gallery.enrol("new", face(7), valid_until=door.clock_s + HOUR_S)
    assert door.accepts(face(7))
    assert len(door.events("clock-jump")) == 1


class TimeMachine(RuleBasedStateMachine):
    """The clock goes anywhere; the gallery is changed, restarted and asked."""

    @initialize()
    def create(self) -> None:
        self.door = Door()
        self.latest_s = START_S
        self.read_s = START_S

    @rule(clock_s=st.floats(0, START_S + 3 * HOUR_S) | st.floats(START_S - HOUR_S, START_S + 3 * HOUR_S))
    def set_clock(self, clock_s: float) -> None:
        self.door.clock_s = clock_s

    @rule()
    def restart(self) -> None:
        self.door.restart()
        self.read_s = 0.0

    @rule(commit=st.sampled_from([commit_by_change, commit_by_another_process, commit_by_attempt_limit]))
    def change(self, commit: Any) -> None:
        commit(self.door)
        if commit is not commit_by_another_process:
            self.read_s = max(self.read_s, self.door.clock_s)
            self.latest_s = max(self.latest_s, float(int(self.read_s)))
        self.latest_s = max(self.latest_s, float(int(self.door.clock_s)))

    @rule()
    def reset(self) -> None:
        self.door.gallery.reset_clock()
        self.latest_s = float(int(self.door.clock_s))
        self.read_s = self.door.clock_s

    @rule()
    def identify(self) -> None:
        accepted = self.door.accepts(GUEST)
        known_s = max(self.latest_s, self.read_s)
        self.read_s = max(self.read_s, self.door.clock_s)
        expected = (
            known_s - self.door.clock_s <= TOLERANCE_S and max(known_s, self.door.clock_s) < START_S + HOUR_S
        )
        assert accepted == expected
        assert self.door.accepts(OWNER)

    @invariant()
    def time_never_goes_back(self) -> None:
        if hasattr(self, "door"):
            self.read_s = max(self.read_s, self.door.clock_s)
            assert self.door.gallery.time().now_s >= max(self.latest_s, self.read_s)


TestTimeMachine = TimeMachine.TestCase
TestTimeMachine.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
