"""Networks of a recognizer, opened from files and compared with those that the gallery pins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_sdk.errors import InputError
from edge_sdk.gallery import Gallery
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.liveness import MiniFasNet, PresentationAttackDetector


def open_detector(
    path: str | Path,
    gallery: Gallery,
    *,
    smallest_face_px: float | None = None,
    threads: int | None = None,
) -> Detector:
    """Open a detector's file; if the gallery pins a detector, compare the file's digest before it is parsed.

    Raises:
        ModelError: The file cannot be used, or is not the pinned one.
    """
    networks = gallery.networks
    digest = None if networks is None else networks.detector
    return Detector.open(path, sha256=digest, smallest_face_px=smallest_face_px, threads=threads)


def open_liveness(paths: Sequence[str | Path], gallery: Gallery, *, threads: int | None = None) -> MiniFasNet:
    """Open files of liveness networks; if the gallery pins some, compare the digests before a file is parsed.

    Raises:
        ModelError: A file cannot be used, or the files are not the pinned ones.
    """
    networks = gallery.networks
    digests = None if networks is None or not networks.liveness else networks.liveness
    return MiniFasNet.open(*paths, sha256=digests, threads=threads)


def use_detector(
    detector: str | Path | FaceDetector,
    gallery: Gallery,
    smallest_face_px: float | None,
    threads: int | None,
) -> FaceDetector:
    """Open a detector's file, or return a detector that is an object already.

    Raises:
        InputError: `smallest_face_px` is given with an object.
        ModelError: The file cannot be used, or is not the pinned one.
    """
    if isinstance(detector, str | Path):
        return open_detector(detector, gallery, smallest_face_px=smallest_face_px, threads=threads)
    if smallest_face_px is not None:
        raise InputError(
            "expected a detector's file with smallest_face_px, found an object",
            hint="give the smallest face when you create the detector",
        )
    return detector


def use_liveness(
    pad: str | Path | Sequence[str | Path] | PresentationAttackDetector | None,
    gallery: Gallery,
    threads: int | None,
) -> PresentationAttackDetector | None:
    """Open files of liveness networks, or return a presentation attack detector that is an object already, or None.

    Raises:
        ModelError: A file cannot be used, or the files are not the pinned ones.
    """
    if isinstance(pad, str | Path):
        return open_liveness([pad], gallery, threads=threads)
    if isinstance(pad, Sequence):
        return open_liveness(pad, gallery, threads=threads)
    return pad
