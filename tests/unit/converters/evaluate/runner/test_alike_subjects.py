"""Notes on one person under two names."""

import numpy as np

from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from converters.evaluate.runner.alike_subjects import alike_note


def drawn(copies: int) -> tuple[np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(1)
    own = np.repeat(rng.normal(size=(12, 32)), 2, axis=0) + 0.3 * rng.normal(size=(24, 32))
    vectors = np.concatenate([own, own[: 2 * copies] + 0.01])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"s{k // 2:02d}" for k in range(24)] + [f"copy{k // 2}" for k in range(2 * copies)]
    return vectors.astype(np.float32), tuple(names)


def test_a_copied_subject_is_named() -> None:
    vectors, names = drawn(1)
    note = alike_note(AllPairs(vectors, names), names)
    assert note is not None
    assert "copy0 and s00" in note
    assert "s01" not in note


def test_three_pairs_are_named_at_most() -> None:
    vectors, names = drawn(5)
    note = alike_note(AllPairs(vectors, names), names)
    assert note is not None
    assert note.count(" and ") == 3
    assert ", ...; look" in note


def test_different_subjects_give_no_note() -> None:
    vectors, names = drawn(0)
    assert alike_note(AllPairs(vectors, names), names) is None
    rows = np.arange(12)
    assert alike_note(ListedPairs(vectors, names, rows, rows + 12), names) is None
