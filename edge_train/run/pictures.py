"""The pictures of a run: checked, listed, and split by subject."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from converters.data.samples import Sample, SampleSet, open_samples, open_unlabelled
from converters.progress import stage
from edge_train.data.folder_check import FolderReport, check_folder
from edge_train.data.split import Split, read_parts
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError

# Share of unlabelled images that are not trained on, and limits of their number.
_CALIBRATION_SHARE, _FEWEST, _MOST = 0.1, 20, 600
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


def list_unlabelled(path: Path, *, seed: int, evaluation: Path | None = None) -> CheckedPictures:
    """List the images of a folder or archive at any depth; a tenth of them, 20 to 600, is kept for calibration.

    Each image counts as a subject. The images are not checked beforehand: an unreadable one is an error when it is read.

    Args:
        path: The folder or archive.
        seed: Seed of the choice of the calibration images.
        evaluation: Folder or archive with one folder per subject; None for no evaluation subjects.

    Raises:
        FolderError: There are fewer than 40 images.
        InputError: A folder cannot be read.
    """
    samples = open_unlabelled(path)
    images = list(samples.samples)
    if len(images) < 2 * _FEWEST:
        raise FolderError(
            f"{path}: expected at least {2 * _FEWEST} images, found {len(images)}", hint="add images"
        )
    ranked = sorted(images, key=lambda sample: hashlib.sha256(f"{seed}\0{sample.name}".encode()).digest())
    kept = min(_MOST, max(_FEWEST, round(_CALIBRATION_SHARE * len(images))))
    evaluated = Subjects(samples, (), ()) if evaluation is None else Subjects.of(open_samples(evaluation))
    split = Split(_one_by_one(samples, ranked[kept:]), _one_by_one(samples, ranked[:kept]), evaluated)
    report = FolderReport(
        path=str(path),
        images=len(images),
        subjects=0,
        problems=(),
        usable=split.train,
        parts=None,
        together=(),
        digest=samples.digest,
    )
    digest = _digest(report, split)
    if split.evaluation.names:
        digest = hashlib.sha256(f"{digest} {split.evaluation.samples.digest}".encode()).hexdigest()
    return CheckedPictures(report, split, digest)


def _one_by_one(samples: SampleSet, images: Iterable[Sample]) -> Subjects:
    """Return images as subjects of one image each, by name."""
    chosen = sorted(images)
    return Subjects(samples, tuple(own.name for own in chosen), tuple((own,) for own in chosen))


def _digest(report: FolderReport, split: Split) -> str:
    parts = json.dumps([report.digest, split.to_json()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()
