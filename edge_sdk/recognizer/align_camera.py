"""Cut aligned crops of one person out of the frames of a camera, for calibration and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.cameras.camera import Camera, rotation_of
from edge_sdk.errors import InputError
from edge_sdk.gallery.rules.names import checked_name
from edge_sdk.model.card import InputContract
from edge_sdk.recognizer.posing import pose
from edge_sdk.types import UInt8Array
from edge_sdk.vision.alignment import align
from edge_sdk.vision.crop_folder import CropFolder
from edge_sdk.vision.faces import FaceDetector, largest
from edge_sdk.vision.quality import Limits, Refusal, assess, refusals
from edge_sdk.vision.upright import check_upright

#: Crops of one person.
MOST_CROPS = 10
_NO_FACE = Refusal("no_face", "expected a face in the frame, found none", "stand in front of the camera")


@dataclass(frozen=True)
class AlignedFrames:
    """Result of aligning the frames of a camera.

    Args:
        written: Paths of the crops, relative to the output folder, with forward slashes.
        frames: Number of frames that were examined.
        refused: Advice to the person, and the number of frames that were refused for it.
    """

    written: tuple[str, ...]
    frames: int
    refused: tuple[tuple[str, int], ...]


def align_camera(
    detector: FaceDetector,
    camera: Camera,
    name: str,
    output: str | Path,
    contract: InputContract,
    *,
    most: int = MOST_CROPS,
    seconds: float = math.inf,
    limits: Limits | None = None,
    guide: Callable[[str], object] = lambda _: None,
) -> AlignedFrames:
    """Write aligned crops of one person as PNG files in a new subfolder that has the person's name.

    Args:
        detector: Detector of the faces; the largest face of a frame is taken.
        camera: A camera inside its `with` block.
        name: Name of the person, without ``/``; see `Gallery.enrol`.
        output: Folder with the subfolders of the people; it may exist, the person's subfolder must not.
        contract: Size and landmark template of the crops.
        most: Number of crops, 1 or more.
        seconds: Duration in seconds.
        limits: Quality limits of the frames; `Limits.enrolment` if None.
        guide: Called with the advice to the person whenever it changes.

    Raises:
        InputError: The name or a number is out of range, or the subfolder exists or cannot be written.
        AcquisitionError: The camera delivers no frame or the same frame repeatedly, or no frame was good enough.
    """
    name = checked_folder_name(name)
    if most < 1:
        raise InputError(f"expected 1 crop or more, found {most}")
    limits = limits or Limits.enrolment()
    rotate = rotation_of(camera)

    def take(frame: UInt8Array) -> UInt8Array | Refusal:
        faces = detector.detect(frame)
        face = largest(faces)
        refusal = check_upright(detector, frame, face, rotate=rotate)
        if refusal is not None:
            return refusal
        if face is None:
            return _NO_FACE
        quality = assess(frame, face, others=faces, detail=limits.judge_detail)
        reasons = refusals(quality, limits)
        return reasons[0] if reasons else align(frame, face.landmarks, contract)

    with CropFolder(Path(output) / name) as folder:
        posed = pose(camera, take, most=most, seconds=seconds, guide=guide)
        for number, crop in enumerate(posed.samples, 1):
            folder.write(f"{number:04d}.png", crop)
        folder.finish()
    written = tuple(f"{name}/{number:04d}.png" for number in range(1, len(posed.samples) + 1))
    return AlignedFrames(written, posed.frames, tuple(posed.refused.items()))


def checked_folder_name(name: str) -> str:
    """Return the name of a person, which is also that of a subfolder.

    Raises:
        InputError: The name cannot be enrolled, or is no name of a subfolder.
    """
    name = checked_name(name)
    if "/" in name or "\\" in name or name.startswith("."):
        raise InputError(
            f"expected a name without / and \\ that does not begin with a dot, found {name!r}",
            hint="the name is also that of the person's folder",
        )
    return name
