"""Bound the rate of entries for answers that are not accepted, so that strangers cannot wear out the medium; pure.

The first answers become entries at once. After that there is one entry per minute for each kind of answer, with the
number of answers since the last one. An accepted answer is always an entry of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.store.audit_log import AuditEvent

ENTRIES_AT_ONCE = 10
INTERVAL_S = 60


@dataclass(frozen=True)
class _Waiting:
    """Answers of one kind that are not in the log yet.

    Attributes:
        event: The event of one of them; without a subject if they concern several.
        count: Their number.
        since_s: Time of the first one, Unix seconds.
    """

    event: AuditEvent
    count: int
    since_s: int

    def as_event(self) -> AuditEvent:
        """Return one event for all of them."""
        if self.count == 1:
            return self.event
        return AuditEvent(self.event.event, self.event.subject, f"n={self.count},since={self.since_s}")


class AnswerRate:
    """Collects answers and says which entries are due.

    Intervals are measured in time since boot, so setting the clock changes nothing.

    Args:
        uptime: Returns the time since boot.
    """

    def __init__(self, uptime: Callable[[], Moment]) -> None:
        self._uptime = uptime
        self._left = ENTRIES_AT_ONCE
        self._counted_from = uptime()
        self._waiting: dict[str, _Waiting] = {}

    def add(self, event: AuditEvent, now_s: int) -> None:
        """Add an answer that is not accepted.

        Args:
            event: The answer.
            now_s: Its time, Unix seconds.
        """
        waiting = self._waiting.get(event.event)
        if waiting is None:
            waiting = _Waiting(event, 1, now_s)
        else:
            subject = event.subject if event.subject == waiting.event.subject else ""
            waiting = _Waiting(AuditEvent(event.event, subject), waiting.count + 1, waiting.since_s)
        self._waiting[event.event] = waiting

    def due(self) -> list[AuditEvent]:
        """Return the entries to write now; empty if the answers have to wait."""
        self._refill()
        return self.waiting() if self._left else []

    def spend(self) -> None:
        """Count the entries of `due` against the rate, once they are in the log."""
        self._left -= 1

    def waiting(self) -> list[AuditEvent]:
        """Return the entries for all answers that are not in the log yet."""
        return [waiting.as_event() for waiting in self._waiting.values()]

    def clear(self) -> None:
        """Forget the waiting answers, because their entries are in the log."""
        self._waiting.clear()

    def _refill(self) -> None:
        now = self._uptime()
        passed_ms = now.since_boot_ms - self._counted_from.since_boot_ms
        if now.boot != self._counted_from.boot or passed_ms < 0:
            self._counted_from = now
        elif passed_ms >= 1000 * INTERVAL_S:
            self._left = min(ENTRIES_AT_ONCE, self._left + passed_ms // (1000 * INTERVAL_S))
            self._counted_from = now
