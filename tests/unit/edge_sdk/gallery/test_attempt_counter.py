"""The limit on failed attempts holds despite power cuts, clock changes, altered counter files and other processes."""

import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, SealError, SubjectUnknownError
from edge_sdk.gallery import AttemptPolicy, AttemptStatus, Decision, Gallery, InMemoryKey, Reason
from edge_sdk.gallery.attempt_counter import (
    LABEL,
    STATE_BYTES,
    AttemptCounter,
    AttemptState,
    CounterIdentity,
    Moment,
    begin,
    counter_path,
    moment_of_boot,
    pack_limit,
    pack_state,
    parse_limit,
    parse_state,
    refusal,
    succeed,
    wait_ms,
)
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import ATTEMPT_POLICY
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.store.files import PosixFileSystem, lock_path, write_atomically
from tests.patience import PATIENCE_S
from tests.simulated_file_system import PowerCut, SimulatedFileSystem

ROOT = Path(__file__).parents[4]
PATH = Path("gallery/home.gallery")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
LIMIT = AttemptPolicy(free=3, most=8, wait_s=30)
IDENTITY = CounterIdentity(key=b"k" * 32, gallery_id=b"g" * 16, counter_id=b"c" * 16)


class Machine:
    """A fake device: the test sets its clock and reboots it, and its files survive reboots."""

    def __init__(self) -> None:
        self.time_ms = 0
        self.boots = 1
        self.booted_ms = -5_000
        self.files = SimulatedFileSystem()

    def now(self) -> Moment:
        return Moment(self.boots.to_bytes(16, "big"), self.time_ms - self.booted_ms)

    def reboot(self) -> None:
        self.boots += 1
        self.booted_ms = self.time_ms

    def process(self) -> AttemptCounter:
        return AttemptCounter(self.files, PATH, LIMIT, IDENTITY, now=self.now)


def start(counter: AttemptCounter) -> None:
    """Write the first state of a new counter."""
    with counter.replacing(None, keep=False):
        pass


