"""The time of an open gallery: the clock's time, but never before a time that the gallery or this process knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from edge_sdk.gallery.rules.known_time import JUMP_S, KnownTime, format_duration
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.notices import GalleryWarning


class SessionClock:
    """Remembers the latest time that a session has read.

    Args:
        clock: Returns Unix seconds, see `sealed_file.checked_clock`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest_s, self._sealed_s = 0.0, 0
        self._warned = False

    def time(self, sealed_s: int, given_s: float | None = None) -> KnownTime:
        """Return the time by which validity is judged.

        Args:
            sealed_s: Time of the gallery's last commit, Unix seconds.
            given_s: A time that the caller gives in place of the clock's, Unix seconds; it is not remembered.

        Raises:
            GalleryError: the clock gives a time outside 1970 to 9999.
        """
        latest_s = max(self._latest_s, sealed_s)
        if given_s is not None:
            return KnownTime.of(given_s, latest_s)
        time = KnownTime.of(self._clock(), latest_s)
        self._latest_s = time.now_s
        return time

    def follow(self, sealed_s: int) -> None:
        """Forget the latest time if the time of the last commit went back: an administrator has reset it."""
        if sealed_s < self._sealed_s:
            self._latest_s = 0.0
        self._sealed_s = sealed_s

    def warn(self, time: KnownTime, *, matters: bool) -> None:
        """Issue a GalleryWarning, once, if the clock is behind and that matters to a subject's validity."""
        if not time.behind_s:
            self._warned = False
        elif not self._warned and matters:
            self._warned = True
            warnings.warn(
                f"the clock is {format_duration(time.behind_s)} behind the gallery: subjects whose validity ends are not"
                " accepted; set the clock, or, if the gallery's time is wrong, use edge-sdk gallery reset-clock",
                GalleryWarning,
                stacklevel=5,
            )

    def commit_time(self, sealed_s: int, entries: list[AuditEvent], *, reset: bool) -> int:
        """Return the time of a commit; add an entry for the audit log if the clock is behind, or far ahead.

        Args:
            sealed_s: Time of the commit before.
            entries: Entries of the commit.
            reset: Take the clock's time even if it is before that of the commit before.
        """
        if reset:
            self._latest_s = self._clock()
            return int(self._latest_s)
        time = self.time(sealed_s)
        if time.behind_s:
            entries.append(AuditEvent("clock-behind", detail=f"seconds={int(time.behind_s)}"))
        elif time.now_s - sealed_s > JUMP_S:
            entries.append(AuditEvent("clock-jump", detail=f"from={sealed_s},to={int(time.now_s)}"))
        return int(time.now_s)
