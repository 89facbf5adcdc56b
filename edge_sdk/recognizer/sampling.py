"""From a frame to a sample: detect, judge, check for life, align, embed. Joins the stages; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.errors import AcquisitionError
from edge_sdk.perception.alignment import align
from edge_sdk.perception.embedder import Embedder
from edge_sdk.perception.faces import Face, FaceDetector, largest
from edge_sdk.perception.liveness import Presentation, PresentationAttackDetector
from edge_sdk.perception.quality import Limits, Refusal, assess, refusals
from edge_sdk.types import FloatArray, UInt8Array

_NO_FACE = Refusal("no_face", "expected a face in the frame, found none", "stand before the camera")


@dataclass(frozen=True, eq=False)
class Sample:
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
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        *,
        pad: PresentationAttackDetector | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._pad = pad
        self._limits = limits or Limits()

    def take(self, frame: UInt8Array) -> Sample | Refused:
        """Take a sample.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: Not a frame.
        """
        faces = self._detector.detect(frame)
        face = largest(faces)
        if face is None:
            return Refused(None, _NO_FACE)
        try:
            found = refusals(assess(frame, face, others=faces), self._limits)
            if found:
                return Refused(face, found[0])
            crop = align(frame, face.landmarks, self._embedder.card.input)
        except AcquisitionError as error:
            return Refused(face, Refusal(error.reason, str(error), error.hint or "look at the camera"))
        presentation = None if self._pad is None else self._pad.assess(frame, face)
        return Sample(face, self._embedder.embed(crop), presentation)
