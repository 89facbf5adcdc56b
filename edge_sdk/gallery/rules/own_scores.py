"""Scores of a gallery's subjects with each other, from the stored templates; pure.

Different subjects give non-mated scores of this camera and these people. A pair of subjects counts once, however many
templates they have. The work is bounded: at most 128 subjects with at most 4 templates each are compared, chosen by
their places in the gallery, so that every reader of the file compares the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.format.content import Content
from edge_sdk.types import Float64Array

MAX_SUBJECTS = 128
MAX_TEMPLATES = 4
#: A pair is set aside if its mean score is this many median absolute deviations above the median. For normally
#: distributed scores that is 5 standard deviations.
SET_ASIDE_DEVIATIONS = 7.413
# Scores of equal templates are 1 up to the rounding of their stored lengths, which are float32.
_SAME_TEMPLATE = 1e-6


@dataclass(frozen=True)
class ScoreMoments:
    """Mean and standard deviation of the non-mated scores; each pair of subjects weighs alike.

    Attributes:
        mean: A cosine.
        sd: Standard deviation, 0 or more.
        set_aside: Number of pairs that were left out because they are far more alike than all others: one person
            under two names, or close relatives.
    """

    mean: float
    sd: float
    set_aside: int


class OwnScores:
    """Scores of all pairs of a gallery's subjects, of a fixed sample of them in a large gallery.

    Args:
        content: The gallery's content.

    Attributes:
        subjects: Number of subjects compared, S.
        pairs: Number of pairs of subjects, S (S - 1) / 2.
    """

    def __init__(self, content: Content) -> None:
        rows, places = _sample(content)
        self.subjects = int(places[-1]) + 1 if len(places) else 0
        self.pairs = self.subjects * (self.subjects - 1) // 2
        # Products of stored numbers are exact in float64, in any order, so every reader computes the same scores.
        stored = content.matrix[rows].astype(np.float64)
        scales = content.scales[rows].astype(np.float64)
        self._scores: Float64Array = (stored @ stored.T) * scales[:, np.newaxis] * scales
        self._places = places
        self._weights = np.zeros((self.subjects, len(rows)))
        self._weights[places, np.arange(len(rows))] = 1 / np.bincount(places)[places] if len(rows) else 0
        self._upper = np.triu_indices(self.subjects, 1)

    def moments(self) -> ScoreMoments:
        """Compute mean and standard deviation of the scores without pairs that cannot be two different people.

        A pair of mean score s is set aside if s > m + 7.413 d, with the median m and the median absolute deviation d of
        the pairs' mean scores.

        Returns:
            The moments; the mean and sd are 0 if there is no pair.
        """
        if not self.pairs:
            return ScoreMoments(0.0, 0.0, 0)
        means = self._per_pair(self._scores)[self._upper]
        middle = np.median(means)
        kept = means <= middle + SET_ASIDE_DEVIATIONS * np.median(np.abs(means - middle))
        mean = float(means[kept].mean())
        square = float(self._per_pair(self._scores**2)[self._upper][kept].mean())
        return ScoreMoments(mean, max(0.0, square - mean**2) ** 0.5, int(np.count_nonzero(~kept)))

    def matches(self, threshold: float) -> tuple[float, float]:
        """Count the pairs that match at a threshold; a pair counts with the share of its comparisons that match.

        Pairs that share a subject are correlated (Aronow, Samii and Assenova 2015), so the number of matches varies more
        than that of independent pairs.

        Args:
            threshold: A cosine; a comparison matches at or above it.

        Returns:
            Number of matching pairs, 0 to `pairs`; and its variance divided by that of as many independent pairs, 1 or
            more.
        """
        shares = self._per_pair((self._scores >= threshold).astype(np.float64))
        matches = float(shares[self._upper].sum())
        share = matches / self.pairs if self.pairs else 0.0
        if not 0 < share < 1:
            return matches, 1.0
        residuals = shares - share
        np.fill_diagonal(residuals, 0.0)
        variance = float((residuals.sum(axis=1) ** 2).sum() - (residuals**2).sum() / 2)
        return matches, max(1.0, variance / (self.pairs * share * (1 - share)))

    def own_matches(self, threshold: float) -> tuple[int, int]:
        """Count the subjects of whom two different templates match each other.

        Equal templates are the same capture, stored twice: they do not count as two.

        Args:
            threshold: A cosine; a comparison matches at or above it.

        Returns:
            Number of subjects with two or more different templates, and number of those who match.
        """
        different = (self._places[:, np.newaxis] == self._places) & (self._scores < 1 - _SAME_TEMPLATE)
        best = np.full(self.subjects, -np.inf)
        np.maximum.at(
            best, self._places, np.where(different, self._scores, -np.inf).max(axis=1, initial=-np.inf)
        )
        return int(np.count_nonzero(best > -np.inf)), int(np.count_nonzero(best >= threshold))

    def _per_pair(self, values: Float64Array) -> Float64Array:
        """Return the mean of the values of each pair of subjects, shape (S, S)."""
        means: Float64Array = self._weights @ values @ self._weights.T
        return means


def _sample(content: Content) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the sample, and for each the place of its subject in the sample, both ascending."""
    count = len(content.subjects)
    sampled = min(count, MAX_SUBJECTS)
    chosen = np.arange(sampled) * count // max(1, sampled)
    place = np.full(count, -1, np.intp)
    place[chosen] = np.arange(sampled)
    places = place[content.templates["subject"].astype(np.intp)]
    rows = np.flatnonzero(places >= 0)
    rows = rows[np.argsort(places[rows], kind="stable")]
    places = places[rows]
    first = np.searchsorted(places, places)
    rows = rows[np.arange(len(rows)) - first < MAX_TEMPLATES]
    return rows, place[content.templates["subject"][rows].astype(np.intp)]
