"""Cut aligned crops out of a folder of photographs, for calibration and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.matching import unlike_the_others
from edge_sdk.model.card import InputContract
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.types import UInt8Array
from edge_sdk.vision.alignment import align
from edge_sdk.vision.crop_folder import CropFolder
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face, FaceDetector, central, largest
from edge_sdk.vision.images import read_image
from edge_sdk.vision.orientation import check_rotation, turn
from edge_sdk.vision.photograph_folder import list_by_person, list_photographs
from edge_sdk.vision.quality import Limits
from edge_sdk.vision.upright import check_upright

#: Ways to choose the face of a photograph that shows several.
CHOICES = ("central", "largest")
#: Least usable photographs of a person: a subject of an evaluation is compared with itself.
LEAST_PER_PERSON = 2


@dataclass(frozen=True)
class AlignedPerson:
    """Crops of one person.

    Args:
        name: Name of the subfolder.
        photographs: Number of photographs.
        crops: Number of photographs that gave a crop.
        written: False if these are fewer than required, so that the person was left out.
        unlike: Photographs that resemble none of the person's others, relative to the folder; they were written.
    """

    name: str
    photographs: int
    crops: int
    written: bool
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlignedFolder:
    """Result of aligning a folder.

    Args:
        written: Paths of the crops, relative to the output folder, with forward slashes.
        refused: Relative path of each photograph without a crop, and the reason.
        people: Crops per person; empty if the folder was not aligned per person.
    """

    written: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    people: tuple[AlignedPerson, ...] = ()


@dataclass(frozen=True)
class PerPerson:
    """Requirements of a folder with one subfolder per person.

    Args:
        least: Least usable photographs of a person, 1 or more; a person with fewer is left out.
        embedder: Compares the photographs of each person with each other; None does not compare them. Its card needs an
            operating point at FMR 1e-2 or less.

    Raises:
        InputError: `least` is below 1.
    """

    least: int = LEAST_PER_PERSON
    embedder: Embedder | None = None

    def __post_init__(self) -> None:
        if self.least < 1:
            raise InputError(f"expected 1 photograph or more of each person, found {self.least}")


def align_folder(
    detector: FaceDetector,
    photographs: str | Path,
    output: str | Path,
    contract: InputContract,
    *,
    choose: str = "central",
    rotate: int = 0,
    per_person: PerPerson | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AlignedFolder:
    """Align the face of every photograph of a folder and write the crops as PNG files in the same subfolders.

    Hidden files and other kinds of files are ignored. A photograph that is not upright is refused, as at an enrolment.
    The output folder appears when all photographs are done, or not at all.

    Args:
        detector: Detector of the faces.
        photographs: Folder of JPEG, PNG and PPM files, such as one subfolder per person.
        output: Folder for the crops; it must not exist, or be empty.
        contract: Size and landmark template of the crops.
        choose: ``central`` or ``largest``: the face to take if a photograph shows several.
        rotate: Clockwise turn of every photograph in degrees: 0, 90, 180 or 270; after the rotation of its EXIF data.
        per_person: Require one subfolder per person, refuse photographs with a second large face and copies, and leave
            out people with too few usable photographs; None accepts any folder.
        progress: Called with (done, total) photographs.

    Raises:
        InputError: The folder has no photograph, no photograph shows an upright face, the output folder is not empty or
            cannot be written, an unknown choice or rotation, Pillow is not installed, or with `per_person`, a
            photograph is outside the subfolders, or nobody has enough usable photographs.
    """
    source = Path(photographs)
    if choose not in CHOICES:
        raise InputError(f"expected a choice of {' or '.join(CHOICES)}, found {choose!r}")
    check_rotation(rotate)
    names = list_photographs(source)
    people = {} if per_person is None else list_by_person(source)
    # The photograph of each crop, by the crop's path.
    crops: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    with CropFolder(Path(output)) as target:
        embeddings: dict[str, np.ndarray] = {}
        taken: dict[bytes, str] = {}
        for position, name in enumerate(names):
            try:
                crop = _crop(detector, source / name, contract, choose, rotate, alone=per_person is not None)
                same = taken.setdefault(hashlib.sha256(crop.tobytes()).digest(), name)
                if per_person is not None and same != name:
                    # A copy falsifies every rate, as a picture of the same person and as one of another.
                    raise InputError(f"shows the same face as {same}, pixel by pixel")
            except (AcquisitionError, InputError) as error:
                refused.append((name, str(error).removeprefix(f"{source / name}: ")))
            else:
                crops[target.write(name, crop)] = name
                if per_person is not None and per_person.embedder is not None:
                    embeddings[name] = per_person.embedder.embed(crop)
            if progress is not None:
                progress(position + 1, len(names))
        if not crops:
            name, reason = refused[0]
            raise InputError(f"{source}: expected photographs of upright faces, found none; {name}: {reason}")
        result: tuple[AlignedPerson, ...] = ()
        if per_person is not None:
            result = _people(people, set(crops.values()), embeddings, per_person)
            _require_somebody(source, result, refused, per_person.least)
            for person in result:
                if person.crops and not person.written:
                    target.remove(person.name)
        target.finish()
    left_out = {person.name for person in result if not person.written}
    written = tuple(crop for crop in crops if crop.split("/")[0] not in left_out)
    return AlignedFolder(written, tuple(refused), result)


def _people(
    people: dict[str, list[str]], usable: set[str], embeddings: dict[str, np.ndarray], options: PerPerson
) -> tuple[AlignedPerson, ...]:
    point = None
    if options.embedder is not None:
        point = OperatingPoint.for_captures(options.embedder.card.operating_points)
    result = []
    for name, taken in people.items():
        own = [photograph for photograph in taken if photograph in usable]
        unlike: tuple[str, ...] = ()
        if point is not None and len(own) > 1:
            rows = np.stack([embeddings[photograph] for photograph in own])
            unlike = tuple(own[index] for index in unlike_the_others(rows, point.threshold))
        result.append(AlignedPerson(name, len(taken), len(own), len(own) >= options.least, unlike))
    return tuple(result)


def _require_somebody(
    source: Path, people: tuple[AlignedPerson, ...], refused: list[tuple[str, str]], least: int
) -> None:
    if not any(person.written for person in people):
        first = f"add photographs; {refused[0][0]}: {refused[0][1]}" if refused else "add photographs"
        raise InputError(
            f"{source}: expected a person with {least} usable photographs, found at most"
            f" {max(person.crops for person in people)}",
            hint=first,
        )


def _crop(
    detector: FaceDetector, path: Path, contract: InputContract, choose: str, rotate: int, *, alone: bool
) -> UInt8Array:
    image = turn(read_image(path), rotate)
    faces = detector.detect(image)
    face: Face | None = largest(faces) if choose == "largest" else central(faces, *image.shape[:2])
    refusal = check_upright(detector, image, face, rotate=rotate)
    if refusal is not None:
        # The hint contains the angle to set.
        raise AcquisitionError(refusal.hint, reason=refusal.reason)
    if face is None:
        raise AcquisitionError("no face", reason="no face")
    rival = max((other.area_px for other in faces if other is not face), default=0.0)
    if alone and rival > Limits().max_rival * face.area_px:
        raise AcquisitionError(
            f"another face is {rival / face.area_px:.0%} as large: cut the photograph so that it shows one person",
            reason="several_faces",
        )
    return align(image, face.landmarks, contract)
