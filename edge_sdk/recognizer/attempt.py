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
        frames: Number of samples of a complete attempt.

    Raises:
        InputError: There is neither a threshold nor a decision policy.
        GalleryError: The gallery cannot be read, or the attempt could not be counted.
    """

    def __init__(
        self, gallery: Gallery, subject: str | None, threshold: float | None, *, frames: int = 1
    ) -> None:
        self._open = gallery.begin_attempt(subject, threshold=threshold)
        self._frames = frames

    def accept_early(self, samples: list[AlignedSample]) -> Recognition | None:
        """Accept if each sample by itself would be accepted as the same subject, and further ones cannot make them an attack.

        Returns:
            The accepted answer; None if the attempt stays open, which has no second early chance.
        """
        if not bona_fide(samples, self._frames):
            return None
        answer = self._open.accept_if_agreed([sample.embedding for sample in samples])
        return None if answer is None else answer_of(answer, samples[-1].face)

    def finish(self, samples: list[AlignedSample]) -> Recognition:
        """End the attempt with the answer to the mean direction of all samples."""
        if not bona_fide(samples, self._frames):
            return attack(self._open.reject(), samples[-1].face)
        return answer_of(self._open.finish(mean_direction(samples)), samples[-1].face)

    def abandon(self) -> None:
        """End the attempt as failed, without an answer to the person; do nothing if it has ended."""
        if self._open.is_open:
            self._open.reject()
