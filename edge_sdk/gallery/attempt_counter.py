"""The limit on failed attempts: its policy, its counter, the counter's file and clock.

The defaults follow NIST SP 800-63B for biometrics. After 5 failed attempts in a row, 30 s must pass before each further
attempt. After 50, every attempt is refused until an administrator resets the counter. With presentation attack
detection the standard allows 10 and 100 (`AttemptPolicy.with_pad`).

An attempt is counted as failed before it is made. Waits are measured in time since boot, not by the wall clock, and
after a reboot only the time since the reboot counts. So setting the clock changes nothing, and a power cut makes a wait
longer, never shorter.

The counter is a small file next to the gallery, authenticated with a key derived from the gallery's root secret. If the
file is missing, altered, or belongs to another gallery, limit or key epoch, every attempt is refused until an
administrator resets the counter. A new limit has a new counter. A new key epoch has a new key, under which the counter
keeps its numbers. The new state is added to the file before the gallery is committed, and the old state is removed after
that. So the file has the right counter after a power cut at any moment. No attempt is made in between.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import ATTEMPT_POLICY, Content
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.results import AttemptStatus, Reason
from edge_sdk.gallery.store.files import FileSystem, locked, write_atomically

LABEL = b"edge-sdk/gallery/attempts@v1"
MAGIC = bytes.fromhex("894647540d0a1a0a")
MAX_FAILURES = 1_000_000
MAX_WAIT_S = 86_400
MAX_COUNT = 1 << 63  # counting never gets this far; a larger stored number could overflow its field

_POLICY = struct.Struct(f"<IIII{ID_BYTES}s")
_STATE = struct.Struct(f"<8s{ID_BYTES}s{ID_BYTES}sQQII{ID_BYTES}sQ")
_CODE_BYTES = 32
STATE_BYTES = _STATE.size + _CODE_BYTES
MAX_FILE_BYTES = 2 * STATE_BYTES

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROCESS_ID = os.urandom(ID_BYTES)
_PROCESS_START_S = time.monotonic()


@dataclass(frozen=True)
class AttemptPolicy:
    """A limit on failed attempts in a row.

    Args:
        free: Failed attempts in a row after which each further attempt has to wait, 1..1,000,000.
        most: Failed attempts in a row after which an administrator must reset the counter, `free`..1,000,000.
        wait_s: Length of the wait, seconds, 0..86,400.

    Raises:
        InputError: a value is outside its range or not an integer.
    """

    free: int = 5
    most: int = 50
    wait_s: int = 30

    def __post_init__(self) -> None:
        if not all(type(value) is int for value in (self.free, self.most, self.wait_s)):
            raise InputError(
                f"expected whole numbers of attempts and seconds, found {self.free}, {self.most} and {self.wait_s}"
            )
        if not 1 <= self.free <= self.most <= MAX_FAILURES or not 0 <= self.wait_s <= MAX_WAIT_S:
            raise InputError(
                f"expected 1 <= free <= most <= {MAX_FAILURES} failed attempts and a wait of 0..{MAX_WAIT_S} s, "
                f"found {self.free}, {self.most} and {self.wait_s} s"
            )

    @classmethod
    def with_pad(cls) -> AttemptPolicy:
        """Return the limit that NIST SP 800-63B allows with presentation attack detection."""
        return cls(free=10, most=100)


@dataclass(frozen=True)
class Moment:
    """A time measured from a boot of the machine; setting the clock does not change it.

    Attributes:
        boot: Id of the boot, 16 bytes.
        since_boot_ms: Time since that boot, sleep included.
    """

    boot: bytes
    since_boot_ms: int


@dataclass(frozen=True)
class AttemptState:
    """The counter's state between attempts.

    Attributes:
        failures: Failed attempts in a row, attempts in progress included.
        begun: Attempts begun since the counter was reset.
        writes: Number of times the state was written; reveals an older state that was put back.
        last: Start of the last attempt.
    """

    failures: int = 0
    begun: int = 0
    writes: int = 0
    last: Moment = Moment(bytes(ID_BYTES), 0)


@dataclass(frozen=True, repr=False)
class CounterIdentity:
    """The gallery and the limit that a counter belongs to.

    Attributes:
        key: Key that authenticates the counter, 32 bytes, derived from the root secret of the key epoch and `LABEL`.
        gallery_id: Id of the gallery, 16 bytes.
        counter_id: Random id, 16 bytes, stored with the limit in the gallery; new for every limit and every reset.
    """

    key: bytes
    gallery_id: bytes
    counter_id: bytes


def refusal(policy: AttemptPolicy, state: AttemptState, now: Moment) -> Reason | None:
    """Return the reason to refuse an attempt now; None if it may be made."""
    if state.failures >= policy.most:
        return Reason.DISABLED
    return Reason.WAIT if wait_ms(policy, state, now) else None


def wait_ms(policy: AttemptPolicy, state: AttemptState, now: Moment) -> int:
    """Return the time until the next attempt is allowed, milliseconds; 0 if it is allowed now."""
    if state.failures < policy.free:
        return 0
    same_boot = now.boot == state.last.boot
    passed = now.since_boot_ms - (state.last.since_boot_ms if same_boot else 0)
    return max(0, 1000 * policy.wait_s - passed)


def begin(state: AttemptState, now: Moment) -> AttemptState:
    """Count an attempt as failed, before it is made."""
    failures = min(state.failures + 1, MAX_FAILURES)
    return AttemptState(failures, state.begun + 1, state.writes + 1, now)


def succeed(state: AttemptState, number: int) -> AttemptState:
    """Clear the failed attempts up to an accepted one; attempts begun after it still count.

    Args:
        state: The current state; other processes may have begun attempts since.
        number: Number of the accepted attempt: the value of `begun` after it was counted.
    """
    return replace(state, failures=min(state.failures, state.begun - number), writes=state.writes + 1)


def pack_limit(policy: AttemptPolicy, counter_id: bytes) -> bytes:
    """Pack the limit and its counter's id as a policy record."""
    return _POLICY.pack(policy.free, policy.most, policy.wait_s, 0, counter_id)


