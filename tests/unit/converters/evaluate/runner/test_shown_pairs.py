"""Selection of the pairs that a page shows, compared with a search over all comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import AllPairs, ListedPairs
from converters.evaluate.runner.shown_pairs import pairs_to_show
from edge_sdk.errors import InputError

SUBJECTS = np.repeat(np.arange(120), 3)
NAMES = [f"{subject}/{place}.png" for place, subject in enumerate(SUBJECTS)]


def rows() -> np.ndarray:
    random = np.random.default_rng(2)
    values = random.normal(0, 1, (120, 16))[SUBJECTS] + random.normal(0, 0.8, (len(SUBJECTS), 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_all_pairs_give_the_extremes_of_both_kinds() -> None:
    vectors = rows()
    shown = pairs_to_show(NAMES, AllPairs(vectors, SUBJECTS), 3)
    scores = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    first, second = np.triu_indices(len(vectors), 1)
    mated = SUBJECTS[first] == SUBJECTS[second]
    for kind, sign in ((True, 1), (False, -1)):
        pairs = [pair for pair in shown if pair.mated is kind]
        rest = np.flatnonzero(mated == kind)
        order = rest[np.argsort(sign * scores[first[rest], second[rest]], kind="stable")[:3]]
        assert [(pair.first, pair.second) for pair in pairs] == [
            (NAMES[first[i]], NAMES[second[i]]) for i in order
        ]
        assert [pair.score for pair in pairs] == pytest.approx(list(scores[first[order], second[order]]))


def test_listed_comparisons_give_only_listed_pairs() -> None:
    listed = ListedPairs(rows(), SUBJECTS, np.array([1, 0, 9]), np.array([0, 30, 6]))
    shown = pairs_to_show(NAMES, listed, 5)
    assert [(pair.first, pair.second, pair.mated) for pair in shown[:1]] == [(NAMES[0], NAMES[1], True)]
    others = {(pair.first, pair.second, pair.mated) for pair in shown[1:]}
    assert others == {(NAMES[0], NAMES[30], False), (NAMES[6], NAMES[9], False)}
    assert shown[1].score >= shown[2].score


def test_no_pair_is_refused() -> None:
    with pytest.raises(InputError, match="expected 1 or more pairs"):
        pairs_to_show(NAMES, AllPairs(rows(), SUBJECTS), 0)
