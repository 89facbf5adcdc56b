"""How many tries there are: the limit, the state between tries, and the state's bytes; pure.

The defaults are NIST SP 800-63B's for a biometric: 5 failures in a row, then 30 s before each next try, disabled
after 50 until an administrator acts; 10 and 100 with presentation attack detection.

A try is counted before it is made, and no wall clock is asked: time is the boot's id and the time since that boot.
After another boot at least the time since that boot has gone by, and no more is believed. So a clock that is
set back or far forward changes nothing, and a power cut makes a wait longer, never shorter.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass, replace

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.results import Reason

LABEL = b"edge-sdk/gallery/attempts@v1"
MAGIC = bytes.fromhex("894647540d0a1a0a")
MAX_FAILURES = 1_000_000
MAX_WAIT_S = 86_400
MAX_COUNT = 1 << 63  # no counter gets there; one that says so would not fit when it is counted on

_POLICY = struct.Struct(f"<IIII{ID_BYTES}s")
_STATE = struct.Struct(f"<8s{ID_BYTES}s{ID_BYTES}sQQII{ID_BYTES}sQ")
_CODE_BYTES = 32
STATE_BYTES = _STATE.size + _CODE_BYTES
MAX_FILE_BYTES = 2 * STATE_BYTES


@dataclass(frozen=True)
class AttemptPolicy:
    """How many failures in a row there may be.

    Args:
        free: So many failures, then every next try has to wait, 1..1,000,000.
        most: So many failures, then no try before an administrator acts, `free`..1,000,000.
        wait_s: How long, seconds, 0..86,400.

    Raises:
        InputError: a value is outside its range, or not whole.
    """

    free: int = 5
    most: int = 50
    wait_s: int = 30

    def __post_init__(self) -> None:
        if not all(isinstance(value, int) for value in (self.free, self.most, self.wait_s)):
            raise InputError(
                f"expected whole failures and seconds, found {self.free}, {self.most} and {self.wait_s}"
            )
        if not 1 <= self.free <= self.most <= MAX_FAILURES or not 0 <= self.wait_s <= MAX_WAIT_S:
            raise InputError(
                f"expected 1 <= free <= most <= {MAX_FAILURES} failures and a wait of 0..{MAX_WAIT_S} s, "
                f"found {self.free}, {self.most} and {self.wait_s} s"
            )

    @classmethod
    def with_pad(cls) -> AttemptPolicy:
        """What NIST SP 800-63B allows where presentation attacks are detected."""
        return cls(free=10, most=100)


@dataclass(frozen=True)
class Moment:
    """A time that nobody can set.

    Attributes:
        boot: 16 bytes, which run of the machine.
        since_boot_ms: Time since it began, sleep included.
    """

    boot: bytes
    since_boot_ms: int


@dataclass(frozen=True)
class AttemptState:
    """What is remembered between tries.

    Attributes:
        failures: Tries in a row that were not accepted, those under way among them.
        begun: Tries ever begun.
        writes: How often this state was written, to notice an old one put back.
        last: When the last try began.
    """

    failures: int = 0
    begun: int = 0
    writes: int = 0
    last: Moment = Moment(bytes(ID_BYTES), 0)


def refusal(policy: AttemptPolicy, state: AttemptState, now: Moment) -> Reason | None:
    """Why no try may be made now; None where it may."""
    if state.failures >= policy.most:
        return Reason.DISABLED
    return Reason.WAIT if wait_ms(policy, state, now) else None


def wait_ms(policy: AttemptPolicy, state: AttemptState, now: Moment) -> int:
    """How long before the next try, 0 where there is no wait."""
    if state.failures < policy.free:
        return 0
    same_boot = now.boot == state.last.boot
    passed = now.since_boot_ms - (state.last.since_boot_ms if same_boot else 0)
    return max(0, 1000 * policy.wait_s - passed)


def begin(state: AttemptState, now: Moment) -> AttemptState:
    """Count a try as failed before it is made."""
    return AttemptState(
        failures=min(state.failures + 1, MAX_FAILURES),
        begun=state.begun + 1,
        writes=state.writes + 1,
        last=now,
    )


def succeed(state: AttemptState, number: int) -> AttemptState:
    """Forget failures up to a try that was accepted; tries begun after it keep counting.

    Args:
        state: As it is now; other processes may have begun tries meanwhile.
        number: `begun` as it was when the accepted try had begun.
    """
    return replace(state, failures=min(state.failures, state.begun - number), writes=state.writes + 1)


def pack_limit(policy: AttemptPolicy, count_id: bytes) -> bytes:
    """The limit as the bytes of its policy record.

    Args:
        policy: The limit.
        count_id: 16 random bytes, new whenever the count begins anew; a state of another count is not believed.
    """
    return _POLICY.pack(policy.free, policy.most, policy.wait_s, 0, count_id)


def parse_limit(value: bytes) -> tuple[AttemptPolicy, bytes]:
    """Read the limit's record: the limit and the count's id.

    Raises:
        GalleryFormatError: another length, or a value that no limit may have.
    """
    if len(value) != _POLICY.size:
        raise GalleryFormatError(f"the attempt policy is {len(value)} bytes, expected {_POLICY.size}")
    free, most, wait_s, reserved, count_id = _POLICY.unpack(value)
    try:
        policy = AttemptPolicy(free=free, most=most, wait_s=wait_s)
    except InputError as error:
        raise GalleryFormatError(f"the attempt policy is malformed: {error}") from error
    if reserved:
        raise GalleryFormatError(f"reserved field of the attempt policy is {reserved}, expected 0")
    return policy, count_id


def pack_state(state: AttemptState, *, key: bytes, gallery_id: bytes, count_id: bytes) -> bytes:
    """A count in the counter file: 88 bytes in clear and their HMAC-SHA-256.

    Args:
        state: What to remember.
        key: 32 bytes, from the gallery's root secret with `LABEL`.
        gallery_id: Whose counter it is.
        count_id: Of the limit's record.
    """
    text = _STATE.pack(
        MAGIC,
        gallery_id,
        count_id,
        state.writes,
        state.begun,
        state.failures,
        0,
        state.last.boot,
        state.last.since_boot_ms,
    )
    return text + hmac.digest(key, text, "sha256")


def split_states(data: bytes) -> tuple[bytes, ...]:
    """A counter file's states; two while one count follows another, none where the file has another length."""
    if len(data) not in (STATE_BYTES, MAX_FILE_BYTES):
        return ()
    return tuple(data[start : start + STATE_BYTES] for start in range(0, len(data), STATE_BYTES))


def parse_state(data: bytes, *, key: bytes, gallery_id: bytes, count_id: bytes) -> AttemptState | None:
    """Read one state; None where it is not the one that belongs to this gallery and count."""
    if len(data) != STATE_BYTES:
        return None
    text, code = data[: _STATE.size], data[_STATE.size :]
    if not hmac.compare_digest(code, hmac.digest(key, text, "sha256")):
        return None
    magic, owner, count, writes, begun, failures, _, boot, since_boot_ms = _STATE.unpack(text)
    if (magic, owner, count) != (MAGIC, gallery_id, count_id) or max(writes, begun) >= MAX_COUNT:
        return None
    return AttemptState(failures, begun, writes, Moment(boot, since_boot_ms))
