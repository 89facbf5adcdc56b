"""Split subjects three ways: training, calibration, evaluation. No subject is in two parts."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS
from converters.number_format import count
from edge_sdk.model.operating_point import subjects_needed
from edge_train.data.layout import PARTS
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError

#: Least number of subjects of each part; an evaluation claims nothing from fewer than 10.
LEAST = {"train": 8, "calibration": 2, "evaluation": MIN_SUBJECTS}
#: Shares of training, calibration and evaluation.
SHARES = (0.7, 0.1, 0.2)
#: Images that the calibration part gets if its share can be doubled for that.
_CALIBRATION_IMAGES = 200
#: FMR that the evaluation part supports if its share can be raised by a half for that.
_SUPPORTED_FMR = 1e-2
_FMRS = tuple(10.0**-k for k in range(1, 8))
# A group of look-alikes with a larger share of the subjects is in training, whatever its hash: it would be most of a smaller part.
_LARGEST_GROUP = 0.05


@dataclass(frozen=True, eq=False)
class Split:
    """Subjects of the three parts.

    Args:
        train: Subjects that the network is trained on.
        calibration: Subjects for the training curves and for int8 ranges.
        evaluation: Subjects for error rates; they are read once, at the end.
    """

    train: Subjects
    calibration: Subjects
    evaluation: Subjects

    @property
    def supported_fmr(self) -> float:
        """Lowest power of ten that the evaluation subjects support as FMR; 1 if they support none."""
        return supported_fmr(len(self.evaluation.names))

    def to_json(self) -> dict[str, list[str]]:
        """Return the names of the subjects of each part."""
        return {part: list(getattr(self, part).names) for part in PARTS}

    def to_text(self) -> str:
        """Return the sizes of the parts in one line."""
        sizes = (
            f"{count(len(getattr(self, part).names), 'subject')} ({count(len(getattr(self, part).flat), 'image')}) {use}"
            for part, use in zip(PARTS, ("to train", "to calibrate", "to evaluate"), strict=True)
        )
        return ", ".join(sizes)


def supported_fmr(subjects: int) -> float:
    """Return the lowest power of ten that a number of evaluation subjects supports as FMR; 1 if none."""
    if subjects < MIN_SUBJECTS:
        return 1.0
    return min((fmr for fmr in _FMRS if subjects_needed(fmr) <= subjects), default=1.0)


def subjects_for(fmr: float, *, share: float = SHARES[2]) -> int:
    """Return the number of all subjects with which the evaluation part of ``split_subjects`` supports an FMR.

    The split raises the evaluation part to 10 subjects, and to 1.5 times its share for the subjects that FMR 1e-2 needs.
    """
    needed = max(subjects_needed(fmr), MIN_SUBJECTS)
    least = sum(LEAST.values())
    if needed <= MIN_SUBJECTS:
        return least
    if needed <= subjects_needed(_SUPPORTED_FMR):
        return max(least, math.ceil(needed / (1.5 * share) - 1e-9))
    return max(least, math.ceil(needed / share))


def split_subjects(
    subjects: Subjects,
    *,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    together: Iterable[Sequence[str]] = (),
) -> Split:
    """Split subjects by a hash of their names, so that a subject which is added later moves few others or none.

    The hash of a subject decides its part. If a part has too few subjects, it gets those with the nearest hashes: at least 8
    subjects to train, 2 to calibrate and 10 to evaluate. Calibration gets up to twice its share to reach 200 images, and evaluation
    up to 1.5 times its share to reach the 25 subjects that FMR 1e-2 needs.

    Args:
        subjects: All subjects.
        seed: Seed of the hash.
        shares: Shares of training, calibration and evaluation; their sum is 1.
        together: Groups of subjects that stay on one side, such as look-alikes.

    Raises:
        FolderError: There are too few subjects, or the shares are not positive or their sum is not 1.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise FolderError(
            f"expected three shares above 0 with the sum 1, found {', '.join(f'{share:g}' for share in shares)}"
        )
    total = len(subjects.names)
    if total < sum(LEAST.values()):
        raise FolderError(
            f"expected {_least_text()}, found {total}",
            hint=f"add subjects; FMR 1e-2 needs about {subjects_for(1e-2, share=shares[2])}, 1e-3 about {subjects_for(1e-3, share=shares[2])}",
        )
    images = dict(zip(subjects.names, map(len, subjects.images), strict=True))
    groups = _ranked(subjects.names, together, seed)
    calibration_share, evaluation_share = shares[1], shares[2]
    most_evaluation = _most_evaluated(total)
    least_evaluation = least_evaluated(total, share=evaluation_share)
    evaluation: list[str] = []
    calibration: list[str] = []
    rest: list[str] = []
    for value, names in groups:
        if len(names) > max(1, _LARGEST_GROUP * total):
            rest += names
        elif (value < evaluation_share or len(evaluation) < least_evaluation) and (
            len(evaluation) + len(names) <= most_evaluation
        ):
            evaluation += names
        elif _goes_to_calibration(
            value - evaluation_share, calibration, images, calibration_share, total
        ) and (len(calibration) + len(evaluation) + len(names) <= total - LEAST["train"]):
            calibration += names
        else:
            rest += names
    split = Split(*(Subjects.of(subjects.samples, sorted(part)) for part in (rest, calibration, evaluation)))
    _check_sizes(split)
    return split


