"""The work folder of a run: results of finished stages, so that a run that was killed continues where it stopped.

The folder stands beside the output folder, on the same file system, so that the complete output is renamed into place in one step. It
is removed at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_train.errors import TrainingError

_IDENTITY, _LOCK, _DIGESTS = "run.json", "lock", ".digests.json"


class WorkFolder:
    """Results of the finished stages of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def place(output: Path) -> Path:
        """Return the path of the work folder of an output folder."""
        output = output.resolve()
        return output.parent / f"{output.name}.work"

    @classmethod
    @contextmanager
    def claim(cls, output: Path, identity: Mapping[str, Any]) -> Iterator[WorkFolder]:
        """Create or reopen the work folder of an output folder, and lock it while the block runs.

        Args:
            output: The output folder.
            identity: JSON values that determine the result; a folder of another identity is refused.

        Raises:
            TrainingError: Another process uses the folder, or it belongs to a run with other settings or pictures.
        """
        folder = cls(cls.place(output))
        folder.path.mkdir(parents=True, exist_ok=True)
        folder._check_owner()
        with (folder.path / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(
                    f"{folder.path}: expected no other run with this output, found one at work",
                    hint="wait for its end, or choose another --output",
                ) from error
            folder._identify(identity)
            yield folder

    @classmethod
    def discard(cls, output: Path) -> None:
        """Remove the work folder of a finished run, if it is still there; other folders of this name stay."""
        path = cls.place(output)
        if (path / _IDENTITY).is_file():
            shutil.rmtree(path, ignore_errors=True)

    def _check_owner(self) -> None:
        """Refuse a folder with files of something else, because the folder is removed at the end."""
        names = {path.name for path in self.path.iterdir()}
        if _IDENTITY not in names and names - {_LOCK, f"{_IDENTITY}.partial"}:
            raise TrainingError(
                f"{self.path}: expected the folder of an unfinished run or nothing there, found files of something else",
                hint="move the folder away, or choose another --output",
            )

    def _identify(self, identity: Mapping[str, Any]) -> None:
        file = self.path / _IDENTITY
        expected = json.loads(json.dumps(identity))
        if not file.exists():
            write_whole(file, json.dumps(expected, indent=1).encode())
            return
        earlier = read_values(file, hint=f"remove {self.path} to begin again")
        other = [key for key in expected if earlier.get(key) != expected[key]]
        if other and self._is_bare():
            # Such as after a plan whose minutes were too few.
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            write_whole(file, json.dumps(expected, indent=1).encode())
        elif other:
            raise TrainingError(
                f"{self.path}: expected an unfinished run with the same {' and '.join(other)}, found one with another"
                f"{differing_settings(earlier, expected)}",
                hint=f"repeat its command to continue it, or remove {self.path} to begin again",
            )

    def _is_bare(self) -> bool:
        """Return whether the folder has no finished stage and no checkpoint."""
        return not any(self.path.glob(f"*{_DIGESTS}")) and not any(self.path.glob("training/checkpoint.*"))

    def stage(self, name: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
        """Return the folder of a finished stage; make it if it does not exist, or if its files have changed since.

        Args:
            name: Name of the stage.
            make: Writes the results into the new folder that it is given. After an error, nothing of them stays.

        Returns:
            The folder, and True if an earlier run had finished the stage.
        """
        folder = self.path / name
        if folder.is_dir() and self._intact(name):
            return folder, True
        shutil.rmtree(folder, ignore_errors=True)
        partial = self.path / f"{name}.partial"
        # The conversion writes into a folder beside its output first, which a kill leaves there.
        for left in (partial, *self.path.glob(f".{partial.name}.*")):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
        try:
            make(partial)
            _flush(partial)
            write_whole(self._digests(name), json.dumps(_contents(partial)).encode())
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return folder, False

    def _digests(self, name: str) -> Path:
        return self.path / f"{name}{_DIGESTS}"

    def _intact(self, name: str) -> bool:
        """Return whether a finished stage has the files that it was finished with, byte for byte."""
        try:
            expected = json.loads(self._digests(name).read_bytes())
            return bool(_contents(self.path / name) == expected)
        except (OSError, ValueError, RecursionError):
            return False

    def publish(self, folder: Path, output: Path) -> None:
        """Rename a complete folder to the output folder, and remove the work folder.

        Raises:
            TrainingError: The output folder has been filled meanwhile.
        """
        output = output.resolve()
        try:
            folder.rename(output)  # replaces an empty folder
        except OSError as error:
            if output.is_dir() and any(output.iterdir()):
                raise TrainingError(
                    f"{output}: expected a new or empty folder, found files",
                    hint="move them away; the same command then writes the results",
                ) from error
            raise
        shutil.rmtree(self.path, ignore_errors=True)


def read_values(file: Path, *, keys: Sequence[str] = (), hint: str) -> dict[str, Any]:
    """Read a JSON object that a run wrote.

    Args:
        file: The file.
        keys: Keys that the object must have.
        hint: What to do about a damaged file.

    Raises:
        TrainingError: The file is missing or damaged.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(
            f"{file}: expected a result of an earlier run, found a file that cannot be read: {error}",
            hint=hint,
        ) from error
    if not isinstance(values, dict) or not values.keys() >= set(keys):
        raise TrainingError(f"{file}: expected a result of an earlier run, found other values", hint=hint)
    return values


def differing_settings(earlier: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the settings in which two plans differ, such as `` (steps = 60; now steps = 70)``; empty for equal plans."""
    plans = [str(identity.get("plan", "")).splitlines() for identity in (earlier, expected)]
    before, now = ([line for line in plan if line not in other] for plan, other in (plans, plans[::-1]))
    return f" ({', '.join(before) or 'none'}; now {', '.join(now) or 'none'})" if before or now else ""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file completely or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _flush(folder: Path) -> None:
    """Flush all files of a folder to the disk before it counts as finished."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, hex, by its name relative to the folder."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                contents[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return contents