def parse_limit(value: bytes) -> tuple[AttemptPolicy, bytes]:
    """Parse the policy record of a limit into the limit and its counter's id.

    Raises:
        GalleryFormatError: wrong length, or a value out of range.
    """
    if len(value) != _POLICY.size:
        raise GalleryFormatError(f"the attempt policy is {len(value)} bytes, expected {_POLICY.size}")
    free, most, wait_s, reserved, counter_id = _POLICY.unpack(value)
    try:
        policy = AttemptPolicy(free=free, most=most, wait_s=wait_s)
    except InputError as error:
        raise GalleryFormatError(f"the attempt policy is malformed: {error}") from error
    if reserved:
        raise GalleryFormatError(f"reserved field of the attempt policy is {reserved}, expected 0")
    return policy, counter_id


def pack_state(state: AttemptState, identity: CounterIdentity) -> bytes:
    """Pack a state for the counter file: 88 bytes in clear and their HMAC-SHA-256."""
    text = _STATE.pack(
        MAGIC,
        identity.gallery_id,
        identity.counter_id,
        state.writes,
        state.begun,
        state.failures,
        0,
        state.last.boot,
        state.last.since_boot_ms,
    )
    return text + hmac.digest(identity.key, text, "sha256")


def split_states(data: bytes) -> tuple[bytes, ...]:
    """Split a counter file into its one state, or two while a limit is being replaced; empty if the length is wrong."""
    if len(data) not in (STATE_BYTES, MAX_FILE_BYTES):
        return ()
    return tuple(data[start : start + STATE_BYTES] for start in range(0, len(data), STATE_BYTES))


