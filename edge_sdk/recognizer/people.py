"""Pictures of people as embeddings: from folders of photographs, or from a camera in front of which a person poses."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sdk.cameras.camera import Camera, rotation_of
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.gallery.rules.own_scores import MAX_SUBJECTS
from edge_sdk.recognizer.enrolment import SAME_IMAGE
from edge_sdk.recognizer.posing import pose
from edge_sdk.recognizer.sampling import NoSample, Sampler
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.images import read_image
from edge_sdk.vision.orientation import turn
from edge_sdk.vision.photograph_folder import list_by_person, list_photographs
from edge_sdk.vision.quality import Refusal
from edge_sdk.vision.upright import check_upright

#: Good pictures of a person who poses.
MOST_POSED = 8


@dataclass(frozen=True, eq=False)
class Person:
    """Good pictures of one person.

    Attributes:
        name: The person.
        embeddings: Shape (n, D), float32, L2 norm 1, n at least 1.
        pictures: Name of each picture.
    """

    name: str
    embeddings: FloatArray
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class People:
    """Good pictures of several people.

    Attributes:
        people: All who have a good picture.
        refused: Name of each picture that is not used, and the reason.
        missing: Names of those without a good picture.
    """

    people: tuple[Person, ...]
    refused: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()


class Pictures:
    """Takes embeddings of upright faces that pass the quality limits.

    Args:
        detector: Finds faces.
        sampler: Takes samples of frames.
        rotate: Clockwise turn in degrees that is applied to photographs.
    """

    def __init__(self, detector: FaceDetector, sampler: Sampler, *, rotate: int = 0) -> None:
        self._detector, self._sampler, self._rotate = detector, sampler, rotate

    def of_folders(self, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> People:
        """Read a folder with one subfolder per person; see `list_by_person` for errors."""
        return self._read(folder, list_by_person(folder), progress)

    def of_strangers(self, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> People:
        """Read a folder of other people: one subfolder per person, or photographs of which each shows another person."""
        names = list_photographs(folder)
        loose = all("/" not in name for name in names)
        people = {name: [name] for name in names} if loose else list_by_person(folder)
        return self._read(folder, people, progress)

    def of_camera(
        self,
        camera: Camera,
        name: str,
        *,
        seconds: float = math.inf,
        guide: Callable[[str], object] = lambda _: None,
    ) -> Person:
        """Take up to `MOST_POSED` pictures of one person; see `pose` for errors."""
        rotate = rotation_of(camera)
        posed = pose(
            camera, lambda frame: self._take(frame, rotate), most=MOST_POSED, seconds=seconds, guide=guide
        )
        names = tuple(f"picture {number + 1}" for number in range(len(posed.samples)))
        return Person(name, np.stack(posed.samples), names)

    def _read(
        self, folder: Path, people: dict[str, list[str]], progress: Callable[[int, int], None] | None
    ) -> People:
        # Known before photographs are read, which takes minutes for hundreds of people.
        if len(people) > MAX_SUBJECTS:
            raise InputError(
                f"{folder}: expected at most {MAX_SUBJECTS} people and strangers, found {len(people)}",
                hint=f"give a folder with {MAX_SUBJECTS} or fewer; edge-convert evaluate measures larger sets",
            )
        refused: list[tuple[str, str]] = []
        read, missing = [], []
        total, done = sum(map(len, people.values())), 0
        for person, names in people.items():
            good = list(self._good(folder, names, refused))
            done += len(names)
            if progress is not None:
                progress(done, total)
            if good:
                pictures = tuple(Path(name).name for name, _ in good)
                read.append(Person(person, np.stack([embedding for _, embedding in good]), pictures))
            else:
                missing.append(person)
        return People(tuple(read), tuple(refused), tuple(missing))

    def _good(
        self, folder: Path, names: Sequence[str], refused: list[tuple[str, str]]
    ) -> Iterator[tuple[str, FloatArray]]:
        seen: set[bytes] = set()
        for name in names:
            try:
                frame = turn(read_image(folder / name), self._rotate)
            except (AcquisitionError, InputError) as error:
                refused.append((name, str(error).removeprefix(f"{folder / name}: ")))
                continue
            digest = hashlib.sha256(frame.tobytes()).digest()
            if digest in seen:
                # A copy of a template would count as a further picture that is recognized.
                refused.append((name, SAME_IMAGE))
                continue
            seen.add(digest)
            sample = self._take(frame, self._rotate)
            if isinstance(sample, Refusal):
                # The hint tells a person what to do in front of a camera, the message what is wrong with a photograph.
                refused.append((name, f"{sample.message}; {sample.hint}"))
            else:
                yield name, sample

    def _take(self, frame: UInt8Array, rotate: int) -> FloatArray | Refusal:
        sample = self._sampler.take(frame)
        refusal = check_upright(self._detector, frame, sample.face, rotate=rotate)
        if refusal is not None:
            return refusal
        return sample.refusal if isinstance(sample, NoSample) else sample.embedding
