"""From a frame to a sample: detect, judge, check for life, align, embed. Joins the stages; decides nothing."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_sdk.errors import AcquisitionError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.alignment import align, template_of
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face, FaceDetector, largest
from edge_sdk.vision.liveness import Presentation, PresentationAttackDetector
from edge_sdk.vision.quality import Limits, Refusal, assess, refusals

#: More than the arrays of a frame of any camera take at one time.
_KEPT_BYTES = 16 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NO_FACE = Refusal("no_face", "expected a face in the frame, found none", "stand before the camera")


@dataclass(frozen=True, eq=False)
class AlignedSample:
    """What one frame gave.

    Attributes:
        face: Whose.
        embedding: Shape (D,), float32, length 1.
        presentation: Whether it is a person; None where nobody looks.
    """

    face: Face
    embedding: FloatArray
    presentation: Presentation | None


@dataclass(frozen=True)
class Refused:
    """Why a frame gave no sample.

    Attributes:
        face: The face that was not good enough; None where there is none.
        refusal: What was wrong, and what a person can do.
    """

    face: Face | None
    refusal: Refusal


class Sampler:
    """Takes samples of the largest face in a frame.

    Args:
        detector: Finds faces.
        embedder: Turns aligned crops into embeddings.
        pad: Judges whether it is a person; nobody does where None.
        limits: From where on a face is not good enough.
        lap: Called with a stage's name when it has ended: detect, align, quality, liveness, embed.
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
        self._measures = _is_measured(embedder.card.input)
        _keep_freed_memory()

    def take(self, frame: UInt8Array) -> AlignedSample | Refused:
        """Take a sample.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: Not a frame.
        """
        faces = self._detector.detect(frame)
        self._lap("detect")
        face = largest(faces)
        if face is None:
            return Refused(None, _NO_FACE)
        try:
            crop = align(frame, face.landmarks, self._embedder.card.input)
            self._lap("align")
            quality = assess(frame, face, others=faces, crop=crop if self._measures else None)
            found = refusals(quality, self._limits)
            self._lap("quality")
            if found:
                return Refused(face, found[0])
        except AcquisitionError as error:
            return Refused(face, Refusal(error.reason, str(error), error.hint or "look at the camera"))
        presentation = None
        if self._pad is not None:
            presentation = self._pad.assess(frame, face)
            self._lap("liveness")
        embedding = self._embedder.embed(crop)
        self._lap("embed")
        return AlignedSample(face, embedding, presentation)


def _keep_freed_memory() -> None:
    """Have glibc keep what a frame frees for the next one.

    It gives free memory at its heap's end back to the kernel from 128 KiB on, and takes large blocks from the kernel
    one by one; each frame would then pay for some 500 page faults. Freeing one large block raises both limits as well,
    but not where the heap has room for it (mallopt(3), M_MMAP_THRESHOLD). Other allocators have no such call.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
            mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def _is_measured(contract: InputContract) -> bool:
    """Whether an embedder's crop is the one that quality is measured on, so that it is cut once."""
    if contract.shape != (112, 112, 3):
        return False
    return bool(np.allclose(template_of(contract), ARCFACE_112, rtol=0, atol=1e-3))
