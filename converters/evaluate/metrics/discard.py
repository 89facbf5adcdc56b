"""Whether a quality measure knows which samples will not match: error against discard (Grother and Tabassi 2007)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import IntArray, check_vectors, listed_scores, subject_codes
from converters.evaluate.metrics.evidence import Evidence
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray


@dataclass(frozen=True)
class DiscardPoint(Evidence):
    """FNMR after the worst samples are refused.

    Attributes:
        measure: What they were ordered by.
        discarded: Share of the samples that are refused.
        mated_trials: Mated comparisons that are left.
        missed: How many of them are under the threshold.
        fnmr: Their share.
        by_chance: FNMR where as many samples are refused at random: 5th, 50th and 95th percentile of 1,000
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
    """Refuse the worst samples and count the misses among the mated comparisons of the others.

    The threshold stays: what is refused changes who is compared, not what counts as a match.

    Args:
        vectors: Shape (n, D), float32, unit norm.
        subjects: Of each.
        badness: Shape (n,): higher is worse; equal values keep their order.
        measure: What it is called.
        share: Of the samples to refuse, 0..1; at least one mated comparison must be left.
        threshold: From where on a comparison is a match.
        draws: Random refusals to hold it against.

    Raises:
        InputError: Lengths that differ, NaN, a share outside 0..1, or nothing left to compare.
    """
    vectors = check_vectors(vectors)
    count = len(vectors)
    if badness.shape != (count,) or not np.isfinite(badness).all():
        raise InputError(f"expected {count} finite values of {measure}, found shape {badness.shape}")
    if not 0 <= share < 1:
        raise InputError(f"expected a share of 0 or more and under 1, found {share!r}")
    first, second = _mated(subject_codes(subjects, count))
    missed = listed_scores(vectors, first, second) < threshold
    gone = round(share * count)
    refused = np.zeros(count, np.bool_)
    refused[np.argsort(-badness, kind="stable")[:gone]] = True
    kept = ~refused[first] & ~refused[second]
    if not kept.any():
        raise InputError("expected mated comparisons among the samples that are left, found none")
    random = np.random.default_rng(0)
    chance = np.empty(draws)
    for draw in range(draws):
        some = np.zeros(count, np.bool_)
        some[random.choice(count, gone, replace=False)] = True
        left = ~some[first] & ~some[second]
        chance[draw] = missed[left].mean() if left.any() else 0.0
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
    """Rows of every mated comparison, each once."""
    first, second = [], []
    for code in np.flatnonzero(np.bincount(codes) > 1):
        rows = np.flatnonzero(codes == code)
        i, j = np.triu_indices(len(rows), 1)
        first.append(rows[i])
        second.append(rows[j])
    if not first:
        raise InputError("expected subjects with two samples or more, found none")
    return np.concatenate(first).astype(np.int64), np.concatenate(second).astype(np.int64)
