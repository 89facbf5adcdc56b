"""Error-versus-discard: how well a quality measure predicts false non-matches (Grother and Tabassi 2007)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import IntArray, check_vectors, listed_scores, subject_codes
from converters.evaluate.metrics.evidence import Evidence
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray


@dataclass(frozen=True)
class DiscardPoint(Evidence):
    """FNMR after the worst samples are discarded.

    Attributes:
        measure: Name of the quality measure.
        discarded: Share of discarded samples.
        mated_trials: Number of remaining mated comparisons.
        missed: Number of remaining mated comparisons with a score below the threshold.
        fnmr: missed / mated_trials.
        by_chance: FNMR if the same number of samples is discarded at random: 5th, 50th and 95th percentile of 1,000
            draws.
    """

    measure: str
    discarded: float
    mated_trials: int
    missed: int
    fnmr: float
    by_chance: tuple[float, float, float]


def discard(
    vectors: FloatArray,
    subjects: tuple[str, ...],
    badness: Float64Array,
    *,
    measure: str,
    share: float,
    threshold: float,
    draws: int = 1000,
) -> DiscardPoint:
    """Discard the worst samples and count the false non-matches of the remaining samples at a fixed threshold.

    Args:
        vectors: Shape (n, D), float32, unit norm.
        subjects: One label per sample.
        badness: Shape (n,), finite; higher is worse, equal values keep their order.
        measure: Name of the quality measure.
        share: Share of the samples to discard, 0 <= share < 1; at least one mated comparison must remain.
        threshold: A comparison is a match if its score is >= the threshold.
        draws: Number of random discards for comparison.

    Raises:
        InputError: The lengths differ, a value is not finite, the share is outside its range, or no mated comparison
            remains.
    """
    vectors = check_vectors(vectors)
    count = len(vectors)
    if badness.shape != (count,) or not np.isfinite(badness).all():
        raise InputError(f"expected {count} finite values of {measure}, found shape {badness.shape}")
    if not 0 <= share < 1:
        raise InputError(f"expected a share of 0 or more and under 1, found {share!r}")
    first, second = _mated(subject_codes(subjects, count))
    missed = listed_scores(vectors, first, second) < threshold
    discarded = round(share * count)
    refused = np.zeros(count, np.bool_)
    refused[np.argsort(-badness, kind="stable")[:discarded]] = True
    kept = ~refused[first] & ~refused[second]
    if not kept.any():
        raise InputError("expected mated comparisons among the remaining samples, found none")
    random = np.random.default_rng(0)
    chance = np.empty(draws)
    for draw in range(draws):
        dropped = np.zeros(count, np.bool_)
        dropped[random.choice(count, discarded, replace=False)] = True
        rest = ~dropped[first] & ~dropped[second]
        chance[draw] = missed[rest].mean() if rest.any() else 0.0
    low, middle, high = (float(q) for q in np.quantile(chance, [0.05, 0.5, 0.95]))
    return DiscardPoint(
        measure,
        share,
        int(kept.sum()),
        int(missed[kept].sum()),
        float(missed[kept].mean()),
        (low, middle, high),
    )


def _mated(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows of every mated comparison, each once."""
    first, second = [], []
    for code in np.flatnonzero(np.bincount(codes) > 1):
        rows = np.flatnonzero(codes == code)
        i, j = np.triu_indices(len(rows), 1)
        first.append(rows[i])
        second.append(rows[j])
    if not first:
        raise InputError("expected subjects with two samples or more, found none")
    return np.concatenate(first).astype(np.int64), np.concatenate(second).astype(np.int64)
