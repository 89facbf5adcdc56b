"""Stages from a frame to a sample: detection, alignment, quality, liveness, embedding."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.model.array_contract import image_contract
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.alignment import align, template_of
from edge_sdk.vision.detector import MAX_GAIN, Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face, FaceDetector, largest
from edge_sdk.vision.liveness import Presentation, PresentationAttackDetector
from edge_sdk.vision.quality import Limits, Refusal, assess, refusals

#: Memory that glibc keeps, in bytes; more than all arrays of one frame need at a time.
_KEPT_BYTES = 16 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NO_FACE = Refusal("no_face", "expected a face in the frame, found none", "stand in front of the camera")
#: Width of a face in distances between the eyes, about.
_FACE_IN_EYE_DISTANCES = 2.0


@dataclass(frozen=True, eq=False)
class AlignedSample:
    """Sample from one frame.

    Attributes:
        face: Face of the sample.
        crop: The embedder's input, shape (H, W, 3), uint8, RGB.
        embedding: Shape (D,), float32, L2 norm 1.
        presentation: Result of presentation attack detection; None without a detector.
    """

    face: Face
    crop: UInt8Array
    embedding: FloatArray
    presentation: Presentation | None


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face that is good enough for a sample, before liveness and embedding are computed.

    Attributes:
        frame: The frame, shape (H, W, 3), uint8, RGB.
        face: Largest face of the frame.
        crop: The embedder's input, shape (H, W, 3), uint8, RGB.
    """

    frame: UInt8Array
    face: Face
    crop: UInt8Array


@dataclass(frozen=True)
class NoSample:
    """Failure to acquire a sample from a frame.

    Attributes:
        face: The face that was not good enough; None if the frame shows no face.
        refusal: Reason, and what the person can do.
        further: Further reasons of the same frame.
    """

    face: Face | None
    refusal: Refusal
    further: tuple[Refusal, ...] = ()

    @property
    def reasons(self) -> frozenset[str]:
        """Identifiers of all reasons, such as ``too_far``."""
        return frozenset(refusal.reason for refusal in (self.refusal, *self.further))

    @property
    def hints(self) -> tuple[str, ...]:
        """Instructions for the person, for all reasons, without repetition."""
        return tuple(dict.fromkeys(refusal.hint for refusal in (self.refusal, *self.further)))


class Sampler:
    """Takes samples of the largest face in a frame.

    Args:
        detector: Finds faces.
        embedder: Turns aligned crops into embeddings.
        pad: Presentation attack detector; None skips this stage.
        limits: Quality limits beyond which a face is not used; the defaults of `Limits` if None.
        lap: Called with a stage's name at its end: detect, align, quality, liveness, embed.
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        *,
        pad: PresentationAttackDetector | None = None,
        limits: Limits | None = None,
        lap: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._pad = pad
        self._limits = limits or Limits()
        self._lap = lap
        self._contract = image_contract(embedder.card.input)
        self._measures_crop = _is_quality_crop(self._contract)
        _keep_freed_memory()

    def take(self, frame: UInt8Array, *, limits: Limits | None = None) -> AlignedSample | NoSample:
        """Acquire a sample.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.
            limits: Quality limits for this frame, for example those of enrolment; the sampler's own if None.

        Raises:
            InputError: The frame is malformed.
        """
        candidate = self.find(frame, limits=limits)
        return candidate if isinstance(candidate, NoSample) else self.describe(candidate)

    def find(
        self, frame: UInt8Array, *, limits: Limits | None = None, near: Face | None = None
    ) -> FoundFace | NoSample:
        """Find the largest face of a frame and check its quality: the part of `take` that uses the detector.

        Args:
            frame: See `take`.
            limits: See `take`.
            near: Face of the frame before, to which a detector with tiles may limit its search; see `Detector.detect`.

        Raises:
            InputError: The frame is malformed.
        """
        if isinstance(self._detector, Detector):
            faces = self._detector.detect(frame, near=near)
        else:
            faces = self._detector.detect(frame)
        self._lap("detect")
        face = largest(faces)
        if face is None:
            return NoSample(None, self._no_face(frame))
        try:
            crop = align(frame, face.landmarks, self._contract)
            self._lap("align")
            limits = limits or self._limits
            quality = assess(
                frame,
                face,
                others=faces,
                crop=crop if self._measures_crop else None,
                detail=limits.judge_detail,
            )
            reasons = refusals(quality, limits)
            self._lap("quality")
            if reasons:
                return NoSample(face, reasons[0], reasons[1:])
        except AcquisitionError as error:
            return NoSample(face, Refusal(error.reason, str(error), error.hint or "look at the camera"))
        return FoundFace(frame, face, crop)

    def describe(self, candidate: FoundFace) -> AlignedSample:
        """Judge liveness and compute the embedding: the part of `take` that uses the other networks.

        It may run in another thread than `find`, and only one call may run at a time.
        """
        presentation = None
        if self._pad is not None:
            presentation = self._pad.assess(candidate.frame, candidate.face)
            self._lap("liveness")
        embedding = self._embedder.embed(candidate.crop)
        self._lap("embed")
        return AlignedSample(candidate.face, candidate.crop, embedding, presentation)

    def _no_face(self, frame: UInt8Array) -> Refusal:
        """Create the refusal of a frame without a face; say so if a face of sufficient size may have been too small."""
        if not isinstance(self._detector, Detector):
            return _NO_FACE
        rows, columns = frame.shape[:2]
        smallest = self._detector.smallest_width_px(rows, columns)
        needed_px = _FACE_IN_EYE_DISTANCES * self._limits.min_eye_distance_px
        if smallest <= needed_px:
            return _NO_FACE
        needed_px = max(needed_px, math.ceil(smallest / MAX_GAIN))
        return replace(
            _NO_FACE,
            hint=f"{_NO_FACE.hint}; faces narrower than {smallest:.0f} px are not found in a picture of {columns}x{rows}:"
            f" come closer, or set smallest_face_px={needed_px:g} or --smallest-face {needed_px:g}",
        )


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next frame.

    By default glibc returns free memory at the end of its heap to the kernel above 128 KiB, and maps each large block
    separately. Each frame would then cause about 500 page faults. This call raises both limits (see mallopt(3),
    M_TRIM_THRESHOLD and M_MMAP_THRESHOLD). Other allocators have no such call.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
            mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def _is_quality_crop(contract: InputContract) -> bool:
    """Check if quality can be measured on the embedder's own crop, so that only one crop is needed."""
    if contract.shape != (112, 112, 3):
        return False
    return bool(np.allclose(template_of(contract), ARCFACE_112, rtol=0, atol=1e-3))