class Attempts(RuleBasedStateMachine):
    """State machine: two processes make attempts, with power cuts; the counter never shows too few failed attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.device = Machine()
        self.in_a_row = 0
        self.last_attempt_ms: int | None = None
        self.under_way: list[tuple[int, int]] = []  # process, number

    @initialize()
    def start_the_counter(self) -> None:
        start(self.device.process())
        self.start_processes()

    def start_processes(self) -> None:
        self.processes = [self.device.process(), self.device.process()]
        self.under_way.clear()

    def allowed(self) -> None:
        """Record an attempt; fail if the limit or the wait did not allow it."""
        assert self.in_a_row < LIMIT.most
        if self.in_a_row >= LIMIT.free:
            assert self.last_attempt_ms is not None
            assert self.device.time_ms - self.last_attempt_ms >= 1000 * LIMIT.wait_s
        self.in_a_row += 1
        self.last_attempt_ms = self.device.time_ms

    @rule(process=st.integers(0, 1))
    def attempt_begins(self, process: int) -> None:
        number = self.processes[process].begin()
        if isinstance(number, int):
            self.allowed()
            self.under_way.append((process, number))
        else:
            assert number in (Reason.WAIT, Reason.DISABLED)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), accepted=st.booleans())
    def attempt_ends(self, which: int, accepted: bool) -> None:
        process, number = self.under_way.pop(which % len(self.under_way))
        if accepted:
            begun = self.counted().begun
            self.processes[process].succeed(number)
            self.in_a_row = min(self.in_a_row, begun - number)

    @rule(
        process=st.integers(0, 1), cut=st.integers(0, 9), left=st.integers(0, 10_000), accepted=st.booleans()
    )
    def power_is_cut_during_an_attempt(self, process: int, cut: int, left: int, accepted: bool) -> None:
        files = self.device.files
        files.cut_before = len(files.steps) + cut
        number: int | Reason | None = None
        try:
            number = self.processes[process].begin()
            if isinstance(number, int):
                self.allowed()
                if accepted:
                    self.processes[process].succeed(number)
                    self.in_a_row = 0
        except PowerCut:
            pass
        states = list(files.states_after_cut())
        self.device.files = SimulatedFileSystem.holding(states[left % len(states)])
        self.device.reboot()
        self.start_processes()
        if (
            isinstance(number, int) and accepted
        ):  # the success counts even if the power cut prevented its write
            self.in_a_row = min(self.in_a_row, self.counted().failures)

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 31, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.device.time_ms += 1000 * seconds

    @rule()
    def machine_starts_again(self) -> None:
        self.device.reboot()
        self.start_processes()

    @rule(process=st.integers(0, 1))
    def a_process_starts_again(self, process: int) -> None:
        self.processes[process] = self.device.process()
        self.under_way = [(p, number) for p, number in self.under_way if p != process]

    @invariant()
    def nothing_is_forgotten(self) -> None:
        if hasattr(self, "processes"):
            assert self.counted().failures >= self.in_a_row

    def counted(self) -> AttemptState:
        state = parse_state(self.device.files.state()[counter_path(PATH)], IDENTITY)
        assert state is not None
        return state


Attempts.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_no_order_of_events_gives_an_attempt_too_many = Attempts.TestCase


def test_the_state_machine_notices_a_counter_that_is_not_synced() -> None:
    """A negative control: without fsync a power cut loses counted attempts."""
    device = Machine()
    start(device.process())
    files = SimulatedFileSystem.holding(device.files.state())
    files.ignored = ("fsync", "fsync_directory")
    device.files = files
    assert device.process().begin() == 1
    kept = [parse_state(state[counter_path(PATH)], IDENTITY) for state in files.states_after_cut()]
    assert any(state is None or state.failures == 0 for state in kept)
    device.files = SimulatedFileSystem.holding({counter_path(PATH): files.state()[counter_path(PATH)]})
    assert device.process().begin() == 2
    assert all(
        parse_state(state[counter_path(PATH)], IDENTITY).failures == 2
        for state in device.files.states_after_cut()
    )


def test_the_defaults_are_those_of_nist() -> None:
    assert AttemptPolicy() == AttemptPolicy(free=5, most=50, wait_s=30)
    assert AttemptPolicy.with_pad() == AttemptPolicy(free=10, most=100, wait_s=30)
    assert wait_ms(AttemptPolicy(wait_s=0), AttemptState(failures=9), Moment(bytes(16), 0)) == 0
    for edge in ({"free": 1, "most": 1}, {"free": 10**6, "most": 10**6}, {"wait_s": 86_400}):
        AttemptPolicy(**edge)
    for wrong in ({"free": 0}, {"free": 6, "most": 5}, {"most": 10**7}, {"wait_s": -1}, {"wait_s": 10**6}):
        with pytest.raises(InputError, match="attempts"):
            AttemptPolicy(**wrong)


def test_after_a_reboot_only_the_time_since_the_reboot_counts() -> None:
    state = AttemptState(failures=3, begun=3, writes=3, last=Moment(b"1" * 16, 1_000_000))
    assert wait_ms(LIMIT, state, Moment(b"1" * 16, 1_029_000)) == 1000
    assert wait_ms(LIMIT, state, Moment(b"1" * 16, 1_030_000)) == 0
    assert wait_ms(LIMIT, state, Moment(b"2" * 16, 4_000)) == 26_000
    assert wait_ms(LIMIT, state, Moment(b"2" * 16, 30_000)) == 0
    # After a machine is restored from a snapshot, its clock is before the last attempt: the wait starts again.
    assert wait_ms(LIMIT, state, Moment(b"1" * 16, 999_000)) == 31_000
    assert refusal(LIMIT, AttemptState(failures=8), Moment(b"2" * 16, 10**9)) is Reason.DISABLED


def test_a_success_clears_only_earlier_failures() -> None:
    now = Moment(b"1" * 16, 0)
    first = begin(AttemptState(), now)
    second = begin(begin(first, now), now)
    assert succeed(second, first.begun).failures == 2
    assert succeed(second, first.begun).writes == second.writes + 1
    assert succeed(second, second.begun).failures == 0
    assert succeed(succeed(second, second.begun), first.begun).failures == 0


def flipped(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_every_flipped_bit_and_every_length_is_no_counter() -> None:
    data = pack_state(AttemptState(2, 9, 11, Moment(b"1" * 16, 77)), IDENTITY)
    assert parse_state(data, IDENTITY) == AttemptState(2, 9, 11, Moment(b"1" * 16, 77))
    assert len(data) == STATE_BYTES
    for wrong in [*flipped(data), data[:-1], data + b"\0", b""]:
        assert parse_state(wrong, IDENTITY) is None
    for name, value in (("key", b"x" * 32), ("gallery_id", b"x" * 16), ("counter_id", b"x" * 16)):
        assert parse_state(data, replace(IDENTITY, **{name: value})) is None


def test_a_counter_too_large_to_be_incremented_is_refused() -> None:
    """The counter is authentic, but its next value would not fit the field, so attempts are refused."""
    for state in (AttemptState(begun=2**63), AttemptState(writes=2**63)):
        assert parse_state(pack_state(state, IDENTITY), IDENTITY) is None
    last = AttemptState(begun=2**63 - 1, writes=2**63 - 1)
    assert parse_state(pack_state(last, IDENTITY), IDENTITY) == last
    assert pack_state(begin(last, Moment(bytes(16), 0)), IDENTITY)


def test_a_limit_comes_back() -> None:
    limit = AttemptPolicy(free=3, most=8, wait_s=17)
    assert parse_limit(pack_limit(limit, b"c" * 16)) == (limit, b"c" * 16)


def test_a_malformed_limit_is_refused() -> None:
    good = pack_limit(AttemptPolicy(), b"c" * 16)
    assert parse_limit(good) == (AttemptPolicy(), b"c" * 16)
    for wrong in (good[:-1], good + b"\0", bytes(4) + good[4:], good[:12] + b"\1" + good[13:]):
        with pytest.raises(GalleryFormatError):
            parse_limit(wrong)


# Attempts at a gallery.

ANN = np.eye(8, dtype=np.float32)[0]
STRANGER = np.eye(8, dtype=np.float32)[1]


def door(device: Machine, limit: AttemptPolicy | None = LIMIT) -> Gallery:
    gallery = Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=8,
        filesystem=device.files,
        uptime=device.now,
        audit="changes",
    )
    with gallery.transaction() as t:
        t.enrol("ann", ANN)
        if limit is not None:
            t.limit_attempts(limit)
    return gallery


def again(device: Machine, key: InMemoryKey = KEY) -> Gallery:
    return Gallery.open(PATH, key=key, filesystem=device.files, uptime=device.now)


def answer(gallery: Gallery, probe: np.ndarray = STRANGER) -> Decision | Reason:
    result = gallery.identify(probe, threshold=0.5)
    return result.reason if result.decision is Decision.LOCKED_OUT and result.reason else result.decision


def test_failures_cause_waits_and_then_disable_the_gallery() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(3):
        assert answer(gallery) is Decision.REJECTED
    assert answer(gallery, ANN) is Reason.WAIT
    assert gallery.verify(ANN, "ann", threshold=0.5).decision is Decision.LOCKED_OUT
    device.time_ms += 29_999
    assert answer(again(device), ANN) is Reason.WAIT
    device.time_ms += 1
    for _ in range(4):
        assert answer(gallery) is Decision.REJECTED
        assert answer(gallery) is Reason.WAIT
        device.time_ms += 30_000
    assert answer(gallery) is Decision.REJECTED
    assert answer(gallery, ANN) is Reason.DISABLED
    status = gallery.attempts.status()
    assert status is not None
    assert (status.failures, status.refusal) == (8, Reason.DISABLED)
    gallery.attempts.reset()
    assert answer(gallery, ANN) is Decision.ACCEPTED


def test_a_success_clears_and_a_wait_is_no_failure() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(20):
        assert [answer(gallery) for _ in range(2)] == [Decision.REJECTED] * 2
        assert answer(gallery, ANN) is Decision.ACCEPTED
    for _ in range(3):
        answer(gallery)
    for _ in range(100):
        assert answer(gallery) is Reason.WAIT
    device.time_ms += 30_000
    assert answer(gallery, ANN) is Decision.ACCEPTED


def test_without_a_limit_nothing_is_counted() -> None:
    device = Machine()
    gallery = door(device, None)
    assert {answer(gallery) for _ in range(100)} == {Decision.REJECTED}
    assert gallery.attempts.status() is None
    assert counter_path(PATH) not in device.files.state()
    with pytest.raises(GalleryError, match="does not limit attempts"):
        gallery.attempts.reset()


def test_a_malformed_probe_is_no_attempt() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(10):
        with pytest.raises(InputError):
            gallery.identify(np.zeros(8, np.float32), threshold=0.5)
        with pytest.raises(LookupError):
            gallery.verify(STRANGER, "nobody", threshold=0.5)
    assert gallery.attempts.status().failures == 0


def test_a_removed_or_replaced_counter_refuses_all_attempts_until_a_reset() -> None:
    device = Machine()
    gallery = door(device)
    path = counter_path(PATH)
    first = device.files.state()[path]
    for _ in range(2):
        answer(gallery)
    files = device.files.state()
    other = Machine()
    door(other)
    for content in (None, b"", first[:-1], other.files.state()[path], bytes(STATE_BYTES)):
        device.files = SimulatedFileSystem.holding(
            {p: data for p, data in files.items() if p != path} | ({} if content is None else {path: content})
        )
        replaced = again(device)
        assert answer(replaced, ANN) is Reason.COUNTER
        status = replaced.attempts.status()
        assert status is not None
        assert (status.failures, status.refusal) == (None, Reason.COUNTER)
        replaced.attempts.reset()
        assert answer(replaced, ANN) is Decision.ACCEPTED


def test_an_old_counter_is_noticed_by_a_process_that_saw_a_newer_one_and_after_a_reset() -> None:
    device = Machine()
    gallery = door(device)
    path = counter_path(PATH)
    old = device.files.state()[path]

    def put_back() -> None:
        files = device.files
        handle = files.create(path.with_suffix(".copy"))
        files.write(handle, old)
        files.fsync(handle)
        files.rename(path.with_suffix(".copy"), path)

    answer(gallery)
    put_back()
    assert answer(gallery, ANN) is Reason.COUNTER
    # A process that starts afterwards does not notice it (stated in SECURITY.md).
    assert answer(again(device), ANN) is Decision.ACCEPTED
    gallery = again(device)
    gallery.attempts.reset()
    put_back()
    assert answer(again(device), ANN) is Reason.COUNTER


def test_an_old_counter_is_noticed_after_a_change_of_the_gallery_too() -> None:
    """A running process that loads a change of the gallery still remembers the newest state of the counter."""
    device = Machine()
    gallery = door(device)
    old = device.files.state()[counter_path(PATH)]
    for _ in range(3):
        answer(gallery)
    again(device).revoke("ann")
    assert gallery.refresh()
    state = {**device.files.state(), counter_path(PATH): old}
    device.files.__dict__.update(vars(SimulatedFileSystem.holding(state)))
    assert answer(gallery) is Reason.COUNTER


def test_a_removed_limit_is_removed_in_every_process() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(3):
        answer(gallery)
    other = again(device)
    with other.transaction() as t:
        t.limit_attempts(None)
    for process in (other, gallery):
        process.refresh()
        assert process.attempts.status() is None
        assert {answer(process) for _ in range(9)} == {Decision.REJECTED}


def test_the_counter_of_a_removed_gallery_is_ignored_and_replaced_by_a_new_limit() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(3):
        answer(gallery)
    left = device.files.state()[counter_path(PATH)]
    device.files = SimulatedFileSystem.holding({counter_path(PATH): left})
    made = door(device, None)
    assert answer(made, ANN) is Decision.ACCEPTED
    assert device.files.state()[counter_path(PATH)] == left
    with made.transaction() as t:
        t.limit_attempts(LIMIT)
    assert made.attempts.status().failures == 0
    assert answer(again(device), ANN) is Decision.ACCEPTED


def test_a_reset_by_another_process_is_taken_over() -> None:
    device = Machine()
    daemon = door(device)
    for _ in range(3):
        answer(daemon)
    again(device).attempts.reset()
    assert answer(daemon, ANN) is Decision.ACCEPTED


def test_a_subject_removed_during_an_attempt_is_unknown() -> None:
    """Another process removes the subject and starts a new counter: the attempt sees both changes."""
    device = Machine()
    daemon = door(device)
    name = daemon.subjects()[0].name
    other = again(device)
    with other.transaction() as t:
        t.remove(name)
        t.limit_attempts(AttemptPolicy())
    with pytest.raises(SubjectUnknownError):
        daemon.verify(ANN, name, threshold=0.5)
    assert daemon.attempts.status().failures == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_attempt_that_cannot_be_counted_is_not_made(code: int) -> None:
    device = Machine()
    gallery = door(device)
    before = len(device.files.steps)
    gallery.identify(STRANGER, threshold=0.5)
    for step in range(len(device.files.steps) - before):
        device.files.fail = {len(device.files.steps) + step: OSError(code, os.strerror(code))}
        with pytest.raises(GalleryError):
            gallery.identify(ANN, threshold=0.5)
        device.files.fail = {}


def test_a_reset_with_a_power_cut_leaves_the_old_counter_or_the_new_one() -> None:
    device = Machine()
    gallery = door(device)
    answer(gallery)
    start, failures = device.files.state(), set()
    gallery.attempts.reset()
    steps = len(device.files.steps)
    for cut in range(steps):
        files = SimulatedFileSystem.holding(start)
        files.cut_before = cut
        device.files = files
        with contextlib.suppress(PowerCut):
            again(device).attempts.reset()
        for state in files.states_after_cut():
            device.files = SimulatedFileSystem.holding(state)
            status = again(device).attempts.status()
            assert status is not None
            assert status.refusal is None
            failures.add(status.failures)
            assert answer(again(device), ANN) is Decision.ACCEPTED
    assert failures == {0, 1}


def test_attempts_during_a_change_of_the_limit_count_and_a_stale_process_follows() -> None:
    device = Machine()
    gallery = door(device)
    answer(gallery)
    other = again(device)

    class Interrupted(SimulatedFileSystem):
        """A file system on which another process makes an attempt right before the gallery is replaced."""

        def rename(self, source: Path, target: Path) -> None:
            if target == PATH:
                assert answer(other) is Decision.REJECTED
                assert other.attempts.status().failures == 2
            super().rename(source, target)

    device.files.__class__ = Interrupted
    gallery.attempts.reset()
    assert len(device.files.state()[counter_path(PATH)]) == STATE_BYTES
    assert answer(other) is Decision.REJECTED
    assert other.attempts.status().failures == gallery.attempts.status().failures == 1


def test_a_process_follows_a_renewed_transform_and_a_reset() -> None:
    device = Machine()
    gallery = door(device)
    administrator = again(device)
    administrator.keys.renew_transform()
    administrator.attempts.reset()
    assert answer(gallery, ANN) is Decision.ACCEPTED
    administrator.keys.renew_transform()
    administrator.attempts.reset()
    assert gallery.verify(ANN, "ann", threshold=0.5).decision is Decision.ACCEPTED


def test_a_counter_that_cannot_be_removed_is_left_and_never_read_again() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(2):
        answer(gallery)
    start = device.files.state()
    done = len(device.files.steps)
    gallery.attempts.reset()
    forgets = len(device.files.steps) - 1 - device.files.steps[::-1].index("create") - done
    device.files = SimulatedFileSystem.holding(start)
    device.files.fail = {forgets: OSError(errno.ENOSPC, "full")}
    again(device).attempts.reset()
    assert len(device.files.state()[counter_path(PATH)]) == 2 * STATE_BYTES
    assert again(device).attempts.status().failures == 0
    assert answer(again(device)) is Decision.REJECTED
    assert again(device).attempts.status().failures == 1
    again(device).attempts.reset()
    assert len(device.files.state()[counter_path(PATH)]) == STATE_BYTES
    assert answer(again(device), ANN) is Decision.ACCEPTED


def test_an_older_state_next_to_the_counter_is_not_used_and_no_other_bytes_are_lost() -> None:
    device = Machine()
    gallery = door(device)
    place = counter_path(PATH)
    older = device.files.state()[place]
    answer(gallery)
    newer = device.files.state()[place]
    for both in (older + newer, newer + older):
        device.files = SimulatedFileSystem.holding({**device.files.state(), place: both})
        assert answer(again(device)) is Reason.COUNTER
    strange = bytes(STATE_BYTES)
    for both in (strange + newer, newer + strange):
        device.files = SimulatedFileSystem.holding({**device.files.state(), place: both})
        assert answer(again(device)) is Decision.REJECTED
        assert device.files.state()[place].endswith(strange)
        assert again(device).attempts.status().failures == 2
    device.files = SimulatedFileSystem.holding({**device.files.state(), place: newer + strange + strange})
    assert answer(again(device)) is Reason.COUNTER


def test_a_limit_whose_counter_cannot_be_started_is_not_set() -> None:
    device = Machine()
    gallery = door(device)
    answer(gallery)
    before = device.files.state()
    device.files.fail = dict.fromkeys(
        range(len(device.files.steps), 99), OSError(errno.EROFS, "read-only file system")
    )
    with pytest.raises(GalleryError, match="read-only"):
        gallery.attempts.reset()
    assert device.files.state() == before
    device.files.fail = {}
    assert again(device).attempts.status().failures == 1


def test_the_real_clock_goes_on_and_keeps_its_boot() -> None:
    first, second = moment_of_boot(), moment_of_boot()
    assert first.boot == second.boot
    assert any(first.boot)
    assert 0 < first.since_boot_ms <= second.since_boot_ms


ATTEMPTS = """
import sys
import numpy as np
from edge_sdk.gallery import Decision, Gallery, KeyFile
from edge_sdk.gallery.store import files
files.LOCK_TIMEOUT_S = 3600  # on a slow machine the other process may hold the lock for a long time
gallery = Gallery.open(sys.argv[1], key=KeyFile(sys.argv[2]))
probe = np.eye(8, dtype=np.float32)[1]
print(sum(gallery.identify(probe, threshold=0.5).decision is Decision.REJECTED for _ in range(60)))
"""


def test_processes_at_once_share_the_limit(tmp_path: Path) -> None:
    from edge_sdk.gallery import KeyFile

    path, key = tmp_path / "door.gallery", tmp_path / "door.key"
    gallery = Gallery.create(path, key=KeyFile.create(key), model_id=bytes(32), dimension=8)
    with gallery.transaction() as t:
        t.enrol("ann", ANN)
        t.limit_attempts(AttemptPolicy(free=50, most=50, wait_s=30))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ATTEMPTS, path, key], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    made = [int(process.communicate(timeout=PATIENCE_S)[0]) for process in running]
    assert sum(made) == 50
    assert {file.name for file in tmp_path.iterdir()} == {
        "door.gallery",
        "door.key",
        "door.gallery.lock",
        "door.gallery.audit",
        "door.gallery.attempts",
        "door.gallery.attempts.lock",
    }
    assert (tmp_path / "door.gallery.attempts").stat().st_mode & 0o777 == 0o600


def test_a_counters_bytes_are_those_of_the_format() -> None:
    text = (
        bytes.fromhex("894647540d0a1a0a")
        + IDENTITY.gallery_id
        + IDENTITY.counter_id
        + struct.pack("<QQII", 11, 9, 2, 0)
        + b"b" * 16
        + struct.pack("<Q", 77)
    )
    code = hmac.new(IDENTITY.key, text, hashlib.sha256).digest()
    assert pack_state(AttemptState(2, 9, 11, Moment(b"b" * 16, 77)), IDENTITY) == text + code
    limit = AttemptPolicy(free=3, most=8, wait_s=17)
    assert pack_limit(limit, b"c" * 16) == struct.pack("<IIII", 3, 8, 17, 0) + b"c" * 16
    now = Moment(b"1" * 16, 5)
    assert begin(AttemptState(2, 9, 11), now) == AttemptState(3, 10, 12, now)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (bytes(31), "the attempt policy is 31 bytes, expected 32"),
        (struct.pack("<IIII", 9, 8, 17, 0) + bytes(16), "found 9, 8 and 17 s"),
        (struct.pack("<IIII", 3, 8, 17, 5) + bytes(16), "is 5, expected 0"),
    ],
)
def test_the_error_for_a_malformed_limit_states_the_value(wrong: bytes, message: str) -> None:
    with pytest.raises(GalleryFormatError, match=message):
        parse_limit(wrong)


def test_status_says_the_limit_the_wait_and_why() -> None:
    device = Machine()
    counter = device.process()
    start(counter)
    assert counter.status() == AttemptStatus(3, 8, 30, 0, 0.0, None)
    for _ in range(3):
        counter.begin()
    device.time_ms += 500
    assert counter.status() == AttemptStatus(3, 8, 30, 3, 29.5, Reason.WAIT)
    device.time_ms += 29_500
    assert counter.status() == AttemptStatus(3, 8, 30, 3, 0.0, None)
    device.files = SimulatedFileSystem()
    assert device.process().status() == AttemptStatus(3, 8, 30, None, 0.0, Reason.COUNTER)


def test_a_success_whose_counter_was_removed_meanwhile_is_an_error() -> None:
    device = Machine()
    counter = device.process()
    start(counter)
    number = counter.begin()
    assert isinstance(number, int)
    device.files.unlink(counter_path(PATH))
    with pytest.raises(
        GalleryError,
        match=r"^the attempt counter gallery/home\.gallery\.attempts was changed during an attempt$",
    ) as caught:
        counter.succeed(number)
    assert caught.value.hint == "reset it with edge-sdk gallery reset-attempts"
    assert counter_path(PATH) not in device.files.state()


def test_a_counter_is_written_once_and_a_missing_one_is_not_replaced() -> None:
    """Flash wears out, so there is no needless write; and a rotation must not end a lockout."""
    device = Machine()
    start(device.process())
    assert device.files.steps.count("create") == 1
    later = AttemptCounter(device.files, PATH, LIMIT, replace(IDENTITY, key=b"n" * 32), now=device.now)
    for strange in (bytes(STATE_BYTES), b"", bytes(2 * STATE_BYTES)):
        device.files = SimulatedFileSystem.holding({counter_path(PATH): strange})
        with later.replacing(device.process(), keep=True):
            pass
        assert device.files.state() == {counter_path(PATH): strange}


NEW_EPOCHS: dict[str, Callable[[Gallery], object]] = {
    "rotate-key": lambda gallery: gallery.keys.rotate(OTHER),
    "erase": lambda gallery: gallery.erase("ann"),
    "remove-key": lambda gallery: gallery.keys.remove(1),
}


@pytest.mark.parametrize("change", NEW_EPOCHS)
def test_a_new_key_epoch_keeps_the_failed_attempts_and_the_wait(change: str) -> None:
    device = Machine()
    gallery = door(device)
    if change == "remove-key":
        gallery.keys.add(OTHER)
    for _ in range(LIMIT.free):
        answer(gallery)
    before = gallery.attempts.status()
    NEW_EPOCHS[change](gallery)
    assert gallery.status().key_epoch == 2
    assert gallery.attempts.status() == before
    assert len(device.files.state()[counter_path(PATH)]) == STATE_BYTES
    assert answer(gallery) is Reason.WAIT
    device.time_ms += 1000 * LIMIT.wait_s
    assert answer(gallery) is Decision.REJECTED
    assert gallery.attempts.status().failures == LIMIT.free + 1


def test_a_rotation_does_not_end_a_lockout() -> None:
    device = Machine()
    gallery = door(device)
    device.files.unlink(counter_path(PATH))
    gallery.keys.rotate(OTHER)
    assert answer(gallery, ANN) is Reason.COUNTER
    gallery.attempts.reset()
    assert answer(gallery, ANN) is Decision.ACCEPTED


def test_a_counter_written_with_the_old_root_secret_is_refused() -> None:
    """The case `after_rotation`: someone opened the gallery before the rotation and writes a counter at 0 afterwards."""
    device = Machine()
    gallery = door(device)
    content, header = gallery._session.content, gallery._session.header
    key = sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)
    gallery.keys.rotate(OTHER)
    record = gallery._session.content.record(ATTEMPT_POLICY)
    assert record is not None
    identity = CounterIdentity(key, header.gallery_id, parse_limit(record)[1])
    forged = pack_state(AttemptState(writes=1_000_000), identity)
    kept = device.files.state()[counter_path(PATH)]
    for data in (forged, forged + forged):
        write_atomically(device.files, counter_path(PATH), data)
        assert answer(gallery, ANN) is Reason.COUNTER
    # Beside the valid state the forged one changes nothing.
    write_atomically(device.files, counter_path(PATH), forged + kept)
    assert answer(gallery) is Decision.REJECTED
    assert gallery.attempts.status().failures == 1


def test_a_rotation_with_a_power_cut_keeps_the_failed_attempts() -> None:
    device = Machine()
    gallery = door(device)
    answer(gallery)
    start_state, epochs = device.files.state(), set()
    gallery.keys.rotate(OTHER)
    steps = len(device.files.steps)
    for cut in range(steps):
        files = SimulatedFileSystem.holding(start_state)
        files.cut_before = cut
        device.files = files
        with contextlib.suppress(PowerCut):
            again(device).keys.rotate(OTHER)
        for state in files.states_after_cut():
            device.files = SimulatedFileSystem.holding(state)
            try:
                opened = again(device)
            except SealError:
                opened = again(device, OTHER)
            status = opened.attempts.status()
            assert (status.failures, status.refusal) == (1, None)
            epochs.add(opened.status().key_epoch)
            assert answer(opened, ANN) is Decision.ACCEPTED
    assert epochs == {1, 2}


def test_no_attempt_is_made_between_the_states_of_a_rotation(tmp_path: Path) -> None:
    """An attempt that another process begins during the commit waits, and is counted in the new state."""
    path, later = tmp_path / "home.gallery", []

    class Checked(PosixFileSystem):
        """A file system that makes an attempt of another process right before the gallery is replaced."""

        def rename(self, source: Path, target: Path) -> None:
            if target == path and later:
                later[0].start()
                handle = os.open(lock_path(counter_path(path)), os.O_RDWR)
                with pytest.raises(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.close(handle)
            super().rename(source, target)

    gallery = Gallery.create(path, key=KEY, model_id=bytes(32), dimension=8, filesystem=Checked())
    with gallery.transaction() as t:
        t.enrol("ann", ANN)
        t.limit_attempts(AttemptPolicy(free=3, most=8, wait_s=0))
    other = Gallery.open(path, key=KEY)
    other.identify(STRANGER, threshold=0.5)
    other.refresh()
    later.append(threading.Thread(target=other.identify, args=(STRANGER,), kwargs={"threshold": 0.5}))
    gallery.erase("ann")
    later[0].join()
    assert gallery.attempts.status().failures == 2


def test_a_second_state_that_a_crash_left_is_not_counted_on_after_the_commit() -> None:
    """An erasure ended between its commit and the removal of the old state, while another process began an attempt."""
    device = Machine()
    gallery = door(device)
    administrator = again(device)
    old = device.files.state()[counter_path(PATH)]
    administrator.erase("ann")
    new = device.files.state()[counter_path(PATH)]
    write_atomically(device.files, counter_path(PATH), new + old)
    assert gallery._session.begin_attempt() is Reason.COUNTER
    gallery.refresh()
    assert gallery._session.begin_attempt() == 1
    assert again(device).attempts.status().failures == 1


def test_an_attempt_begun_before_the_limit_clears_no_failure_after_it() -> None:
    """The attempt begins before the limit and ends after another attempt failed under the limit."""
    device = Machine()
    gallery = door(device, None)
    number = gallery._session.begin_attempt()
    assert isinstance(number, int)
    with again(device).transaction() as t:
        t.limit_attempts(LIMIT)
    assert answer(again(device)) is Decision.REJECTED
    gallery.refresh()
    gallery._session.end_attempt(number, accepted=True)
    assert gallery.attempts.status().failures == 1


def test_an_attempt_during_which_the_counter_is_reset_clears_nothing_in_the_new_one() -> None:
    device = Machine()
    gallery = door(device)
    for _ in range(2):
        assert answer(gallery) is Decision.REJECTED
    attempt = gallery.begin_attempt(threshold=0.5)
    again(device).attempts.reset()
    assert answer(again(device)) is Decision.REJECTED
    assert attempt.finish(ANN).accepted
    assert gallery.attempts.status().failures == 1


def test_an_attempt_has_one_answer_and_one_early_chance() -> None:
    gallery = door(Machine())
    attempt = gallery.begin_attempt(threshold=0.5)
    assert attempt.accept_if_agreed([ANN, STRANGER]) is None
    assert attempt.accept_if_agreed([ANN, ANN]) is None, "the early chance is used up"
    assert attempt.is_open and not attempt.finish(STRANGER).accepted
    for again_asked in (
        lambda: attempt.finish(ANN),
        lambda: attempt.accept_if_agreed([ANN, ANN]),
        attempt.reject,
    ):
        with pytest.raises(GalleryError, match="one that has ended"):
            again_asked()
    assert gallery.attempts.status().failures == 1


def test_what_changes_during_an_attempt_counts_at_its_end() -> None:
    """A subject is revoked, removed, or no longer valid when its attempt ends."""
    device = Machine()
    gallery = door(device)
    gallery.audit.log_answers(True)
    attempt = gallery.begin_attempt("ann", threshold=0.5)
    again(device).revoke("ann")
    assert not attempt.finish(ANN).accepted
    claimed = gallery.begin_attempt("ann", threshold=0.5)
    again(device).remove("ann")
    with pytest.raises(SubjectUnknownError):
        claimed.finish(ANN)
    assert claimed.reject().decision is Decision.REJECTED
    assert gallery.attempts.status().failures == 2


def test_the_real_clock_counts_milliseconds_since_the_machine_started() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    moment = moment_of_boot()
    after_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert int(1000 * before_s) <= moment.since_boot_ms <= int(1000 * after_s)
    assert len(moment.boot) == ID_BYTES
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert moment.boot.hex() == boot_id.replace("-", "")


@pytest.mark.parametrize("boot_id", [None, "", "\n", "0" * 31, "0" * 34, "no boot id at all"])
def test_without_a_boot_id_each_process_counts_as_a_boot(tmp_path: Path, boot_id: str | None) -> None:
    """Waits start again with each process: too long, never too short."""
    place = tmp_path / "boot_id"
    if boot_id is not None:
        place.write_text(boot_id)
    began_s = time.monotonic()
    first = moment_of_boot(place)
    time.sleep(0.02)
    second = moment_of_boot(place)
    passed_ms = 1000 * (time.monotonic() - began_s)
    assert first.boot == second.boot != moment_of_boot().boot
    assert (len(first.boot), any(first.boot)) == (ID_BYTES, True)
    assert 15 <= second.since_boot_ms - first.since_boot_ms <= passed_ms + 1
    assert 0 <= first.since_boot_ms < 1000 * time.monotonic()


def test_without_a_boot_id_another_process_is_another_boot_that_has_just_begun(tmp_path: Path) -> None:
    of_another = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from edge_sdk.gallery.attempt_counter import moment_of_boot\n"
            "moment = moment_of_boot(pathlib.Path(sys.argv[1])); print(moment.boot.hex(), moment.since_boot_ms)",
            tmp_path / "boot_id",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert of_another[0] != moment_of_boot(tmp_path / "boot_id").boot.hex()
    assert int(of_another[1]) < 20_000


def test_a_gallerys_counter_is_under_the_key_of_the_format() -> None:
    """Another key in a later version would lock out every gallery with a limit."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    device = Machine()
    gallery = door(device)
    answer(gallery)
    header, content = gallery._session.header, gallery._session.content
    key = HKDF(SHA256(), 32, header.gallery_id, b"edge-sdk/gallery/attempts@v1").derive(content.root_secret)
    record = content.record(ATTEMPT_POLICY)
    assert record is not None
    data = device.files.state()[Path("gallery/home.gallery.attempts")]
    state = parse_state(data, CounterIdentity(key, header.gallery_id, record[-16:]))
    assert state is not None
    assert (state.failures, state.begun, state.writes) == (1, 1, 2)
