"""Folders of drawn persons: for training, for calibration, and for evaluation at trained and at new cameras."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import InputError
from tools.persons.cameras import CAMERAS, Camera, take_picture
from tools.persons.wardrobe import Person, person

#: Cameras whose pictures are trained on, and cameras that occur only in the evaluation.
TRAINED, NEW = CAMERAS[:4], CAMERAS[4:]
_CALIBRATION, _EVALUATION = 4000, 6000  # first person of each set
#: Largest number of each kind, so that no person is in two sets.
_MOST = {
    "training": _CALIBRATION,
    "calibration": _EVALUATION - _CALIBRATION,
    "evaluation": 3999,
    "pictures": 99,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the data set; the same settings give the same files.

    Attributes:
        seed: Seed of all random choices.
        training: Persons to train on, 1..4000.
        calibration: Persons whose pictures calibrate the quantization, 1..2000.
        evaluation: Persons to measure on, 1..3999.
        pictures: Pictures of each person at each camera, 1..99.

    Raises:
        InputError: A number is out of range.
    """

    seed: int = 5
    training: int = 640
    calibration: int = 32
    evaluation: int = 160
    pictures: int = 2

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name}: expected 1..{most}, found {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, found {self.seed}")


@dataclass(frozen=True)
class PersonSet:
    """Persons and the cameras that see them.

    Attributes:
        folder: Path of the folder below the output.
        persons: The persons; no person is in two sets, but ``pictures/evaluation`` and ``new_cameras`` show the same persons.
        cameras: Each camera takes pictures of each person.
    """

    folder: str
    persons: tuple[Person, ...]
    cameras: tuple[Camera, ...]


def person_sets(settings: Settings) -> tuple[PersonSet, ...]:
    """Return the sets: three parts of ``pictures``, as ``edge-train`` expects them, and ``new_cameras``."""

    def persons(first: int, count: int) -> tuple[Person, ...]:
        return tuple(person(settings.seed, first + place) for place in range(count))

    measured = persons(_EVALUATION, settings.evaluation)
    return (
        PersonSet("pictures/train", persons(0, settings.training), TRAINED),
        PersonSet("pictures/calibration", persons(_CALIBRATION, settings.calibration), TRAINED),
        PersonSet("pictures/evaluation", measured, TRAINED),
        PersonSet("new_cameras", measured, NEW),
    )


def pictures_of(
    settings: Settings, subject: Person, cameras: Sequence[Camera]
) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, JPEG file) of a person, named as in Market-1501: ``0002_c1s1_000451_03.jpg``."""
    for camera in cameras:
        for number in range(settings.pictures):
            frame = 1 + (subject.number * 37 + int(camera.name) * 11 + number * 25) % 100_000
            name = f"{subject.name}_c{camera.name}s1_{frame:06d}_{number + 1:02d}.jpg"
            yield name, take_picture(settings.seed, subject, camera, number)


def write_pictures(settings: Settings, output: Path) -> None:
    """Write ``output/SET/PERSON/PICTURE.jpg`` for each set; a set whose folder exists is kept.

    A folder appears only when all its pictures are written.
    """
    from tqdm import tqdm

    output.mkdir(parents=True, exist_ok=True)
    for group in person_sets(settings):
        target = output / group.folder
        if target.exists():
            continue
        partial = output / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for subject in tqdm(group.persons, desc=f"draw {target.name}", disable=not sys.stderr.isatty()):
            folder = partial / subject.name
            folder.mkdir(parents=True)
            for name, picture in pictures_of(settings, subject, group.cameras):
                (folder / name).write_bytes(picture)
        target.parent.mkdir(exist_ok=True)
        partial.rename(target)
