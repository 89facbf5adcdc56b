"""The pictures of a run: checked, listed, and split by subject."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from converters.progress import stage
from edge_train.data.folder_check import FolderReport, check_folder
from edge_train.data.split import Split, read_parts
from edge_train.data.subjects import Subjects

_PARTS = ("train", "calibration", "evaluation")


@dataclass(frozen=True, eq=False)
class CheckedPictures:
    """Pictures that passed the check, split by subject.

    Args:
        report: Result of the check.
        split: Training, calibration and evaluation subjects.
        digest: SHA-256 over the names and bytes of the pictures and the part of each subject, hex.
    """

    report: FolderReport
    split: Split
    digest: str

    def parts(self) -> tuple[tuple[str, Subjects], ...]:
        """Return the name and the subjects of each part."""
        return tuple((part, getattr(self.split, part)) for part in _PARTS)


def check_pictures(path: Path, *, seed: int, split: Path | None = None) -> CheckedPictures:
    """Check the pictures of a folder or archive, and split them by subject.

    Args:
        path: The folder or archive.
        seed: Seed of the split.
        split: CSV file with the part of each subject; None for a hash of the names.

    Raises:
        FolderError: The pictures cannot be used; the message names the first problem.
    """
    parts = None if split is None else read_parts(split)
    with stage("check the pictures") as progress:
        report = check_folder(path, progress=progress)
    if parts is not None:
        report = report.for_parts(parts)
    chosen = report.split(seed=seed)
    return CheckedPictures(report, chosen, _digest(report, chosen))


def _digest(report: FolderReport, split: Split) -> str:
    parts = json.dumps([report.digest, split.to_json()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()
