"""Files of a training in its work folder: the checkpoint and the number of steps."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_train.errors import TrainingError
from edge_train.training.trainer import Trainer

CHECKPOINT, LENGTH = "checkpoint.npz", "length.json"
_OTHER_PLAN_HINT = (
    "give the earlier settings and pictures to continue it, or another folder to start a new training"
)


@dataclass(frozen=True, kw_only=True)
class Length:
    """Length of a training, decided once and kept in the work folder.

    Attributes:
        digest: Digest of the plan.
        steps: Number of steps.
        curve_every: Number of steps between two values of the curve.
        timed: Sentence about the measured times from which the number of steps follows; empty if the plan gives the number.
    """

    digest: str
    steps: int
    curve_every: int
    timed: str = ""


def read_length(folder: Path, digest: str) -> Length | None:
    """Read the length of the training in a folder; None if the folder contains none.

    Raises:
        TrainingError: The training belongs to another plan, or the file is damaged.
    """
    path = folder / LENGTH
    try:
        length = Length(**json.loads(path.read_text(encoding="utf-8")))
        if not (
            isinstance(length.steps, int) and isinstance(length.curve_every, int) and length.curve_every > 0
        ):
            raise ValueError("a number of steps that is not a whole number")
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: expected the length of a training, found a file that cannot be read: {error}",
            hint="remove the folder to start the training again",
        ) from error
    if length.digest != digest:
        raise TrainingError(
            f"{folder}: expected a training with these settings and pictures, found a training of another plan",
            hint=_OTHER_PLAN_HINT,
        )
    return length


def write_length(folder: Path, length: Length) -> None:
    """Write the length of a training completely or not at all."""
    _replace(folder / LENGTH, json.dumps(asdict(length), indent=1).encode() + b"\n")


def write_checkpoint(folder: Path, trainer: Trainer, digest: str, seconds: float) -> None:
    """Write a checkpoint completely or not at all.

    Args:
        folder: The work folder.
        trainer: The state.
        digest: Digest of the plan.
        seconds: Time of the training up to this step.

    Raises:
        TrainingError: The file cannot be written; the previous checkpoint is unchanged.
    """
    try:
        trainer.save(folder / CHECKPOINT, digest=np.array(digest), seconds=np.array(seconds))
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot write the checkpoint: {error.strerror or error}",
            hint="free space, and run the same command again: it continues from the previous checkpoint",
        ) from error


def read_checkpoint(folder: Path, trainer: Trainer, digest: str) -> float:
    """Restore the state from the checkpoint in a folder, if there is one.

    Returns:
        Time of the training up to the checkpoint, seconds; 0 if there is no checkpoint.

    Raises:
        TrainingError: The checkpoint belongs to another plan, or is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return 0.0
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            same = str(stored["digest"]) == digest
            seconds = float(stored["seconds"])
        if same:
            trainer.restore(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(
            f"{path}: expected the checkpoint of a training, found a file that cannot be read: {error}",
            hint="remove the folder to start the training again",
        ) from error
    if not same:
        raise TrainingError(
            f"{path}: expected a checkpoint of these settings and pictures, found the checkpoint of another plan",
            hint=_OTHER_PLAN_HINT,
        )
    return seconds


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written: {error.strerror or error}",
            hint="free space or choose another folder",
        ) from error
