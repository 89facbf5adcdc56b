"""Tracking of one person from frame to frame, without I/O."""

from __future__ import annotations

import math

import numpy as np

from edge_sdk.recognizer.sampling import AlignedSample
from edge_sdk.types import FloatArray
from edge_sdk.vision.candidates import overlap
from edge_sdk.vision.faces import Face

#: Lowest intersection over union of one face's boxes in consecutive frames; below it, the face counts as another.
MIN_OVERLAP = 0.3
#: After more frames than this without the face, the next face counts as another person.
MAX_MISSED = 3


class Track:
    """Samples of the face that is being tracked.

    Args:
        same_person_cosine: Lowest cosine of two frames of one person. Below it, the face has changed, for example
            because a person now holds up a photograph, and the earlier samples are dropped.

    Attributes:
        samples: Samples of the tracked face.
        answered: True after an accepted attempt; no further attempt is needed.
        unchecked: Number of samples of the track since its picture was found upright; infinite before that.
    """

    def __init__(self, same_person_cosine: float) -> None:
        self._same_person_cosine = same_person_cosine
        self._face: Face | None = None
        self._missed = 0
        self._last: FloatArray | None = None
        self.samples: list[AlignedSample] = []
        self.answered = False
        self.unchecked = math.inf

    @property
    def face(self) -> Face | None:
        """The face that is tracked; None if there is none."""
        return self._face

    def follow(self, face: Face | None) -> None:
        """Update the track with the face of a new frame, or None; restart if it is another face."""
        if face is None:
            self._missed += 1
            if self._missed > MAX_MISSED:
                self._begin(None)
        elif self._face is None or overlap(np.array(self._face.box), np.array([face.box]))[0] < MIN_OVERLAP:
            self._begin(face)
        else:
            self._face, self._missed = face, 0

    def add(self, sample: AlignedSample) -> None:
        """Add the sample of a new frame."""
        self.follow(sample.face)
        before = [kept.embedding for kept in self.samples]
        if self._last is not None and not before:
            before = [self._last]  # sample of an earlier attempt
        if any(float(embedding @ sample.embedding) < self._same_person_cosine for embedding in before):
            self._begin(sample.face)
        self.samples.append(sample)
        self.unchecked += 1
        self._last = sample.embedding

    def _begin(self, face: Face | None) -> None:
        self._face, self._missed, self._last = face, 0, None
        self.samples = []
        self.answered = False
        self.unchecked = math.inf


def mean_direction(samples: list[AlignedSample]) -> FloatArray:
    """Compute the normalized mean of the samples' embeddings, shape (D,), float32: the probe of an attempt."""
    mean = np.mean([sample.embedding for sample in samples], axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def bona_fide(samples: list[AlignedSample], frames: int) -> bool:
    """Check for a bona fide presentation: compare the mean of the scores with the highest threshold.

    Args:
        samples: Samples of one attempt.
        frames: Number of frames of a complete attempt. Each missing frame counts as a score of 0, so that an attempt
            with fewer frames is never accepted if the complete one could be refused.
    """
    judged = [sample.presentation for sample in samples if sample.presentation is not None]
    return not judged or sum(p.score for p in judged) >= frames * max(p.threshold for p in judged)
