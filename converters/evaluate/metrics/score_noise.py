"""Noise of scores: how much a changed network changes the scores of pairs of images, and how far scores lie apart.

A threshold acts on scores, so the noise of scores is what int8 costs. It is read relative to the spread of the scores of
different images: a change of 0.01 is little if scores of different images differ by 0.1, and destroys scores that differ by
0.01.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any

import numpy as np

from converters.evaluate.metrics.cosines import IntArray, check_vectors, on_grid, subject_codes
from converters.evaluate.metrics.evidence import Evidence
from converters.evaluate.metrics.fidelity import TAIL_SHARE
from converters.evaluate.metrics.quantiles import student_quantile
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

#: Largest number of images; of more images, an even choice is compared.
MOST_IMAGES = 1500
#: Share of the highest scores that is called the tail.
_CONFIDENCE = 0.95
# Rounding of float32 alone gives scores of equal embeddings this spread.
_LEAST_SPREAD = 1e-8


@dataclass(frozen=True)
class ScoreNoise(Evidence):
    """Changes of the scores of pairs of different images.

    Attributes:
        sd: Standard deviation of the change of a score.
        sd_limit: Upper 95 % limit of `sd` for other images, from a jackknife over images; None with fewer than 4 images.
        mean_shift: Mean change of a score; positive if embeddings move toward a common direction.
        tail_shift: Change of the score that 0.1 % of the pairs exceed; None with fewer than 3,000 pairs.
        pairs: Number of pairs.
        images: Number of images.
        mean: Mean score of the reference network.
        spread: Standard deviation of the scores of the reference network.
    """

    sd: float
    sd_limit: float | None
    mean_shift: float
    tail_shift: float | None
    pairs: int
    images: int
    mean: float
    spread: float

    @classmethod
    def of_figures(cls, figures: Mapping[str, Any] | None) -> ScoreNoise | None:
        """Read the figures of a card; None if it has none."""
        names = {field.name for field in fields(cls)}
        if not figures or not names - {"sd_limit", "tail_shift"} <= set(figures):
            return None
        values = {"sd_limit": None, "tail_shift": None, **figures}
        return cls(**{name: values[name] for name in names})

    def figures(self) -> dict[str, float]:
        """Return the figures that can be stated, for a card."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def relative(self) -> float:
        """`sd` as a share of `spread`; huge if the reference gives every pair the same score."""
        return self.sd / max(self.spread, _LEAST_SPREAD)

    @property
    def relative_limit(self) -> float | None:
        """`sd_limit` as a share of `spread`."""
        return None if self.sd_limit is None else self.sd_limit / max(self.spread, _LEAST_SPREAD)


def score_noise(
    reference: FloatArray, changed: FloatArray, *, subjects: Sequence[str] | IntArray | None = None
) -> ScoreNoise:
    """Compare the scores of all pairs of images by two networks.

    Args:
        reference: Shape (n, D), unit rows: embeddings of the float network.
        changed: Embeddings of the same images by the changed network; D may differ.
        subjects: Subject of each image, to leave out pairs of one subject (default: use every pair).

    Raises:
        InputError: The embeddings are invalid (see `check_vectors`), the numbers of images differ, or there are fewer than
            two images or no pair of different subjects.
    """
    before, after = check_vectors(reference), check_vectors(changed)
    count = len(before)
    if len(after) != count or count < 2:
        raise InputError(
            f"expected embeddings of the same images, two or more, found {count} and {len(after)}",
            hint="embed the same images with both networks",
        )
    codes = np.arange(count) if subjects is None else subject_codes(subjects, count)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_IMAGES)).astype(int))
    codes = codes[rows]
    scores, other = (_scores(vectors[rows]) for vectors in (before, after))
    different = codes[:, None] != codes[None, :]
    pairs = int(different.sum()) // 2
    if pairs == 0:
        raise InputError("expected images of different subjects, found one subject", hint="add subjects")
    change = np.where(different, other - scores, 0.0)
    upper = np.triu(different, 1)
    first, second = scores[upper], other[upper]
    mean_shift = float(change.sum() / (2 * pairs))
    sd = float(np.sqrt(np.where(different, (change - mean_shift) ** 2, 0.0).sum() / (2 * pairs)))
    return ScoreNoise(
        sd=sd,
        sd_limit=_upper_limit(sd, change, different, pairs),
        mean_shift=mean_shift,
        tail_shift=_tail(second) - _tail(first) if pairs * TAIL_SHARE >= 3 else None,
        pairs=pairs,
        images=len(rows),
        mean=float(first.mean()),
        spread=float(first.std()),
    )


def _scores(vectors: FloatArray) -> Float64Array:
    """Return the score of every pair, exact, so that the result does not depend on BLAS."""
    grid = on_grid(vectors)
    scores: Float64Array = grid @ grid.T
    return scores


def _tail(scores: Float64Array) -> float:
    rank = scores.size - 1 - int(scores.size * TAIL_SHARE)
    return float(np.partition(scores, rank)[rank])


def _upper_limit(sd: float, change: Float64Array, different: np.ndarray, pairs: int) -> float | None:
    """Return the upper limit of `sd`: a delete-one-image jackknife of the logarithm of the variance (Efron 1981).

    The variance without an image comes from the sums of its row, so that no matrix is built again.
    """
    count = len(change)
    if count < 4:
        return None
    if sd == 0.0:
        return 0.0
    total, squares, number = change.sum() / 2, (change**2).sum() / 2, float(pairs)
    left = np.maximum(number - different.sum(axis=1), 1.0)
    means = (total - change.sum(axis=1)) / left
    variances = np.maximum((squares - (change**2).sum(axis=1)) / left - means**2, 1e-300)
    logs = np.log(variances)
    error = sqrt((count - 1) / count * float(((logs - logs.mean()) ** 2).sum()))
    return float(sd * np.exp(student_quantile(_CONFIDENCE, count - 1) * error / 2))
