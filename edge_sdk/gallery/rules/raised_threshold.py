"""Check that a raised threshold still accepts the gallery's own subjects, from the stored templates; pure.

A camera out of focus makes all captures alike, so the threshold is raised until nobody reaches it. Two templates of one
subject are two captures of one person by this camera: they show it before anybody stands at the door.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.errors import GalleryError

#: Highest cosine. Only an exact copy of a stored template reaches it, so no new capture does.
CAP = 1.0
#: What to do about a raised threshold that is too high.
TOO_HIGH_ADVICE = (
    "improve the light, the focus and the distance, and enrol again, or measure the model with images of this camera"
    " (edge-convert evaluate --write-card)"
)


@dataclass(frozen=True)
class RaisedThreshold:
    """A threshold that a gallery raised, and how many of its subjects still match themselves at it.

    Attributes:
        card_threshold: The threshold that the card states, a cosine.
        threshold: The raised threshold, a cosine.
        compared: Subjects with two or more different templates, of the sample of `OwnScores`; others show nothing.
        matching: Those of them with two different templates that match each other at `threshold`.
    """

    card_threshold: float
    threshold: float
    compared: int
    matching: int

    @property
    def too_high(self) -> bool:
        """True if `threshold` is 1, or if fewer than half of the compared subjects match themselves."""
        return self.threshold >= CAP or 2 * self.matching < self.compared

    def require_acceptance(self) -> None:
        """Refuse a threshold that is too high.

        Raises:
            GalleryError: the threshold is 1, or fewer than half of the compared subjects match themselves.
        """
        if not self.too_high:
            return
        if self.threshold >= CAP:
            message = (
                f"expected a raised threshold below 1, found 1 (raised from {self.card_threshold:.4f}), which no new"
                " capture reaches"
            )
        else:
            message = (
                f"expected a raised threshold at which at least {(self.compared + 1) // 2} of {self.compared} subjects"
                f" match another template of their own, found {self.threshold:.4f} (raised from"
                f" {self.card_threshold:.4f}), at which {self.matching} do"
            )
        raise GalleryError(message, hint=f"{TOO_HIGH_ADVICE}; the gallery was not changed")
