"""The time by which a gallery judges validity: it never goes back. Pure.

A commit seals its time, and a process remembers the latest time that it has read. A clock that shows an earlier time is
wrong: a device without a battery-backed clock started with an old time, or somebody set the clock back. The true time
is then later than the known one, but nobody knows by how much, so a subject whose validity ends is not accepted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

#: A clock that is behind by no more than this is taken as correct: corrections over the network and the clocks of two
#: devices differ by some seconds.
TOLERANCE_S = 60
#: A commit whose clock is ahead of the gallery by more than this is recorded in the audit log as a jump of the clock.
JUMP_S = 366 * 86_400


@dataclass(frozen=True)
class KnownTime:
    """A time that has certainly passed.

    Attributes:
        now_s: The clock's time, or the latest known time if that is later, Unix seconds.
        behind_s: Seconds by which the clock is behind the latest known time; 0 if that is not more than a minute.
    """

    now_s: float
    behind_s: float = 0.0

    @classmethod
    def of(cls, clock_s: float, latest_s: float) -> KnownTime:
        """Compare a clock's time with the latest known time, both Unix seconds."""
        behind_s = latest_s - clock_s
        return cls(max(clock_s, latest_s), behind_s if behind_s > TOLERANCE_S else 0.0)


def format_duration(seconds: float) -> str:
    """Format a duration in its largest fitting unit, such as `3 days`."""
    for unit, size_s in (("year", 365.25 * 86_400), ("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}s"
    return f"{seconds:.0f} s"


def format_time(at_s: int) -> str:
    """Format Unix seconds in UTC; seconds beyond the calendar's range stay a number."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    except (OverflowError, ValueError, OSError):
        return f"{at_s} s"