def parse_state(data: bytes, identity: CounterIdentity) -> AttemptState | None:
    """Parse one state; None if it is altered or does not belong to this gallery and limit."""
    if len(data) != STATE_BYTES:
        return None
    text, code = data[: _STATE.size], data[_STATE.size :]
    if not hmac.compare_digest(code, hmac.digest(identity.key, text, "sha256")):
        return None
    magic, gallery_id, counter_id, writes, begun, failures, _, boot, since_boot_ms = _STATE.unpack(text)
    if (magic, gallery_id, counter_id) != (MAGIC, identity.gallery_id, identity.counter_id):
        return None
    if max(writes, begun) >= MAX_COUNT:
        return None
    return AttemptState(failures, begun, writes, Moment(boot, since_boot_ms))


def failures_of(data: bytes, gallery_id: bytes) -> int:
    """Return the failed attempts in one state of a gallery's counter, without a check of its code; 0 if it is none."""
    if len(data) != STATE_BYTES:
        return 0
    magic, of_gallery, _, _, _, failures, *_ = _STATE.unpack(data[: _STATE.size])
    return int(min(failures, MAX_FAILURES)) if (magic, of_gallery) == (MAGIC, gallery_id) else 0


def counter_path(gallery: Path) -> Path:
    """Return the path of a gallery's counter file."""
    return gallery.with_name(gallery.name + ".attempts")


