"""Simulate a file system in memory whose power can be cut between any two steps.

The model is harsher than a journalling file system. After a cut, any subset of the directory changes since the
directory's last fsync may have reached the medium. The bytes written to a file since its last fsync may be present,
missing, cut off at several places, or replaced by zeros.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

_Change: TypeAlias = tuple[Path | None, Path | None, int]  # (entry removed, entry added, number of the file)


class PowerCut(Exception):  # noqa: N818
    """Raised by every step after the power cut."""


@dataclass
class _File:
    data: bytes = b""
    durable: bytes = b""

    def after_cut(self, tears: int) -> list[bytes]:
        """List the possible contents after a power cut, cut off at about `tears` places."""
        if self.data == self.durable:
            return [self.data]
        # Durable bytes before an append stay; only the appended bytes can be cut off.
        kept = len(self.durable) if self.data.startswith(self.durable) else 0
        size = len(self.data)
        places = max(1, min(tears, size - kept))
        cuts = sorted(
            {kept + (size - kept) * part // places for part in range(places + 1)} | {max(kept, size - 1)}
        )
        torn = [self.data[:cut] for cut in cuts]
        zeroed = [self.data[:cut] + bytes(size - cut) for cut in cuts]
        return list(dict.fromkeys([self.durable, *torn, *zeroed]))


@dataclass
class SimulatedFileSystem:
    """Implements the protocol `edge_sdk.gallery.store.files.FileSystem` for one process.

    Attributes:
        cut_before: Number of the step before which the power is cut; None for never.
        fail: Errors to raise instead of steps, by step number.
        ignored: Kinds or numbers of steps that report success and do nothing, for negative controls.
        tears: Number of places at which a file may be cut off; at most every byte.
        steps: Kinds of the steps so far: create, write, fsync, rename, fsync_directory, unlink.
        calls: Kinds of all calls so far: the steps, and lock, read, size, mode.
        fault: Called with the number of a call, before and after it; may raise. None for no faults.
    """

    cut_before: int | None = None
    fail: Mapping[int, OSError] = field(default_factory=dict)
    ignored: Collection[str | int] = ()
    tears: int = 8
    steps: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fault: Callable[[int, bool], None] | None = None
    _files: list[_File] = field(default_factory=list)
    _entries: dict[Path, int] = field(default_factory=dict)
    _durable_entries: dict[Path, int] = field(default_factory=dict)
    _pending: list[_Change] = field(default_factory=list)

    @classmethod
    def holding(cls, state: Mapping[Path, bytes]) -> SimulatedFileSystem:
        """Create a file system that contains these files durably."""
        system = cls()
        for path, data in state.items():
            system._entries[path] = len(system._files)
            system._files.append(_File(data, data))
        system._durable_entries = dict(system._entries)
        return system

    def state(self) -> dict[Path, bytes]:
        """Return the files as a running program reads them."""
        return {path: self._files[number].data for path, number in self._entries.items()}

    def states_after_cut(self) -> Iterator[dict[Path, bytes]]:
        """Generate every set of files that a power cut now may leave."""
        for kept in itertools.product((False, True), repeat=len(self._pending)):
            entries = dict(self._durable_entries)
            for change in itertools.compress(self._pending, kept):
                _apply(entries, change)
            paths = sorted(entries)
            torn = [self._files[entries[path]].after_cut(self.tears) for path in paths]
            for contents in itertools.product(*torn):
                yield dict(zip(paths, contents, strict=True))

    @contextmanager
    def _call(self, kind: str) -> Iterator[None]:
        """Count a call, and raise the fault that is set for it before or after its effect."""
        self.calls.append(kind)
        number = len(self.calls) - 1
        if self.fault is not None:
            self.fault(number, False)
        yield
        if self.fault is not None:
            self.fault(number, True)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Do nothing: there is one process."""
        with self._call("lock"):
            pass
        yield

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """Read bytes of a file."""
        self._check_power()
        with self._call("read"):
            return self._files[self._number(path)].data[offset : offset + max_bytes]

    def size(self, path: Path) -> int:
        """Return the size of a file in bytes."""
        self._check_power()
        with self._call("size"):
            return len(self._files[self._number(path)].data)

    def mode(self, path: Path) -> int | None:
        """Return 0600: every file is private."""
        self._check_power()
        return 0o600 if path in self._entries else None

    def create(self, path: Path) -> int:
        """Create a file; return its handle."""
        with self._call("create"):
            if self._step("create"):
                if path in self._entries:
                    raise FileExistsError(errno.EEXIST, "exists", str(path))
                self._files.append(_File())
                self._change((None, path, len(self._files) - 1))
            return len(self._files) - 1

    def append(self, path: Path) -> int:
        """Open a file to append to it; return its handle."""
        if path not in self._entries:
            return self.create(path)
        self._check_power()
        return self._number(path)

    def write(self, handle: int, data: bytes) -> None:
        """Append bytes to an open file."""
        with self._call("write"):
            if self._step("write"):
                self._files[handle].data += data

    def fsync(self, handle: int) -> None:
        """Make the bytes of a file durable."""
        with self._call("fsync"):
            if self._step("fsync"):
                self._files[handle].durable = self._files[handle].data

    def close(self, handle: int) -> None:
        """Do nothing."""

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file."""
        with self._call("rename"):
            if self._step("rename"):
                self._change((source, target, self._number(source)))

    def fsync_directory(self, path: Path) -> None:
        """Make the changes of a directory durable."""
        with self._call("fsync_directory"):
            self._fsync_directory(path)

    def _fsync_directory(self, path: Path) -> None:
        if self._step("fsync_directory"):
            here = [change for change in self._pending if (change[1] or change[0] or path).parent == path]
            for change in here:
                _apply(self._durable_entries, change)
            self._pending = [change for change in self._pending if change not in here]

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        number = self._number(path)
        with self._call("unlink"):
            if self._step("unlink"):
                self._change((path, None, number))

    def names(self, path: Path) -> list[str]:
        """Return the names of the files in a directory."""
        self._check_power()
        return [entry.name for entry in self._entries if entry.parent == path]

    def _check_power(self) -> None:
        if self.cut_before is not None and len(self.steps) >= self.cut_before:
            raise PowerCut

    def _step(self, kind: str) -> bool:
        self._check_power()
        self.steps.append(kind)
        number = len(self.steps) - 1
        error = self.fail.get(number)
        if error is not None:
            raise error
        return kind not in self.ignored and number not in self.ignored

    def _number(self, path: Path) -> int:
        if path not in self._entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._entries[path]

    def _change(self, change: _Change) -> None:
        _apply(self._entries, change)
        self._pending.append(change)


def _apply(entries: dict[Path, int], change: _Change) -> None:
    gone, made, number = change
    if gone is not None:
        with contextlib.suppress(KeyError):
            del entries[gone]
    if made is not None:
        entries[made] = number
