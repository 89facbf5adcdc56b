"""One counted attempt of a person in front of a camera, whose evidence grows from frame to frame."""

from __future__ import annotations

from edge_sdk.gallery import Gallery
from edge_sdk.recognizer.answers import answer_of, attack
from edge_sdk.recognizer.results import Recognition
from edge_sdk.recognizer.sampling import AlignedSample
from edge_sdk.recognizer.track import bona_fide, mean_direction


class Attempt:
    """One attempt with the samples of one person; it is counted before the first comparison.

    Args:
        gallery: The gallery.
        subject: Claimed name; None to search all subjects.
        threshold: Cosine threshold; None for the policy's.

    Raises:
        InputError: There is neither a threshold nor a decision policy.
        GalleryError: The gallery cannot be read, or the attempt could not be counted.
    """

    def __init__(self, gallery: Gallery, subject: str | None, threshold: float | None) -> None:
        self._open = gallery.begin_attempt(subject, threshold=threshold)

    def accept_early(self, samples: list[AlignedSample]) -> Recognition | None:
        """Accept if each sample by itself is bona fide and would be accepted, all as the same subject; None otherwise."""
        if not all(bona_fide([sample]) for sample in samples):
            return None
        answer = self._open.accept_if_agreed([sample.embedding for sample in samples])
        return None if answer is None else answer_of(answer, samples[-1].face)

    def finish(self, samples: list[AlignedSample]) -> Recognition:
        """End the attempt with the answer to the mean direction of all samples."""
        if not bona_fide(samples):
            return attack(self._open.reject(), samples[-1].face)
        return answer_of(self._open.finish(mean_direction(samples)), samples[-1].face)

    def reject(self) -> None:
        """End the attempt as failed, without an answer to the person."""
        self._open.reject()
