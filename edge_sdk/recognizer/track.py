"""One person before the camera, followed from frame to frame; pure."""

from __future__ import annotations

import numpy as np

from edge_sdk.recognizer.sampling import AlignedSample
from edge_sdk.types import FloatArray
from edge_sdk.vision.candidates import overlap
from edge_sdk.vision.faces import Face

#: Boxes of one face in frames that follow each other overlap more than this (intersection over union).
MIN_OVERLAP = 0.3
#: So many frames without the face, and whoever comes next is somebody else.
MAX_MISSED = 3


class Track:
    """What was seen of one face so far.

    Args:
        alike: Cosine that two frames of one person reach with one another. Below it the face has changed, as
            when a photograph is pushed before another person: what was gathered is dropped.

    Attributes:
        samples: Of the face that is followed now.
        answered: Whether it was let in already, and need not be asked about again.
    """

    def __init__(self, alike: float) -> None:
        self._alike = alike
        self._face: Face | None = None
        self._missed = 0
        self._last: FloatArray | None = None
        self.samples: list[AlignedSample] = []
        self.answered = False

    def follow(self, face: Face | None) -> None:
        """Go on with the face of a new frame, None for a frame without; begin anew where it is another."""
        if face is None:
            self._missed += 1
            if self._missed > MAX_MISSED:
                self._begin(None)
        elif self._face is None or _overlap(self._face, face) < MIN_OVERLAP:
            self._begin(face)
        else:
            self._face, self._missed = face, 0

    def gather(self, sample: AlignedSample) -> None:
        """Keep the sample of a new frame."""
        self.follow(sample.face)
        before = [kept.embedding for kept in self.samples]
        if self._last is not None and not before:
            before = [self._last]  # who was asked about already
        if any(float(embedding @ sample.embedding) < self._alike for embedding in before):
            self._begin(sample.face)
        self.samples.append(sample)
        self._last = sample.embedding

    def _begin(self, face: Face | None) -> None:
        self._face, self._missed, self._last = face, 0, None
        self.samples = []
        self.answered = False


def mean_direction(samples: list[AlignedSample]) -> FloatArray:
    """The samples' common embedding, shape (D,), float32, length 1: one try's probe."""
    mean = np.mean([sample.embedding for sample in samples], axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def bona_fide(samples: list[AlignedSample]) -> bool:
    """Whether it is a person, by the mean over all frames that were judged."""
    judged = [sample.presentation for sample in samples if sample.presentation is not None]
    return not judged or float(np.mean([p.score for p in judged])) >= max(p.threshold for p in judged)


def _overlap(one: Face, other: Face) -> float:
    return float(overlap(np.array(one.box), np.array([other.box]))[0])
