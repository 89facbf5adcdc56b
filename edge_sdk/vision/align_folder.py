"""Cut aligned crops out of a folder of photographs, for calibration and evaluation."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.extras import install_command
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.alignment import align
from edge_sdk.vision.faces import Face, FaceDetector, central, largest
from edge_sdk.vision.images import SUFFIXES, read_image
from edge_sdk.vision.orientation import check_rotation, turn
from edge_sdk.vision.upright import check_upright

#: Ways to choose the face of a photograph that shows several.
CHOICES = ("central", "largest")


@dataclass(frozen=True)
class AlignedFolder:
    """Result of aligning a folder.

    Args:
        written: Paths of the crops, relative to the output folder, with forward slashes.
        refused: Relative path of each photograph without a crop, and the reason.
    """

    written: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def align_folder(
    detector: FaceDetector,
    photographs: str | Path,
    output: str | Path,
    contract: InputContract,
    *,
    choose: str = "central",
    rotate: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AlignedFolder:
    """Align the face of every photograph of a folder and write the crops as PNG files in the same subfolders.

    Hidden files and other kinds of files are ignored. A photograph that is not upright is refused, as at an enrolment. The output folder appears when all photographs are done, or not at
    all.

    Args:
        detector: Detector of the faces.
        photographs: Folder of JPEG, PNG and PPM files, such as one subfolder per person.
        output: Folder for the crops; it must not exist, or be empty.
        contract: Size and landmark template of the crops.
        choose: ``central`` or ``largest``: the face to take if a photograph shows several.
        rotate: Clockwise turn of every photograph in degrees: 0, 90, 180 or 270; after the rotation of its EXIF data.
        progress: Called with (done, total) photographs.

    Raises:
        InputError: The folder has no photograph, no photograph shows an upright face, the output folder is not empty or
            cannot be written, an unknown choice or rotation, or Pillow is not installed.
    """
    source, target = Path(photographs), Path(output)
    if choose not in CHOICES:
        raise InputError(f"expected a choice of {' or '.join(CHOICES)}, found {choose!r}")
    check_rotation(rotate)
    names = _photographs(source)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: expected a new or empty folder, found other files there")
    written: list[str] = []
    refused: list[tuple[str, str]] = []
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".align-", dir=target.absolute().parent))
        try:
            for position, name in enumerate(names):
                try:
                    crop = _crop(detector, source / name, contract, choose, rotate)
                except (AcquisitionError, InputError) as error:
                    refused.append((name, str(error).removeprefix(f"{source / name}: ")))
                else:
                    written.append(_write(folder, name, crop))
                if progress is not None:
                    progress(position + 1, len(names))
            if not written:
                name, reason = refused[0]
                raise InputError(
                    f"{source}: expected photographs of upright faces, found none; {name}: {reason}"
                )
            folder.chmod(0o777 & ~_umask())
            if target.exists():
                target.rmdir()
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    return AlignedFolder(tuple(written), tuple(refused))


def _photographs(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of photographs, found none")
    names = sorted(_image_names(folder))
    if not names:
        raise InputError(f"{folder}: expected photographs ({', '.join(SUFFIXES)}), found none")
    return names


def _image_names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield name.as_posix()


def _crop(
    detector: FaceDetector, path: Path, contract: InputContract, choose: str, rotate: int
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
    return align(image, face.landmarks, contract)


def _write(folder: Path, name: str, crop: UInt8Array) -> str:
    try:
        from PIL import Image
    except ImportError as error:  # pragma: no cover  read_image has imported it
        raise InputError("writing image files needs Pillow", hint=install_command("images")) from error
    path = folder / name
    path = path.with_suffix(".png")
    if path.exists():  # a.jpg and a.png
        path = path.with_name(f"{Path(name).name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop).save(path)
    return path.relative_to(folder).as_posix()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
