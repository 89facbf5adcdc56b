"""Pairs that an evaluation shows: the least alike of one subject, and the most alike of different subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import BoolArray, IntArray, listed_scores, tiles
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray

_Rows = tuple[IntArray, IntArray, FloatArray]


@dataclass(frozen=True)
class ShownPair:
    """Two images of an evaluation.

    Args:
        first, second: Names of the images.
        mated: True if both show one subject.
        score: Cosine of their embeddings.
    """

    first: str
    second: str
    mated: bool
    score: float


def pairs_to_show(names: Sequence[str], comparisons: Comparisons, count: int) -> tuple[ShownPair, ...]:
    """Select the mated comparisons of lowest score, then the non-mated ones of highest score.

    Args:
        names: One image name for each row of the comparisons.
        comparisons: The comparisons.
        count: Number of pairs of each kind, 1 or more; fewer are returned if there are fewer comparisons.

    Returns:
        Pairs, the lowest mated score first, then the highest non-mated score first; equal scores in order of rows.

    Raises:
        InputError: The count is below 1.
    """
    if count < 1:
        raise InputError(f"expected 1 or more pairs to show, found {count}")
    best: dict[bool, list[_Rows]] = {True: [], False: []}
    for first, second, scores, mated in _blocks(comparisons):
        for kind, chosen in ((True, mated), (False, ~mated)):
            rows = (first[chosen], second[chosen], scores[chosen])
            best[kind] = [_extreme([*best[kind], rows], count, lowest=kind)]
    return tuple(
        ShownPair(names[int(a)], names[int(b)], kind, float(score))
        for kind in (True, False)
        for rows in best[kind]
        for a, b, score in zip(*rows, strict=True)
    )


def _extreme(parts: Sequence[_Rows], count: int, *, lowest: bool) -> _Rows:
    first, second, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    key = scores if lowest else -scores
    if key.size > count:
        near = np.flatnonzero(key <= np.partition(key, count - 1)[count - 1])
        first, second, scores, key = first[near], second[near], scores[near], key[near]
    order = np.lexsort((second, first, key))[:count]
    return first[order], second[order], scores[order]


def _blocks(comparisons: Comparisons) -> Iterator[tuple[IntArray, IntArray, FloatArray, BoolArray]]:
    """Yield all comparisons as (first, second, scores, mated), flat arrays, the smaller row first."""
    if isinstance(comparisons, AllPairs):
        for tile in tiles(comparisons.vectors, comparisons.codes):
            mated = np.zeros(tile.scores.shape, np.bool_) if tile.mated is None else tile.mated
            valid = ~mated if tile.non_mated is None else mated | tile.non_mated
            rows, columns = np.nonzero(valid)
            left, right = tile.rows[rows], tile.columns[columns]
            yield np.minimum(left, right), np.maximum(left, right), tile.scores[valid], mated[valid]
        return
    left, right = comparisons.first, comparisons.second
    scores = listed_scores(comparisons.vectors, left, right)
    mated = comparisons.codes[left] == comparisons.codes[right]
    yield np.minimum(left, right), np.maximum(left, right), scores, mated
