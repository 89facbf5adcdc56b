"""History of a training: figures of each step, in memory and as a CSV file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_train.errors import TrainingError
from edge_train.training.trainer import StepFigures

_COLUMNS = ("step", "loss", "learning_rate", "mated", "alike", "gradient")


@dataclass(frozen=True, kw_only=True)
class HistoryRow(StepFigures):
    """Figures of a step.

    Attributes:
        step: Number of completed steps, from 1.
        curve: Values of the curve after this step, such as ``{"eer": 0.1}``; empty after most steps.
    """

    step: int
    curve: Mapping[str, float] = field(default_factory=dict)


class HistoryFile:
    """The rows of a training as a CSV file.

    The columns are step, loss, learning_rate, mated, alike, gradient and curve. The last column contains the values of the curve, such
    as ``eer=0.1 tar=0.9``, and is empty after most steps.

    Args:
        path: The file; None keeps the rows in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: list[HistoryRow] = []
        self._written = 0

    def resume(self, step: int) -> None:
        """Read the rows up to a step, and remove later rows from the file: they were written after the last checkpoint.

        Raises:
            TrainingError: The file is damaged or cannot be written.
        """
        self.rows = []
        if self._path is None:
            return
        if self._path.exists():
            self.rows = [row for row in _read(self._path) if row.step <= step]
        if [row.step for row in self.rows] != list(range(1, step + 1)):
            raise TrainingError(
                f"{self._path}: expected the rows of steps 1 to {step}, found {len(self.rows)} of them",
                hint="remove the folder to start the training again",
            )
        partial = self._path.with_suffix(".partial")
        self._write(partial, "w", [",".join((*_COLUMNS, "curve")) + "\n", _lines(self.rows)])
        partial.replace(self._path)

    def add(self, row: HistoryRow) -> None:
        """Add a row in memory."""
        self.rows.append(row)

    def flush(self) -> None:
        """Append the new rows to the file and flush it to the disk.

        Raises:
            TrainingError: The file cannot be written.
        """
        if self._path is not None:
            self._write(self._path, "a", [_lines(self.rows[self._written :])])

    def _write(self, path: Path, mode: str, parts: Sequence[str]) -> None:
        try:
            with path.open(mode, encoding="utf-8") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written: {error.strerror or error}",
                hint="free space, and run the same command again: it continues from the last checkpoint",
            ) from error
        self._written = len(self.rows)


def _lines(rows: Sequence[HistoryRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        curve = " ".join(f"{name}={value!r}" for name, value in row.curve.items())
        writer.writerow([row.step, *(repr(getattr(row, name)) for name in _COLUMNS[1:]), curve])
    return text.getvalue()


def _read(path: Path) -> list[HistoryRow]:
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for record in csv.DictReader(file):
            try:
                curve = (item.split("=") for item in record["curve"].split())
                row = HistoryRow(
                    step=int(record["step"]),
                    **{name: float(record[name]) for name in _COLUMNS[1:]},
                    curve={name: float(value) for name, value in curve},
                )
            except (AttributeError, KeyError, TypeError, ValueError):
                break  # a row that was cut off by a kill; it is later than the last checkpoint
            rows.append(row)
    return rows