def least_evaluated(total: int, *, share: float = SHARES[2]) -> int:
    """Return the number of subjects that the evaluation part has at least, up to one group of look-alikes."""
    for_claim = min(subjects_needed(_SUPPORTED_FMR), round(1.5 * share * total))
    return min(max(LEAST["evaluation"], for_claim), _most_evaluated(total))


def _most_evaluated(total: int) -> int:
    return total - LEAST["train"] - LEAST["calibration"]


def _goes_to_calibration(
    value: float, chosen: Sequence[str], images: Mapping[str, int], share: float, total: int
) -> bool:
    if value < share or len(chosen) < LEAST["calibration"]:
        return True
    return sum(images[name] for name in chosen) < _CALIBRATION_IMAGES and len(chosen) < 2 * share * total


def _ranked(
    names: Sequence[str], together: Iterable[Sequence[str]], seed: int
) -> list[tuple[float, tuple[str, ...]]]:
    """Return groups of subjects with the hash of the first name, 0..1, in the order of the hashes."""
    present, grouped = set(names), set[str]()
    groups = []
    for group in together:
        members = tuple(sorted(present.intersection(group)))
        if len(members) > 1:
            groups.append(members)
            grouped.update(members)
    groups += [(name,) for name in names if name not in grouped]
    return sorted((_hash(group[0], seed), group) for group in groups)


def _hash(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by(subjects: Subjects, parts: Mapping[str, str]) -> Split:
    """Split subjects as the user states.

    Args:
        subjects: All subjects.
        parts: ``train``, ``calibration`` or ``evaluation`` for each subject; names without images are ignored.

    Raises:
        FolderError: A subject has no part, a part is unknown, or a part has too few subjects.
    """
    missing = [name for name in subjects.names if name not in parts]
    if missing:
        raise FolderError(
            f"expected a part for each subject, found none for {count(len(missing), 'subject')}, such as {missing[0]!r}",
            hint="add the subjects to the list, or remove their folders",
        )
    unknown = sorted(set(parts.values()) - set(PARTS))
    if unknown:
        raise FolderError(f"expected the parts {', '.join(PARTS)}, found {unknown[0]!r}")
    split = Split(
        *(
            Subjects.of(subjects.samples, [name for name in subjects.names if parts[name] == part])
            for part in PARTS
        )
    )
    _check_sizes(split)
    return split


def read_parts(path: str | Path) -> dict[str, str]:
    """Read a split from a CSV file with the columns ``subject`` and ``part``.

    Returns:
        The part of each subject.

    Raises:
        FolderError: The file cannot be read, a column is missing, or a subject has two parts.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not {"subject", "part"} <= set(reader.fieldnames):
                raise FolderError(
                    f"{path}: expected the columns subject and part, found {', '.join(reader.fieldnames or ['none'])}",
                    hint="write a first line `subject,part` with a comma, then one line for each subject",
                )
            rows = [(row["subject"], row["part"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FolderError(
            f"{path}: expected a split file, but it cannot be read: {reason}",
            hint="give a CSV file with the columns subject and part",
        ) from error
    parts: dict[str, str] = {}
    for number, (subject, part) in enumerate(rows, 2):
        if part not in PARTS or not subject:
            raise FolderError(
                f"{path}, line {number}: expected a subject and one of {', '.join(PARTS)}, found {subject!r}, {part!r}"
            )
        if parts.setdefault(subject, part) != part:
            raise FolderError(
                f"{path}, line {number}: expected one part for {subject!r}, found {parts[subject]} and {part}",
                hint="error rates of trained subjects say nothing about new ones: give each subject one part",
            )
    return parts


def _check_sizes(split: Split) -> None:
    sizes: dict[str, Any] = {part: len(getattr(split, part).names) for part in PARTS}
    if any(sizes[part] < LEAST[part] for part in PARTS):
        raise FolderError(
            f"expected {_least_text()}, found {sizes['train']}, {sizes['calibration']} and {sizes['evaluation']}",
            hint="add subjects, and see if many look-alikes are kept together",
        )


def _least_text() -> str:
    return (
        f"at least {sum(LEAST.values())} subjects: {LEAST['train']} to train, {LEAST['calibration']} to calibrate and"
        f" {LEAST['evaluation']} to evaluate"
    )