class AttemptCounter:
    """Counts the attempts of all processes that use a gallery.

    Args:
        files: The file system of the gallery.
        gallery: The gallery's path.
        policy: The limit.
        identity: The gallery and the limit that it counts for.
        now: Returns the time since boot.
    """

    def __init__(
        self,
        files: FileSystem,
        gallery: Path,
        policy: AttemptPolicy,
        identity: CounterIdentity,
        *,
        now: Callable[[], Moment],
    ) -> None:
        self.policy = policy
        self.identity = identity
        self._files = files
        self._path = counter_path(gallery)
        self._now = now
        self._writes_seen = 0

    @classmethod
    def of(
        cls, files: FileSystem, gallery: Path, gallery_id: bytes, content: Content, now: Callable[[], Moment]
    ) -> AttemptCounter | None:
        """Return the counter of the limit in a gallery's content; None if attempts are not limited.

        Raises:
            GalleryFormatError: the limit's record is malformed.
        """
        record = content.record(ATTEMPT_POLICY)
        if record is None:
            return None
        policy, counter_id = parse_limit(record)
        key = sealing.hkdf(content.root_secret, salt=gallery_id, info=LABEL)
        return cls(files, gallery, policy, CounterIdentity(key, gallery_id, counter_id), now=now)

    def begin(self, *, is_current: Callable[[], bool] = lambda: True) -> int | Reason:
        """Count an attempt durably before it is made.

        Args:
            is_current: Tells if the gallery that this counter belongs to is still the one on disk. It is asked only if
                the file holds a second state, which a commit that ended between its last steps leaves.

        Returns:
            The attempt's number, for `succeed`; or the reason to refuse the attempt.

        Raises:
            GalleryError: the counter cannot be written; the attempt must not be made.
        """
        with locked(self._files, self._path):
            (state, other), now = self._read(), self._now()
            if state is None or (other and not is_current()):
                return Reason.COUNTER
            reason = refusal(self.policy, state, now)
            if reason is not None:
                return reason
            state = begin(state, now)
            self._write(state, other)
            return state.begun

    def succeed(self, number: int) -> None:
        """Clear the failed attempts up to an accepted one.

        Raises:
            GalleryError: the counter cannot be written, or was removed since `begin`.
        """
        with locked(self._files, self._path):
            state, other = self._read()
            if state is None:
                raise GalleryError(
                    f"the attempt counter {self._path} was changed during an attempt",
                    hint="reset it with edge-sdk gallery reset-attempts",
                )
            self._write(succeed(state, number), other)

    @contextlib.contextmanager
    def replacing(self, current: AttemptCounter | None, *, keep: bool) -> Iterator[None]:
        """Write this counter's first state before the block, which commits the gallery, and remove the current one after it.

        Attempts wait until the block ends, so none is counted only in the state that is removed.

        Args:
            current: The counter in use; None if attempts are not limited.
            keep: True to begin with the current counter's numbers, False to begin at 0. If the current counter is
                missing or altered, no state is kept, and every attempt stays refused.

        Raises:
            GalleryError: the counter cannot be written.
        """
        with locked(self._files, self._path):
            state = None if current is None else current._read()[0]
            if not keep:
                self._write(AttemptState(writes=1), _packed(state, current))
            elif state is not None:
                self._write(replace(state, writes=state.writes + 1), _packed(state, current))
            yield
            # After the commit the earlier state is never read again, so it may stay.
            with contextlib.suppress(GalleryError):
                self._settle()

    @contextlib.contextmanager
    def restoring(self, backup: bytes, current: AttemptCounter | None) -> Iterator[None]:
        """Write this counter's first state before the block, which commits a restored gallery.

        It has the higher numbers of the state in the backup and of the current counter, so a restore clears no failed
        attempts. Failed attempts also count if their code cannot be checked, because the key of the backup does not open
        the gallery that is replaced. If both states are missing or altered, none is written, and every attempt stays refused.

        Args:
            backup: Counter file in the backup; may be empty.
            current: Counter of the gallery that is replaced; None if there is none, or if it does not limit attempts.

        Raises:
            GalleryError: the counter cannot be written.
        """
        with locked(self._files, self._path):
            saved = [parse_state(part, self.identity) for part in split_states(backup)]
            replaced = None if current is None else current._read()[0]
            own, other = self._read()
            states = [state for state in (replaced, own, *saved) if state is not None]
            # A counter with another identity may be from before a reset: it counts only if the current one is not known.
            unchecked = failures_of(other, self.identity.gallery_id) if current is None else 0
            if states:
                last = max(states, key=lambda state: state.writes).last
                state = AttemptState(
                    max(unchecked, *(state.failures for state in states)),
                    max(state.begun for state in states),
                    max(state.writes for state in states) + 1,
                    last if replaced is None else replaced.last,
                )
                kept = current is not None and current.identity != self.identity
                self._write(state, _packed(replaced, current) if kept else b"")
            yield
            with contextlib.suppress(GalleryError):
                self._settle()

    def status(self) -> AttemptStatus:
        """Return the number of failed attempts and the wait before the next one."""
        policy, (state, _), now = self.policy, self._read(), self._now()
        limits = policy.free, policy.most, policy.wait_s
        if state is None:
            return AttemptStatus(*limits, None, 0.0, Reason.COUNTER)
        wait_s = wait_ms(policy, state, now) / 1000
        return AttemptStatus(*limits, state.failures, wait_s, refusal(policy, state, now))

    def _read(self) -> tuple[AttemptState | None, bytes]:
        """Return this counter's state (None if missing or not valid) and the bytes of another counter in the file."""
        try:
            data = self._files.read(self._path, MAX_FILE_BYTES + 1)
        except OSError:
            return None, b""
        parts = {part: parse_state(part, self.identity) for part in split_states(data)}
        other = next((part for part, state in parts.items() if state is None), b"")
        states = [state for state in parts.values() if state is not None]
        if len(states) != 1 or states[0].writes < self._writes_seen:
            return None, other
        self._writes_seen = states[0].writes
        return states[0], other

    def _settle(self) -> None:
        state, other = self._read()
        if state is not None and other:
            self._write(state, b"")

    def _write(self, state: AttemptState, other: bytes) -> None:
        write_atomically(self._files, self._path, pack_state(state, self.identity) + other)
        self._writes_seen = state.writes


def _packed(state: AttemptState | None, counter: AttemptCounter | None) -> bytes:
    return b"" if state is None or counter is None else pack_state(state, counter.identity)


def moment_of_boot(boot_id: Path = _BOOT_ID) -> Moment:
    """Return the time since boot; if the system has no boot id, each process counts as a separate boot.

    Args:
        boot_id: The file that contains the id of the current boot, a UUID.
    """
    try:
        boot = uuid.UUID(boot_id.read_text().strip()).bytes
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return Moment(_PROCESS_ID, int(1000 * (time.monotonic() - _PROCESS_START_S)))
    return Moment(boot, int(1000 * since_s))
