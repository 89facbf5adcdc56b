"""A file system in memory whose power can be cut between any two steps; for tests.

The model is harsher than a journalling file system: after a cut, any subset of the directory
changes since the directory's last fsync may have reached the medium, and a file's bytes since its
own last fsync may be there, missing, or torn at several places, short or filled with zeros.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

_Change: TypeAlias = tuple[Path | None, Path | None, int]  # entry gone, entry made, file number


class PowerCut(Exception):  # noqa: N818
    """Every step from the cut on raises this."""


@dataclass
class _File:
    data: bytes = b""
    durable: bytes = b""

    def after_cut(self, tears: int) -> list[bytes]:
        """What the file may hold when the power comes back, torn at about so many places."""
        if self.data == self.durable:
            return [self.data]
        # What was on the medium before an append stays; only what follows can be torn.
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
    """Implements `storage.FileSystem`.

    Attributes:
        cut_before: Step number before which the power is cut; None for never.
        fail: Errors to raise instead of steps, by step number.
        ignored: Kinds of step, or numbers of single ones, that report success and do nothing: for negative controls.
        tears: At how many places a file may be torn; more than it has bytes means at every one.
        steps: Kinds of step so far: create, write, fsync, rename, fsync_directory, unlink.
    """

    cut_before: int | None = None
    fail: Mapping[int, OSError] = field(default_factory=dict)
    ignored: Collection[str | int] = ()
    tears: int = 8
    steps: list[str] = field(default_factory=list)
    _files: list[_File] = field(default_factory=list)
    _entries: dict[Path, int] = field(default_factory=dict)
    _durable_entries: dict[Path, int] = field(default_factory=dict)
    _pending: list[_Change] = field(default_factory=list)

    @classmethod
    def holding(cls, state: Mapping[Path, bytes]) -> SimulatedFileSystem:
        """A file system with these files, all of them on the medium."""
        system = cls()
        for path, data in state.items():
            system._entries[path] = len(system._files)
            system._files.append(_File(data, data))
        system._durable_entries = dict(system._entries)
        return system

    def state(self) -> dict[Path, bytes]:
        """The files as a running program sees them."""
        return {path: self._files[number].data for path, number in self._entries.items()}

    def states_after_cut(self) -> Iterator[dict[Path, bytes]]:
        """Every set of files that a power cut now may leave."""
        for kept in itertools.product((False, True), repeat=len(self._pending)):
            entries = dict(self._durable_entries)
            for change in itertools.compress(self._pending, kept):
                _apply(entries, change)
            paths = sorted(entries)
            torn = [self._files[entries[path]].after_cut(self.tears) for path in paths]
            for contents in itertools.product(*torn):
                yield dict(zip(paths, contents, strict=True))

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """There is one process."""
        yield

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """As the seam says."""
        self._check_power()
        return self._files[self._number(path)].data[offset : offset + max_bytes]

    def size(self, path: Path) -> int:
        """As the seam says."""
        self._check_power()
        return len(self._files[self._number(path)].data)

    def mode(self, path: Path) -> int | None:
        """As the seam says; every file is private."""
        self._check_power()
        return 0o600 if path in self._entries else None

    def create(self, path: Path) -> int:
        """As the seam says."""
        if self._step("create"):
            if path in self._entries:
                raise FileExistsError(errno.EEXIST, "exists", str(path))
            self._files.append(_File())
            self._change((None, path, len(self._files) - 1))
        return len(self._files) - 1

    def append(self, path: Path) -> int:
        """As the seam says."""
        if path not in self._entries:
            return self.create(path)
        self._check_power()
        return self._number(path)

    def write(self, handle: int, data: bytes) -> None:
        """As the seam says."""
        if self._step("write"):
            self._files[handle].data += data

    def fsync(self, handle: int) -> None:
        """As the seam says."""
        if self._step("fsync"):
            self._files[handle].durable = self._files[handle].data

    def close(self, handle: int) -> None:
        """Nothing to do."""

    def rename(self, source: Path, target: Path) -> None:
        """As the seam says."""
        if self._step("rename"):
            self._change((source, target, self._number(source)))

    def fsync_directory(self, path: Path) -> None:
        """As the seam says."""
        if self._step("fsync_directory"):
            here = [change for change in self._pending if (change[1] or change[0] or path).parent == path]
            for change in here:
                _apply(self._durable_entries, change)
            self._pending = [change for change in self._pending if change not in here]

    def unlink(self, path: Path) -> None:
        """As the seam says."""
        number = self._number(path)
        if self._step("unlink"):
            self._change((path, None, number))

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
