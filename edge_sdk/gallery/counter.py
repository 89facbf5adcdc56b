"""The counter of failures: a small file beside the gallery, written before every try.

Fail closed: while the gallery says that tries are counted, a counter that is missing, altered, of another
gallery or of an earlier count locks everybody out until an administrator begins the count anew.

A limit that replaces another has a count of its own. It is begun beside the one in force before the gallery is
committed, so that a power cut leaves a gallery whose count is there, whichever it is.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempts import (
    MAX_FILE_BYTES,
    AttemptPolicy,
    AttemptState,
    Moment,
    begin,
    pack_state,
    parse_state,
    refusal,
    split_states,
    succeed,
    wait_ms,
)
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.results import AttemptStatus, Reason
from edge_sdk.gallery.store.files import FileSystem, locked, write_atomically

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def counter_path(gallery: Path) -> Path:
    """Where a gallery's counter lies."""
    return gallery.with_name(gallery.name + ".attempts")


@dataclass(frozen=True, repr=False)
class _Binding:
    """What a counter belongs to."""

    key: bytes
    gallery_id: bytes
    count_id: bytes


class AttemptCounter:
    """Counts the tries at one gallery, of every process together.

    Args:
        files: Where the counter lies.
        gallery: The gallery's path.
        policy: The limit.
        key: 32 bytes, for the counter's code.
        gallery_id: Whose counter it is.
        count_id: Of the limit's record.
        now: The time.
    """

    def __init__(
        self,
        files: FileSystem,
        gallery: Path,
        policy: AttemptPolicy,
        *,
        key: bytes,
        gallery_id: bytes,
        count_id: bytes,
        now: Callable[[], Moment],
    ) -> None:
        self.policy = policy
        self._files = files
        self._path = counter_path(gallery)
        self._binding = _Binding(key, gallery_id, count_id)
        self._now = now
        self._writes_seen = 0

    @property
    def count_id(self) -> bytes:
        """Which count this is."""
        return self._binding.count_id

    def begin(self) -> int | Reason:
        """Count a try, durably, before it is made.

        Returns:
            The try's number, for `succeed`; or why it must not be made.

        Raises:
            GalleryError: the count cannot be written; then there must be no try.
        """
        with locked(self._files, self._path):
            (state, other), now = self._read(), self._now()
            if state is None:
                return Reason.COUNTER
            reason = refusal(self.policy, state, now)
            if reason is not None:
                return reason
            state = begin(state, now)
            self._write(state, other)
            return state.begun

    def succeed(self, number: int) -> None:
        """Forget the failures before an accepted try.

        Raises:
            GalleryError: the counter cannot be written, or was taken away meanwhile.
        """
        with locked(self._files, self._path):
            state, other = self._read()
            if state is None:
                raise GalleryError(
                    f"the counter of failures {self._path} was changed during a try",
                    hint="edge-sdk gallery reset-attempts begins it anew",
                )
            self._write(succeed(state, number), other)

    def start(self, *, beside: AttemptCounter | None = None) -> None:
        """Begin the count, before the gallery says so.

        Args:
            beside: The count that is in force until then; it goes on.

        Raises:
            GalleryError: the counter cannot be written.
        """
        with locked(self._files, self._path):
            in_force = None if beside is None else beside._read()[0]
            other = b"" if beside is None or in_force is None else beside._packed(in_force)
            self._write(AttemptState(writes=1), other)

    def settle(self) -> None:
        """Forget the count before this one, now that the gallery says so.

        Raises:
            GalleryError: the counter cannot be written.
        """
        with locked(self._files, self._path):
            state, other = self._read()
            if state is not None and other:
                self._write(state, b"")

    def status(self) -> AttemptStatus:
        """Where the count stands."""
        policy, (state, _), now = self.policy, self._read(), self._now()
        if state is None:
            return AttemptStatus(policy.free, policy.most, policy.wait_s, None, 0.0, Reason.COUNTER)
        return AttemptStatus(
            policy.free,
            policy.most,
            policy.wait_s,
            state.failures,
            wait_ms(policy, state, now) / 1000,
            refusal(policy, state, now),
        )

    def _read(self) -> tuple[AttemptState | None, bytes]:
        """This count's state, and what else the file holds; no state where none can be believed."""
        try:
            data = self._files.read(self._path, MAX_FILE_BYTES + 1)
        except OSError:
            return None, b""
        own = self._binding
        parts = {
            part: parse_state(part, key=own.key, gallery_id=own.gallery_id, count_id=own.count_id)
            for part in split_states(data)
        }
        other = next((part for part, state in parts.items() if state is None), b"")
        states = [state for state in parts.values() if state is not None]
        if len(states) != 1 or states[0].writes < self._writes_seen:
            return None, other
        self._writes_seen = states[0].writes
        return states[0], other

    def _write(self, state: AttemptState, other: bytes) -> None:
        write_atomically(self._files, self._path, self._packed(state) + other)
        self._writes_seen = state.writes

    def _packed(self, state: AttemptState) -> bytes:
        own = self._binding
        return pack_state(state, key=own.key, gallery_id=own.gallery_id, count_id=own.count_id)


def moment_of_boot(boot_id: Path = _BOOT_ID) -> Moment:
    """The time now; where the system has no boot id, each process is a boot of its own.

    Args:
        boot_id: Where the system says it, as a UUID.
    """
    try:
        boot = uuid.UUID(boot_id.read_text().strip()).bytes
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return Moment(_PROCESS, int(1000 * (time.monotonic() - _STARTED_S)))
    return Moment(boot, int(1000 * since_s))


_PROCESS = os.urandom(ID_BYTES)
_STARTED_S = time.monotonic()
